"""`impact name`: ids and names whatever is in them, from the command line and from files."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from impact.naming import ID_FIELDS, TEAM, USER, Kind, Name
from impact.store import Store
from impact_cli import name_import
from impact_cli.main import main
from impact_cli.table import visible
from tests.events import NOON

IDS = ["alice", "-x", "--help", "list", "import", "user", "a#b", "two words", "שלום", "\x1b[2J", "😀" * 255]
LONGEST = Name("😀" * 256, "😀" * 64)
HOSTILE = Name("\x1b[2J=1+1\n\u202e", "@SUM(A1)")

Run = Callable[..., int]


@pytest.fixture
def run(store: Store) -> Run:
    """Run a command on the stack of the test."""
    stack = store.ledger.name.removesuffix("-RequestEvents")
    return lambda *arguments: main(["--stack", stack, "name", *arguments])


def test_ids_and_names_are_taken_as_they_are(
    store: Store, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, id_ in zip(cycle(ID_FIELDS), IDS, strict=False):
        for name in (HOSTILE, LONGEST):
            assert run(kind, "--cost-centre", str(name.cost_centre), "--", id_, name.name) == 0
            assert store.names.get(kind, id_) == name
        told = capsys.readouterr().out
        assert f"The {kind} {visible(id_)} is called {visible(LONGEST.name)}" in told
        assert f"Before: {visible(HOSTILE.name)}, cost centre @SUM(A1).\n" in told
        assert "\x1b" not in told
        assert run("remove", kind, "--", id_) == 0
        assert store.names.get(kind, id_) is None
        assert "has no name any more.\n" in capsys.readouterr().out


def test_a_name_replaces_the_earlier_one_with_its_cost_centre(
    store: Store, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("team", "t", "Marketing", "--cost-centre", "4711") == 0
    assert run("team", "t", "Marketing", "--cost-centre", "4711") == 0
    assert capsys.readouterr().out == "The team t is called Marketing, cost centre 4711.\n" * 2
    assert run("team", "t", "Sales", "--cost-centre", "") == 0
    assert store.names.get(TEAM, "t") == Name("Sales")
    assert capsys.readouterr().out == "The team t is called Sales.\nBefore: Marketing, cost centre 4711.\n"


def test_removing_what_has_no_name_is_no_error(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("remove", "key", "k") == 0
    assert capsys.readouterr().out == "The key k had no name.\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["user", "", "A"], "The id is empty."),
        (["user", "😀" * 256, "A"], "The id does not fit 1024 bytes."),
        (["user", "a", " "], "The name is empty."),
        (["user", "a", "x" * 257], "The name has more than 256 characters."),
        (["user", "a", "A", "--cost-centre", "x" * 65], "The cost centre has more than 64 characters."),
        (["user", os.fsdecode(b"\xff"), "A"], "The id is not UTF-8."),
        (["remove", "user", ""], "The id is empty."),
        (["list", "person"], "'person' is not one of 'user', 'team', 'key'."),
        (["user", "a"], "Missing argument 'NAME'."),
    ],
)
def test_what_cannot_be_is_wrong_usage(
    store: Store, run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], error: str
) -> None:
    assert run(*arguments) == 2
    assert error in capsys.readouterr().err
    assert store.client.scan(TableName=store.state.name)["Items"] == []


def test_names_are_listed_in_each_form(store: Store, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    assert capsys.readouterr().out == "- no names\n"
    store.names.put("user", "=x", HOSTILE, NOON)
    store.names.put("team", "t", Name("Marketing"), NOON)
    assert run("list") == 0
    head, user, team = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "kind"
    assert r"\x1b[2J=1+1\n\u202e  @SUM(A1)" in user
    assert team.split() == ["team", "t", "Marketing", "-", "2026-11-23T12:00:00"]
    assert run("list", "--json") == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole[0] == {
        "kind": "user",
        "id": "=x",
        "name": HOSTILE.name,
        "costCentre": "@SUM(A1)",
        "recordedAt": "2026-11-23T12:00:00.000000Z",
    }
    assert run("list", "--jsonl", "team") == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == whole[1:]
    assert run("list", "user", "--csv") == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert (row["id"], row["costCentre"]) == ("'=x", "'@SUM(A1)")


HEAD = "kind,id,name,cost_centre\n"


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "names.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_a_file_is_imported_and_says_what_changes(
    store: Store, run: Run, file: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    store.names.put(USER, "same", Name("Same", "1"), NOON)
    store.names.put(USER, "other", Name("Other", "1"), NOON)
    store.names.put(TEAM, "stays", Name("Stays"), NOON)
    path = file(f"{HEAD}user,same,Same,1\nuser,other,Other,\nuser,new,New,2\nteam,new,New team,\n")
    before = store.client.scan(TableName=store.state.name)["Items"]
    assert run("import", path, "--dry-run") == 0
    assert capsys.readouterr().out == "It would be: 2 new, 1 changed, 1 the same.\n"
    assert store.client.scan(TableName=store.state.name)["Items"] == before
    assert run("import", path) == 0
    assert capsys.readouterr().out == "Stored: 2 new, 1 changed, 1 the same.\n"
    assert dict(store.names.all(USER)) == {
        "same": Name("Same", "1"),
        "other": Name("Other"),
        "new": Name("New", "2"),
    }
    assert dict(store.names.all(TEAM)) == {"new": Name("New team"), "stays": Name("Stays")}
    assert run("import", path) == 0
    assert capsys.readouterr().out == "Stored: 0 new, 0 changed, 4 the same.\n"


def test_a_file_in_which_anything_is_wrong_changes_nothing(
    store: Store, run: Run, file: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = file(f"{HEAD}user,a,A,\n" + "user,b,,\n" * 25)
    assert run("import", path) == 1
    *lines, more, last = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{path}, line 3, name: is empty"
    assert (len(lines), more) == (20, "... and 29 more.")
    assert last == "Error: Nothing was stored. Mend the file, and import it again."
    assert store.client.scan(TableName=store.state.name)["Items"] == []


def test_users_of_librechat_keep_their_cost_centres(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.names.put(USER, "a" * 24, Name("Alice", "4711"), NOON)
    store.names.put(USER, "b" * 24, Name("Bob", "4712"), NOON)
    users: list[dict[str, Any]] = [
        {"_id": {"$oid": letter * 24}, "name": name}
        for letter, name in (("a", "Alice Example"), ("b", "Bob"), ("c", "Carol"), ("d", ""))
    ]
    lines = "\n".join(map(json.dumps, users)).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert run("import", "--librechat", "-") == 0
    assert capsys.readouterr().out == (
        "Stored: 1 new, 1 changed, 1 the same.\n1 users of LibreChat have no name.\n"
    )
    assert dict(store.names.all(USER)) == {
        "a" * 24: Name("Alice Example", "4711"),
        "b" * 24: Name("Bob", "4712"),
        "c" * 24: Name("Carol"),
    }


def test_an_import_that_was_stopped_stores_the_rest_the_next_time(
    store: Store,
    run: Run,
    file: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(name_import, "WORKERS", 1)
    path = file(HEAD + "".join(f"key,k{number},K,\n" for number in range(10)))
    put, left = type(store.names).put, [4]

    def stopped(self: Any, kind: Kind, id_: str, name: Name, now: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        put(self, kind, id_, name, now)

    with monkeypatch.context() as broken:
        broken.setattr(type(store.names), "put", stopped)
        assert run("import", path) == 130
    capsys.readouterr()
    assert run("import", path) == 0
    assert capsys.readouterr().out == "Stored: 6 new, 0 changed, 4 the same.\n"


def test_a_stack_that_is_not_there_is_named(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "nope", "name", "list"]) == 1
    assert capsys.readouterr().err.startswith("Error: There is no stack nope in ")
