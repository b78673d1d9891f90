"""`impact link`: links are made, taken back, and signed by keys that the stack keeps."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from impact.links import InvalidLink, Link, verified
from impact.store import Store
from impact_cli import deployed_stack
from impact_cli.main import main
from impact_cli.verbs import link as verb
from tests.events import NOON, freeze

EDGES = "The id begins or ends with white space."
NOBODY = "The id names nobody: it is blank, `unknown`, or an unfilled template."
URL = "https://abc.execute-api.eu-central-1.amazonaws.com"


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def link(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Runs `impact link`, without a terminal."""
    monkeypatch.setattr(deployed_stack, "store_of", lambda *_, **__: store)
    monkeypatch.setenv("IMPACT_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("IMPACT_SERVICE_URL", f"{URL}/api/request-event")
    freeze(monkeypatch, verb)

    def run(*arguments: str, stdin: str = "") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        return Ran(main(["link", *arguments]), *capsys.readouterr())

    return run


def opened(store: Store, url: str, now: float = NOON.timestamp()) -> Link:
    page, _, token = url.strip().partition("#")
    assert page == f"{URL}/me"
    key = store.links.newest_key()
    assert key is not None
    return verified(token, key, now)


def test_a_link_is_printed_alone_and_good_for_30_days(link: Run, store: Store) -> None:
    ran = link("alice")
    made = opened(store, ran.out)
    assert made == Link("alice", int(NOON.timestamp()) + 30 * 86_400, 0)
    assert ran == Ran(
        0, ran.out, "Until 2026-12-23T12:00:00.000000Z, whoever has this link sees what alice used:\n"
    )


@pytest.mark.parametrize("user", ["-rf", "`id`", "$(id)", "=1+1", "a b", "\x1b[2J", "ünï"])
def test_an_id_is_taken_as_it_is(link: Run, store: Store, user: str) -> None:
    ran = link("--days", "1", "--", user)
    assert opened(store, ran.out) == Link(user, int(NOON.timestamp()) + 86_400, 0)
    assert "\x1b" not in ran.err


def test_links_of_a_file_are_rows(link: Run, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_bytes("\ufeffalice\r\nbob, the builder\n\n=1+1\nalice\n".encode())
    rows = list(csv.DictReader(io.StringIO(link("--file", str(file), "--csv").out)))
    assert [opened(store, row["link"]).user_id for row in rows] == ["alice", "bob, the builder", "=1+1"]
    assert [row["userId"] for row in rows] == ["alice", "bob, the builder", "'=1+1"]  # no formula
    assert {row["expires"] for row in rows} == {"2026-12-23T12:00:00.000000Z"}
    document = json.loads(link("--file", str(file), "--json").out)
    assert [row["userId"] for row in document] == ["alice", "bob, the builder", "=1+1"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "The file has no user id: it needs one a line."),
        (b"\n\n", "The file has no user id: it needs one a line."),
        (b"alice\n\xff\n", "The file is not UTF-8: save it as UTF-8, an id a line."),
        (b"alice\n" + b"x" * 257, "Line 2: The id is too long, no event has it: 256 characters at most."),
        (b"bob\n\nalice \n", f"Line 3: {EDGES}"),
        (b"bob\r\n\talice\r\n", f"Line 2: {EDGES}"),
        (b"bob\r\r\n", f"Line 1: {EDGES}"),
        ("bob\n\xa0alice".encode(), f"Line 2: {EDGES}"),
        ("bob\u2028\nalice".encode(), f"Line 1: {EDGES}"),
        (b"bob\n \n", f"Line 2: {EDGES}"),
        (b"bob\nunknown\n", f"Line 2: {NOBODY}"),
        (b"bob\n{{LIBRECHAT_USER_ID}}\n", f"Line 2: {NOBODY}"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    link: Run, store: Store, tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "users.txt"
    file.write_bytes(content)
    assert link("--file", str(file)) == Ran(1, "", f"Error: {told}\n")
    assert store.links.newest_key() is None
    assert link("--file", str(file), "--revoke") == Ran(1, "", f"Error: {told}\n")
    assert set(store.links.generations(["alice", "bob"]).values()) == {0}


def test_only_a_line_feed_ends_an_id(link: Run, store: Store, tmp_path: Path) -> None:
    users = ["al\u2028ice", "al\u2029ice", "al\x85ice", "al\vice", "al\fice", "al\x1cice", "al\x1eice"]
    file = tmp_path / "users.txt"
    file.write_bytes("\r\n".join(users).encode())
    assert link("--file", str(file), "--revoke") == Ran(0, "Taken back: all links of 7 users.\n", "")
    assert store.links.generations([*users, "al", "ice"]) == dict.fromkeys(users, 1) | {"al": 0, "ice": 0}


def test_links_are_taken_back_by_user(link: Run, store: Store, tmp_path: Path) -> None:
    before = opened(store, link("alice").out)
    assert link("alice", "--revoke") == Ran(0, "Taken back: all links of alice.\n", "")
    assert store.links.generation("alice") == before.generation + 1
    assert opened(store, link("alice").out).generation == before.generation + 1
    assert store.links.generation("bob") == 0
    file = tmp_path / "users.txt"
    file.write_text("bob\ncarol\n")
    assert link("--file", str(file), "--revoke") == Ran(0, "Taken back: all links of 2 users.\n", "")
    assert store.links.generations(["bob", "carol"]) == {"bob": 1, "carol": 1}


def test_a_new_key_signs_and_the_one_before_stays(link: Run, store: Store) -> None:
    link("alice")
    assert link("--rotate") == Ran(0, "New links are signed with key 2.\n", "")
    assert [key.number for key in store.links.all_keys()] == [1, 2]
    opened(store, link("alice").out)


def test_all_links_are_taken_back_after_a_yes(link: Run, store: Store) -> None:
    before = link("alice").out
    assert link("--revoke-all") == Ran(
        1, "", "Error: Nothing was taken back. Without a terminal, confirm with --yes.\n"
    )
    opened(store, before)
    assert link("--revoke-all", "--yes") == Ran(
        0, "New links are signed with key 2. No earlier link is good any more.\n", ""
    )
    assert [key.number for key in store.links.all_keys()] == [2]
    with pytest.raises(InvalidLink):
        opened(store, before)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("alice", "--file", "/dev/null"),
        ("alice", "--rotate"),
        ("alice", "--revoke-all", "--yes"),
        ("--revoke",),
        ("alice", "--days", "0"),
        ("alice", "--days", "367"),
        ("",),
        ("x" * 257,),
        ("unknown",),
        (" ",),
        ("{{LIBRECHAT_USER_ID}}",),
        ("unknown", "--revoke"),
    ],
    ids=str,
)
def test_a_wrong_call_makes_nothing(link: Run, store: Store, arguments: tuple[str, ...]) -> None:
    ran = link(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert store.links.newest_key() is None
