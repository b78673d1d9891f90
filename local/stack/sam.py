"""SAM CLI: run it, build the project with it, and write parameters for it."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from local import PROJECT

SCRATCH = PROJECT / ".local"
"""Where builds and MiniStack keep their files; git ignores it."""


def build(folder: Path, project: Path = PROJECT) -> Path:
    """Build a project's functions and layer for this machine's Python. Raises RuntimeError."""
    SCRATCH.mkdir(exist_ok=True)
    with (SCRATCH / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # concurrent builds share their installed packages
        # MiniStack runs functions in its own Python, not in that of their Runtime.
        sam("build", f"--build-dir={folder}", environment=os.environ | {"PLATFORMS": ""}, project=project)
    _zip_once(folder)
    return folder


def _zip_once(folder: Path) -> None:
    """Let all functions share one zip. Their folders are equal, and SAM CLI would zip each of them."""
    template = folder / "template.yaml"
    text = template.read_text()
    names = re.findall(r"(?m)^      CodeUri: (\w+)$", text)
    shutil.make_archive(str(folder / "functions"), "zip", folder / names[0])
    for name in names:
        shutil.rmtree(folder / name)
    template.write_text(re.sub(r"(?m)^(      CodeUri: )\w+$", r"\1functions.zip", text))


def sam(*arguments: str, environment: Mapping[str, str] | None = None, project: Path = PROJECT) -> None:
    """Run SAM CLI in a project's folder. Raises RuntimeError with its output."""
    ran = subprocess.run(
        [sys.executable, "-m", "samcli", *arguments],
        cwd=project,
        env={**(os.environ if environment is None else environment), "SAM_CLI_TELEMETRY": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"sam {arguments[0]} failed:\n{ran.stdout}")
