"""`impact erase`: exactly one user is erased, whatever the id and the partitions, even if it is stopped."""

import io
import json
import os
import stat
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import EndpointConnectionError

from impact.billing import Terms
from impact.calendar import FIRST_DAY, Calendar, Period, Settings
from impact.keys import day_shard
from impact.ledger_entry import EntryBuilder
from impact.ledger_store import LedgerStore
from impact.naming import TEAM, USER, Name
from impact.recompute import recompute
from impact.rollup_planner import plan
from impact.store import Store
from impact_cli import deployed_stack, ledger_scan, progress
from impact_cli import erasure as erase
from impact_cli.main import main
from impact_cli.table import visible
from impact_cli.verbs import erase as verb
from tests.events import NOON, event, freeze
from tests.unit.local.test_makefile import HOSTILE

SETTINGS = Settings(ZoneInfo("UTC"), timedelta(days=10), 2)
BUILDER = EntryBuilder(Calendar.of(SETTINGS))
IDS = ["alice", "al", "alice#", "alice%23", "ALICE", *HOSTILE[::3], "two\nlines", " blank", "x" * 256]

Erase = Callable[..., int]


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Erase:
    """Run the command on a stack with a calendar, at noon. `typed` is what is typed at a terminal."""
    freeze(monkeypatch, verb)
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON - timedelta(days=8))
    store.state.put_first_period(Period(FIRST_DAY, SETTINGS), NOON)
    stack = store.ledger.name.removesuffix("-RequestEvents")

    def erase_one(user_id: str, *options: str, given: str = "argument", typed: bytes | None = None) -> int:
        arguments = ["--", user_id] if given == "argument" else []
        line = user_id.encode() + b"\n" if given == "input" and typed is None else b""
        with monkeypatch.context() as now:
            now.setenv("XDG_STATE_HOME", str(tmp_path))
            now.setattr(sys, "stdin", Terminal(line, typed))
            return main(["erase", "--stack", stack, *options, *arguments])

    return erase_one


class Terminal(io.TextIOWrapper):
    """Standard input: a pipe, or a terminal at which somebody types."""

    def __init__(self, piped: bytes, typed: bytes | None):
        super().__init__(io.BytesIO(piped + (typed or b"")))
        self._is_terminal = typed is not None

    def isatty(self) -> bool:
        return self._is_terminal


def put(store: Store, user_id: str, *days_ago: int, laid: EntryBuilder = BUILDER) -> None:
    for ago in days_ago:
        ts = (NOON - timedelta(days=ago)).isoformat()
        store.ledger.append(laid.build(event(userId=user_id, ts=ts, eventId=f"{ago}"), NOON).item)


def roll_up(store: Store) -> None:
    """Do what the planner and its workers do."""
    due = plan(store, BUILDER.calendar, NOON)
    store.state.put_progress(due.progress)
    for day, shard in due.targets:
        recompute(store, BUILDER.calendar, Terms(), day, shard, as_of=NOON)


def users(store: Store, table: str) -> Counter[str]:
    return Counter(item["userId"]["S"] for item in store.client.scan(TableName=table)["Items"])


def requests(store: Store) -> int:
    return sum(total["requests"] for total in store.state.shard_totals(FIRST_DAY, "2999-12-31"))


def a_day(ago: int) -> str:
    return BUILDER.calendar.day_of(NOON - timedelta(days=ago))


def test_exactly_the_user_named_is_gone(store: Store, run: Erase, capfd: pytest.CaptureFixture[str]) -> None:
    for user_id in IDS:
        put(store, user_id, 0, 7)
    roll_up(store)
    left = Counter(dict.fromkeys(IDS, 2))
    assert users(store, store.summaries.name) == users(store, store.ledger.name) == left
    for number, user_id in enumerate(IDS):
        ways = ["argument"] + ["input"] * ("\n" not in user_id)
        assert run(user_id, "--yes", given=ways[number % len(ways)]) == 0
        del left[user_id]
        assert users(store, store.summaries.name) == users(store, store.ledger.name) == left
        told = capfd.readouterr().out
        assert told.startswith(f"'{visible(user_id)}': 2 events of 2 days and 2 daily summaries.\nDeleted.")
        assert "\x1b" not in told
    roll_up(store)
    assert requests(store) == 0


def test_the_days_are_recomputed_by_the_next_rollup(store: Store, run: Erase) -> None:
    put(store, "alice", 0, 1, 7)
    put(store, "bob", 0, 1, 7)
    roll_up(store)
    assert requests(store) == 6
    assert run("alice", "--yes") == 0
    assert {day for day, _ in store.state.marked()} == {a_day(0), a_day(1), a_day(7)}
    roll_up(store)
    assert requests(store) == 3
    assert store.state.marked() == set()


