"""The real command `impact`, against the stack of the tests."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from local import PROJECT
from local.stack import Stack

IMPACT = str(Path(sys.executable).with_name("impact"))


class Ran(NamedTuple):
    code: int
    out: str
    error: str


def impact(
    stack: Stack,
    *arguments: str,
    stdin: str | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Ran:
    """Run a command in a pipe."""
    ran = subprocess.run(
        [IMPACT, *arguments],
        cwd=PROJECT,
        env=environment_of(stack) | dict(environment),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def impact_in_a_terminal(
    stack: Stack,
    *arguments: str,
    answers: Iterable[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Ran:
    """Run a command at a terminal, where each question (a line that ends with a blank) gets an answer."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [IMPACT, *arguments],
        cwd=PROJECT,
        env=environment_of(stack) | {"TERM": "xterm", "COLUMNS": "120"} | dict(environment),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    left, out = iter(answers), b""
    with suppress(OSError):  # Linux reports the end of a terminal as an error
        while part := os.read(ours, 65536):
            out += part
            if out.endswith((b": ", b"] ", b"? ")) and (answer := next(left, None)) is not None:
                os.write(ours, f"{answer}\n".encode())
    os.close(ours)
    return Ran(process.wait(), out.decode().replace("\r\n", "\n"), "")


def environment_of(stack: Stack) -> dict[str, Any]:
    """As after `. ./.local.env`, in a home of its own."""
    return stack.environment | {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
