"""`make deploy` in tests: run it on the stack's MiniStack, under a name of the test's own."""

import os
import pty
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from local import PROJECT
from local.stack import Stack
from local.stack.ministack import aws_environment
from tests.e2e.command import IMPACT

QUESTION = re.compile(r"\[[^]\n]*\]:? ?$")


class Ran(NamedTuple):
    code: int
    out: str


def delete(stack: Stack, name: str) -> None:
    cloudformation = stack.client("cloudformation")
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2})


def deploy(
    stack: Stack,
    name: str,
    *arguments: str,
    template: Path | None = None,
    answers: list[str] | None = None,
    credentials: Mapping[str, str] = MappingProxyType({}),
) -> Ran:
    """Run the command, in a terminal if there are answers to give."""
    command = [IMPACT, "deploy", "--stack", name, *arguments]
    command += ["--template", str(template or stack.build / "template.yaml")]
    quick = {
        "SAM_CLI_POLL_DELAY": "0.2",
        "SAM_CLI_TELEMETRY": "0",
        "PATH": os.environ["PATH"],
    }
    environment = aws_environment(stack.endpoint_url) | quick | dict(credentials)
    options: Any = {"cwd": PROJECT, "env": environment}
    if answers is None:
        options |= {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        ran = subprocess.run(command, check=False, **options)
        return Ran(ran.returncode, ran.stdout.decode())
    return _in_a_terminal(command, options, iter(answers))


def _in_a_terminal(command: list[str], options: dict[str, Any], answers: Iterator[str]) -> Ran:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, **options, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    out = ""
    with suppress(OSError):  # Linux reports the end of a terminal as an error
        while part := os.read(ours, 4096):
            out += part.decode()
            if QUESTION.search(out):
                os.write(ours, f"{next(answers)}\n".encode())
                out += "\n"
    os.close(ours)
    return Ran(process.wait(), out)