def test_a_day_that_cannot_be_recomputed_is_not_marked(store: Store, run: Erase) -> None:
    put(store, "alice", 1, 7)
    roll_up(store)
    for item in list(
        store.state.shard_totals(a_day(7), a_day(7))
    ):  # written by a version with a shorter retention
        item["countableUntil"] = "2026-11-23T20:00:00.000000Z"
        key = day_shard(item["day"], item["shard"])
        fields = {name: value for name, value in item.items() if name not in ("kind", "key", "revision")}
        stored = store.state.shard_total(key)
        assert stored
        store.client.delete_item(TableName=store.state.name, Key={"kind": {"S": "total"}, "key": {"S": key}})
        assert store.state.put_shard_total(key, fields, None)
    assert run("alice", "--yes") == 0
    assert {day for day, _ in store.state.marked()} == {a_day(1)}
    assert users(store, store.summaries.name) == Counter()


@pytest.mark.parametrize(
    ("typed", "code", "left"),
    [(b"erase\n", 0, 0), (b"y\n", 1, 1), (b"yes\n", 1, 1), (b"\n", 1, 1), (b"", 1, 1), (None, 1, 1)],
)
def test_it_asks(
    store: Store, run: Erase, capfd: pytest.CaptureFixture[str], typed: bytes | None, code: int, left: int
) -> None:
    put(store, "\x1b[31malice", 0)
    assert run("\x1b[31malice", typed=typed) == code
    told = capfd.readouterr()
    assert users(store, store.ledger.name).total() == left
    assert ("Deleted." in told.out, "Nothing was deleted" in told.err) == (code == 0, code == 1)
    assert r"'\x1b[31malice'" in told.out
    assert "\x1b" not in told.out + told.err


def test_an_id_is_typed_at_a_terminal(store: Store, run: Erase) -> None:
    put(store, " $(alice) ", 0)
    assert run("", given="input", typed=b" $(alice) \nerase\n") == 0
    assert users(store, store.ledger.name) == Counter()


def test_a_user_without_events_and_summaries(
    store: Store, run: Erase, capfd: pytest.CaptureFixture[str]
) -> None:
    put(store, "alice", 0)
    assert run("bob", "--yes") == 0
    assert capfd.readouterr().out == "'bob': nothing was found.\n"
    assert users(store, store.ledger.name) == Counter(["alice"])


def test_the_name_goes_with_the_user(store: Store, run: Erase, capfd: pytest.CaptureFixture[str]) -> None:
    for user_id in IDS:
        put(store, user_id, 0)
        store.names.put(USER, user_id, Name(f"\x1b[2JNamed {user_id}"), NOON)
    store.names.put(TEAM, "alice", Name("A team of that id"), NOON)
    roll_up(store)
    left = dict(store.names.all(USER))
    assert len(left) == len(IDS)
    for user_id in IDS:
        assert run(user_id, "--yes") == 0
        told = capfd.readouterr().out
        what = f"1 events of 1 days, 1 daily summaries and the name '\\x1b[2JNamed {visible(user_id)}'"
        assert told.startswith(f"'{visible(user_id)}': {what}.\nDeleted.")
        del left[user_id]
        assert dict(store.names.all(USER)) == left
    assert "Named" not in json.dumps(store.client.scan(TableName=store.state.name)["Items"])
    assert [id_ for id_, _ in store.names.all(TEAM)] == ["alice"]


def test_a_name_alone_is_found_and_deleted(
    store: Store, run: Erase, capfd: pytest.CaptureFixture[str]
) -> None:
    store.names.put(USER, "alice", Name("Alice Example", "4711"), NOON)
    assert run("alice", typed=b"no\n") == 1
    assert store.names.get(USER, "alice")
    assert run("alice", "--yes") == 0
    assert "and the name 'Alice Example'.\nDeleted." in capfd.readouterr().out
    assert store.names.get(USER, "alice") is None
    assert run("alice", "--yes") == 0
    assert capfd.readouterr().out == "'alice': nothing was found.\n"


@pytest.mark.parametrize("user_id", ["", "x" * 257, "🌳" * 256])
def test_an_invalid_id_is_rejected(run: Erase, capfd: pytest.CaptureFixture[str], user_id: str) -> None:
    assert run(user_id, "--yes", given="input") == 2
    told = capfd.readouterr()
    assert (told.out, bool(told.err)) == ("", True)


