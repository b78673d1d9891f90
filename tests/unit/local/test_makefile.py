"""The Makefile passes values on as typed: none is run, read as an option, or changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    print(json.dumps([sys.argv[1:], os.environ.get("user")]), file=file)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The Makefile, with a program in place of Python and `impact` that records its arguments."""
    for name in (
        "pyproject.toml",
        "uv.lock",
        "layers/callback/pyproject.toml",
        "cli/pyproject.toml",
        ".venv/bin/uv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "Makefile").write_text((PROJECT / "Makefile").read_text())
    (tmp_path / ".venv" / ".installed").touch()
    for name in ("python", "impact"):
        (tmp_path / ".venv" / "bin" / name).write_text(RECORD)
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)
    return tmp_path


def call(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """Run make, and return the arguments of the program that it ran last."""
    environment = {"PATH": os.environ["PATH"]} | environment
    before = {path.name for path in folder.iterdir()} | {"called"}
    subprocess.run(["make", *arguments], cwd=folder, env=environment, check=True, timeout=60)
    assert {path.name for path in folder.iterdir()} | {"called"} == before
    argv, user = json.loads((folder / "called").read_text().splitlines()[-1])
    assert user is None
    return list(argv)


@pytest.mark.parametrize("user_id", HOSTILE)
def test_an_id_arrives_as_it_was_typed(folder: Path, user_id: str) -> None:
    assert call(folder, "erase", f"user={user_id}") == ["erase", "--", user_id]


@pytest.mark.parametrize("user_id", [*HOSTILE[::3], "two\nlines", "\ttab", " blank"])
def test_an_id_of_the_environment_does_too(folder: Path, user_id: str) -> None:
    assert call(folder, "erase", user=user_id) == ["erase", "--", user_id]


def test_nothing_else_names_whom_to_erase(folder: Path) -> None:
    assert call(folder, "erase", "ERASED_USER=bob", ERASED_USER="bob") == ["erase", "--"]
    assert call(folder, "erase", "ERASED_USER=bob", "user=alice", "yes=1", "everywhere=1", "STACK=a b") == [
        "erase", "--stack=a b", "--everywhere", "--yes", "--", "alice",
    ]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE[1::4])
def test_each_other_value_is_one_word(folder: Path, value: str) -> None:
    assert call(folder, "rollup", f"STACK={value}", f"day={value}") == [
        "rollup", f"--stack={value}", "--", value,
    ]  # fmt: skip
    assert call(folder, "put-back", f"from={value}", f"to={value}") == ["put-back", "--", value, value]
    assert call(folder, "replay", f"STACK={value}") == ["replay", f"--stack={value}"]
    assert call(folder, "deploy", f"STACK={value}", f"PARAMETERS={value}") == [
        "deploy", f"--stack={value}", f"--parameters={value}",
    ]  # fmt: skip
    assert call(folder, "local", f"PORT={value}", f"HOST={value}", f"PARAMETERS={value}") == [
        "-m", "local.stack", f"--host={value}", f"--port={value}", f"--parameters={value}",
    ]  # fmt: skip
    assert call(folder, "revert-drift", f"STACK={value}", "yes=1") == [
        "revert-drift", f"--stack={value}", "--yes",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "typed", [*HOSTILE, "a # b := c = d  ", "a\nb\ttouch ran", "$$(touch ran) ${HOME} $@ $"]
)
def test_each_value_of_a_rate_arrives_as_it_was_typed(folder: Path, typed: str) -> None:
    assert call(folder, "rate", f"date={typed}", f"usd={typed}", f"reason={typed}", f"STACK={typed}") == [
        "rates", "enter", f"--stack={typed}", f"--reason={typed}", "--", typed, typed,
    ]  # fmt: skip
    assert call(folder, "rate", date=typed, usd=typed, reason=typed) == [
        "rates", "enter", f"--reason={typed}", "--", typed, typed,
    ]  # fmt: skip


def test_any_value_of_yes_means_yes(folder: Path) -> None:
    for yes in ("yes=1", "yes=$(shell touch ran); touch ran"):
        assert call(folder, "rate", yes) == ["rates", "enter", "--yes", "--", "", ""]


def test_the_name_of_this_machine_is_no_address_to_listen_on(folder: Path) -> None:
    """Some shells export HOST."""
    assert call(folder, "local", HOST="my-machine") == ["-m", "local.stack", "--parameters="]


def test_parameters_are_told_apart_as_a_shell_would(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "RestorationSource='A study; $(touch ran), 2026' RetentionDays=800"
    monkeypatch.setattr("sys.argv", ["make", f"--parameters={text}"])
    assert local.stack.__main__._arguments().words == [
        "RestorationSource=A study; $(touch ran), 2026",
        "RetentionDays=800",
    ]
    monkeypatch.setattr("sys.argv", ["make", "--parameters="])
    assert local.stack.__main__._arguments().words == []
