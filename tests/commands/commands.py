"""Run a command of the Makefile, and check that it changed no file."""

import os
import re
import subprocess
from pathlib import Path

from local import PROJECT

NAMES = set(re.findall(r"(?m)^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text()))


def make(project: Path, name: str, arguments: str, **environment: str) -> str:
    """Run a command, and return its output."""
    ran = subprocess.run(
        ["make", name, *arguments.split()],
        cwd=project,
        env={k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTEST_"))} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def assert_unchanged(project: Path) -> None:
    for command in (["git", "diff", "--stat"], ["git", "ls-files", "--others", "--exclude-standard"]):
        assert subprocess.check_output(command, cwd=project, text=True) == ""