def test_an_id_that_is_not_utf_8_is_rejected(run: Erase, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(os.fsdecode(b"\xff"), "--yes") == 2
    assert "UTF-8" in capfd.readouterr().err


class Breaks:
    """Breaks the connection at a call of a kind."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch, call: str, at: int):
        self._call, self._left = call, at
        make = deployed_stack.store_of

        def breaking(*arguments: Any, **options: Any) -> Store:
            made = make(*arguments, **options)
            made.client.meta.events.register_first(f"before-call.dynamodb.{call}", self._count)
            return made

        monkeypatch.setattr(deployed_stack, "store_of", breaking)

    def _count(self, **_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            raise EndpointConnectionError(endpoint_url="dynamodb")


CALLS = [("Query", 1), ("Query", 5), ("BatchWriteItem", 1), ("BatchWriteItem", 2), ("BatchWriteItem", 5)]
CALLS += [("GetItem", 1), ("GetItem", 3), ("UpdateItem", 1), ("UpdateItem", 3)]
CALLS += [("BatchGetItem", 1), ("DeleteItem", 1)]


@pytest.mark.parametrize(("call", "at"), CALLS)
def test_a_stopped_run_can_be_continued_and_each_day_is_recomputed(
    store: Store,
    run: Erase,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    call: str,
    at: int,
) -> None:
    put(store, "alice", 1, 2, 3, 7)
    put(store, "bob", 1, 2, 3, 7)
    store.names.put(USER, "alice", Name("Alice Example"), NOON)
    roll_up(store)
    with monkeypatch.context() as broken:
        Breaks(store, broken, call, at)
        assert run("alice", "--yes") == 1
    assert "Run it again" in capfd.readouterr().err
    assert run("alice", "--yes") == 0
    assert users(store, store.ledger.name) == users(store, store.summaries.name) == Counter({"bob": 4})
    assert store.names.get(USER, "alice") is None
    roll_up(store)
    assert requests(store) == 4


def test_ctrl_c_says_what_to_do(
    run: Erase, store: Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put(store, "alice", 1)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr(erase.Erasure, "_delete", interrupted)
        assert run("alice", "--yes") == 130
    assert "Run it again" in capfd.readouterr().err


OTHERWISE = EntryBuilder(Calendar.of(Settings(ZoneInfo("UTC"), timedelta(days=10), 1000)))


def test_it_finds_events_in_the_partitions_that_summaries_name(store: Store, run: Erase) -> None:
    put(store, "alice", 3, laid=OTHERWISE)
    recompute(
        store,
        OTHERWISE.calendar,
        Terms(),
        a_day(3),
        OTHERWISE.calendar.shard_of("alice", a_day(3)),
        as_of=NOON,
    )
    assert run("alice", "--yes") == 0
    assert users(store, store.ledger.name) == users(store, store.summaries.name) == Counter()


def test_everywhere_finds_events_in_any_partition(
    store: Store,
    run: Erase,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    others = [f"user-{number}" for number in range(30)]
    for user_id in ("alice", *others):
        put(store, user_id, 1, 2, 3, 7, laid=OTHERWISE)
    assert run("alice", "--yes") == 0
    assert users(store, store.ledger.name)["alice"] == 4
    assert run("alice", "--everywhere") == 1
    assert users(store, store.ledger.name)["alice"] == 4
    with monkeypatch.context() as broken:
        broken.setattr(ledger_scan, "WORKERS", 4)
        Breaks(store, broken, "Scan", 3)
        assert run("alice", "--yes", "--everywhere") == 1
    [file] = tmp_path.rglob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "alice" not in f"{file}{file.read_text()}"
    assert "user-" not in file.read_text()
    kept = json.loads(file.read_text())
    assert 0 < len(kept["done"]) < kept["segments"] == 4
    with monkeypatch.context() as other:  # the scan for another user begins at the beginning
        other.setattr(ledger_scan, "WORKERS", 5)
        assert run("bob", "--yes", "--everywhere") == 0
    assert json.loads(file.read_text()) == kept
    capfd.readouterr()
    assert run("alice", "--yes", "--everywhere") == 0
    assert f"{len(kept['done'])} of 4 parts are done" in capfd.readouterr().err
    assert users(store, store.ledger.name) == Counter(dict.fromkeys(others, 4))
    assert list(tmp_path.rglob("*.json")) == []


def test_long_work_prints_its_progress(
    store: Store, run: Erase, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PAUSE_SECONDS", -1.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    put(store, "alice", 0)
    assert run("alice", "--yes", "--everywhere") == 0
    told = capfd.readouterr().err
    assert "1 of 16 parts scanned" in told
    assert "days looked up" in told
