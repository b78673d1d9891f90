"""The package `cli/`: its wheel has all that the command needs, and works alone on each supported Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from impact_cli.main import VERBS
from local import PROJECT

UV = str(Path(sys.executable).with_name("uv"))
NEEDED = {
    "impact_cli/main.py",
    "impact_cli/verbs/usage.py",
    "impact_cli/focus_columns.toml",
    "impact_client/client.py",
    "impact_client/py.typed",
    "impact/recompute.py",
    "impact/ecologits_models.toml",
    "request_events/event.py",
}
IMPORT_ALL = """
import importlib, pkgutil, impact_cli, impact_client, impact, request_events
for package in (impact_cli, impact_client):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print(*(package.__file__ for package in (impact_cli, impact_client, impact, request_events)), sep="\\n")
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What somebody has who has just the repository."""
    folder = tmp_path / "repository"
    for name in ("cli", "functions/impact", "layers/callback/request_events"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_wheel_has_all_that_the_command_needs(copy: Path, tmp_path: Path) -> None:
    subprocess.run([UV, "build", "--wheel", "-q", "-o", tmp_path, copy / "cli"], cwd=tmp_path, check=True)
    [wheel] = tmp_path.glob("impact_cli-*-py3-none-any.whl")
    with ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
        [metadata] = [file.read(name).decode() for name in file.namelist() if name.endswith("/METADATA")]
    assert names >= NEEDED
    assert {name.split("/")[0] for name in names} == {
        "impact_cli",
        "impact_client",
        "impact",
        "request_events",
    }
    assert not [line for line in metadata.splitlines() if "litellm" in line.lower() or "sam-cli" in line]


def python(minor: int) -> str | None:
    """A Python of this version on this machine."""
    found = [shutil.which(f"python3.{minor}")]
    for folder, pattern in {
        ".pyenv/versions": f"3.{minor}.*/bin/python",
        ".local/share/uv/python": f"cpython-3.{minor}.*/bin/python",
    }.items():
        found += map(str, (Path.home() / folder).glob(pattern))
    works = [path for path in found if path and not subprocess.call([path, "-c", "import venv, ensurepip"])]
    return works[0] if works else None


@pytest.mark.long
@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_it_works_alone(copy: Path, tmp_path: Path, minor: int) -> None:
    """In a fresh environment, without the repository in its path, nor LiteLLM and SAM CLI."""
    path = python(minor)
    if path is None:
        pytest.skip(f"no Python 3.{minor} here")
    fresh = tmp_path / "fresh"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}

    def run(*command: str | Path, code: int = 0) -> str:
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (ran.returncode, "Traceback" in ran.stderr) == (code, False), ran
        return ran.stdout + ran.stderr

    run(path, "-m", "venv", fresh)
    run(fresh / "bin" / "pip", "install", "-q", "--disable-pip-version-check", copy / "cli")
    shutil.rmtree(copy)
    impact = fresh / "bin" / "impact"
    verbs = [name for verbs in VERBS.values() for name in verbs]
    assert all(f"  {verb} " in run(impact, "--help") for verb in verbs)
    for verb in verbs:
        assert run(impact, verb, "--help").startswith(f"Usage: impact {verb} ")
    assert "No read token of the stack impact" in run(impact, "usage", code=1)
    assert "The id is empty" in run(impact, "usage", "", code=2)
    assert "Parquet needs more packages: pip install './cli[parquet]'" in run(
        fresh / "bin" / "python", "-c", NO_PARQUET
    )
    places = run(fresh / "bin" / "python", "-c", IMPORT_ALL).splitlines()
    assert len(places) == 4
    assert all(place.startswith(str(fresh)) for place in places)
    installed = run(fresh / "bin" / "pip", "list", "--format=freeze", "--disable-pip-version-check").lower()
    assert "impact-cli==" in installed
    assert not {"litellm", "aws-sam-cli", "samcli"} & {line.partition("==")[0] for line in installed.split()}


NO_PARQUET = """
from pathlib import Path
from impact_cli.exporting import CannotExport
from impact_cli.parquet import write_parquet
try:
    write_parquet(Path("x"), [], {})
except CannotExport as error:
    print(error.message)
"""
