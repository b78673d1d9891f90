"""The Makefile passes values on as typed: none is run, read as an option, or changed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import local.deploy
import local.stack.__main__
from local import PROJECT

HOSTILE = [
    "$(touch ran)",
    "$(shell touch ran)",
    "`touch ran`",
    "; touch ran; #",
    "' ; touch ran ; '",
    "$HOME",
    "$$",
    "${",
    "$(error no)",
    "-rf",
    "--yes",
    "--",
    "a'b\"c",
    "a\\",
    "a b ",
    "a%b#c",
    "#",
    "=:=",
    "zoë 🌳",
    "\x1b[2J",
    "🌳" * 200,
]
RECORD = f"""#!{sys.executable}
import json, os, sys
with open("called", "a") as file:
    print(json.dumps([sys.argv[1:], os.environ.get("ERASED_USER"), os.environ.get("user")]), file=file)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The Makefile, with a program in place of Python that records its arguments."""
    for name in ("pyproject.toml", "uv.lock", "layers/callback/pyproject.toml", ".venv/bin/uv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "Makefile").write_text((PROJECT / "Makefile").read_text())
    (tmp_path / ".venv" / ".installed").touch()
    for name in ("python", "sam"):
        (tmp_path / ".venv" / "bin" / name).write_text(RECORD)
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)
    return tmp_path


def call(folder: Path, *arguments: str, **environment: str) -> tuple[list[str], str, str | None]:
    """Run make, and return the arguments, `ERASED_USER` and `user` that Python is called with last."""
    environment = {"PATH": os.environ["PATH"]} | environment
    before = {path.name for path in folder.iterdir()} | {"called"}
    subprocess.run(["make", *arguments], cwd=folder, env=environment, check=True, timeout=60)
    assert {path.name for path in folder.iterdir()} | {"called"} == before
    argv, erased, user = json.loads((folder / "called").read_text().splitlines()[-1])
    return argv, erased, user


@pytest.mark.parametrize("user_id", HOSTILE)
def test_an_id_reaches_python_as_it_was_typed_and_no_shell(folder: Path, user_id: str) -> None:
    assert call(folder, "erase", f"user={user_id}") == (["-m", "local.erase"], user_id, None)


@pytest.mark.parametrize("user_id", [*HOSTILE[::3], "two\nlines", "\ttab", " blank"])
def test_an_id_of_the_environment_does_too(folder: Path, user_id: str) -> None:
    assert call(folder, "erase", user=user_id) == (["-m", "local.erase"], user_id, None)


def test_nothing_else_names_whom_to_erase(folder: Path) -> None:
    assert call(folder, "erase", "ERASED_USER=bob", ERASED_USER="bob")[1] == ""
    assert call(folder, "erase", "ERASED_USER=bob", "user=alice", "yes=1", "everywhere=1", "STACK=a b") == (
        ["-m", "local.erase", "--stack=a b", "--everywhere", "--yes"], "alice", None,
    )  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE[1::4])
def test_each_other_value_is_one_word(folder: Path, value: str) -> None:
    assert call(folder, "rollup", f"STACK={value}", f"day={value}")[0] == [
        "-m", "local.rollup", f"--stack={value}", "--", value,
    ]  # fmt: skip
    assert call(folder, "put-back", f"from={value}", f"to={value}")[0] == [
        "-m", "local.put_back", "--", value, value,
    ]  # fmt: skip
    assert call(folder, "replay", f"STACK={value}")[0] == ["-m", "local.replay", f"--stack={value}"]
    assert call(folder, "deploy", f"STACK={value}", f"PARAMETERS={value}")[0] == [
        "-m", "local.deploy", f"--stack={value}", f"--parameters={value}",
    ]  # fmt: skip
    assert call(folder, "local", f"PORT={value}", f"HOST={value}", f"PARAMETERS={value}")[0] == [
        "-m", "local.stack", f"--host={value}", f"--port={value}", f"--parameters={value}",
    ]  # fmt: skip
    assert call(folder, "revert-drift", f"STACK={value}", "yes=1")[0] == [
        "-m", "local.revert_drift", f"--stack={value}", "--yes",
    ]  # fmt: skip


def test_the_name_of_this_machine_is_no_address_to_listen_on(folder: Path) -> None:
    """Some shells export HOST."""
    assert call(folder, "local", HOST="my-machine")[0] == ["-m", "local.stack", "--parameters="]


@pytest.mark.parametrize("command", [local.deploy, local.stack.__main__])
def test_parameters_are_told_apart_as_a_shell_would(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "RestorationSource='A study; $(touch ran), 2026' RetentionDays=800"
    monkeypatch.setattr("sys.argv", ["make", f"--parameters={text}"])
    assert command._arguments().words == [
        "RestorationSource=A study; $(touch ran), 2026",
        "RetentionDays=800",
    ]
    monkeypatch.setattr("sys.argv", ["make", "--parameters="])
    assert command._arguments().words == []
