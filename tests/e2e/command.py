"""The real command `impact`, against the stack of the tests."""

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from local import PROJECT
from local.stack import Stack
from local.waiting import PATIENCE_SECONDS

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
    """Run a command in a pipe.."""
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


def shell(stack: Stack, script: str, *arguments: str) -> Ran:
    """Run a script of bash in which `impact` is the command; it fails if any part of a pipe fails."""
    ran = subprocess.run(
        ["bash", "--norc", "-o", "pipefail", "-c", script, "bash", *arguments],
        env=environment_of(stack) | {"PATH": f"{Path(IMPACT).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


@dataclass
class Running:
    """A command that runs until it is stopped."""

    process: subprocess.Popen[bytes]
    output: int
    """File descriptor of what it prints: a terminal's, or a pipe's."""
    text: str = ""

    def read_until(self, text: str) -> None:
        """Read until the text was printed."""
        while text not in self.text:
            ready, _, _ = select.select([self.output], [], [], PATIENCE_SECONDS)
            assert ready, f"{text!r} was not printed, but {self.text!r}"
            part = os.read(self.output, 65536)
            assert part, f"it ended: {self.text!r}"
            self.text += part.decode().replace("\r\n", "\n")


@contextmanager
def running(stack: Stack, *arguments: str, terminal: bool) -> Iterator[Running]:
    """Start a command, its output and errors in a terminal or in a pipe. It is killed at the end."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [IMPACT, *arguments],
        cwd=PROJECT,
        env=environment_of(stack) | {"TERM": "xterm"},
        stdin=theirs if terminal else subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=_heed_ctrl_c,  # noqa: PLW1509  # it calls the kernel alone
    )
    os.close(theirs)
    try:
        yield Running(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _heed_ctrl_c() -> None:
    """Whoever runs the tests in the background of a shell has Ctrl-C ignored in all that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment_of(stack: Stack) -> dict[str, Any]:
    """As after `. ./.local.env`, in a home that is not there."""
    passed = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return stack.environment | passed | {"HOME": "/nonexistent", "LANG": "C.UTF-8"}
