"""`impact erase`: the user goes out of usage by dimension too, on days that nothing recomputes any more."""

import json
import sys
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import EndpointConnectionError

from impact import keys
from impact.billing import Terms
from impact.breakdown import Encoded
from impact.breakdown_reader import BreakdownReader
from impact.calendar import FIRST_DAY, Calendar, Period, Settings, timestamp
from impact.dynamodb import item_from_wire
from impact.keys import user_event
from impact.ledger_entry import EntryBuilder
from impact.ledger_store import LedgerStore
from impact.recompute import recompute
from impact.rollup_planner import plan, store_daily_totals
from impact.store import Store
from impact.usage_reader import UsageReader
from impact_cli import deployed_stack, erasure
from impact_cli.main import main
from impact_cli.verbs import erase as verb
from tests.events import NOON, event, freeze
from tests.intercepted import through

MARKER = "q7f3"
"""In the id of the user who is erased, and nowhere else."""
IDS = [MARKER, f"-rf $({MARKER})#%23", f'\x1b[2J{MARKER}\n"\\', f"{MARKER}\u202e😀" + "x" * 200]
DAY = timedelta(days=1)
SETTINGS = Settings(ZoneInfo("UTC"), 10 * DAY, 2)
BUILDER = EntryBuilder(Calendar.of(SETTINGS))
CALENDAR = BUILDER.calendar
USED = (7, 6, 1, 0)
"""Days of use, before noon."""
LATER = NOON + 5 * DAY
EXPIRED = [CALENDAR.day_of(NOON - ago * DAY) for ago in (7, 6)]
"""Days of use whose events have expired by then."""

Erase = Callable[..., int]


@pytest.fixture
def erase(store: Store, monkeypatch: pytest.MonkeyPatch) -> Erase:
    """Run the command, days later."""
    freeze(monkeypatch, verb, LATER)
    stack = store.ledger.name.removesuffix("-RequestEvents")

    def run(user_id: str, through_store: Store | None = None) -> int:
        with monkeypatch.context() as now:
            now.setattr(sys, "stdin", None)
            if through_store is not None:
                now.setattr(deployed_stack, "store_of", lambda *_, **__: through_store)
            return main(["erase", "--stack", stack, "--yes", "--", user_id])

    return run


@pytest.fixture(params=IDS[:1])
def user_id(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def used(store: Store, user_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two users, one of whom is erased; the events of the first days have expired."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON - 8 * DAY)
    store.state.put_first_period(Period(FIRST_DAY, SETTINGS), NOON)
    for ago in USED:
        for user, cost in ((user_id, "0.1234567890123456789012345"), ("bob", "7.00000000000001")):
            ts = timestamp(NOON - ago * DAY)
            made = event(userId=user, ts=ts, eventId=f"{ago}", costUSD=None, costEUR=Decimal(cost))
            store.ledger.append(BUILDER.build(made, NOON).item)
    roll_up(store, NOON)
    roll_up(store, NOON)  # it stores the days that the first one has made final
    for ago in (7, 6):
        for user in (user_id, "bob"):
            delete_event(store, user, ago)


def delete_event(store: Store, user: str, ago: int) -> None:
    """As TTL does."""
    day = CALENDAR.day_of(NOON - ago * DAY)
    key = {
        "dayShard": keys.day_shard(day, CALENDAR.shard_of(user, day)),
        "userEvent": user_event(user, f"{ago}"),
    }
    store.client.delete_item(
        TableName=store.ledger.name, Key={name: {"S": value} for name, value in key.items()}
    )


def roll_up(store: Store, now: datetime) -> None:
    """Do what the planner and its workers do."""
    due = plan(store, CALENDAR, now)
    store.state.put_progress(due.progress)
    for day, shard in due.targets:
        recompute(store, CALENDAR, Terms(), day, shard, as_of=now)
    store_daily_totals(store, CALENDAR, due.progress.watermark, now, lambda: 1.0)


def naming(store: Store) -> set[tuple[str, str]]:
    """What names the user: tables, and kinds of items of State."""
    found = set()
    for table in (store.ledger.name, store.summaries.name, store.state.name):
        for wire in store.client.scan(TableName=table)["Items"]:
            item = item_from_wire(wire)
            if any(MARKER in text for text in texts(item)):
                found.add((table.rsplit("-")[-1], item.get("kind", "")))
    return found


def texts(value: Any) -> Iterator[str]:
    """Each text in an item, in compressed rows too."""
    match value:
        case str():
            yield value
        case bytes():
            yield from texts(json.loads(zlib.decompress(value)))
        case dict():
            yield from (text for pair in value.items() for part in pair for text in texts(part))
        case list():
            yield from (text for element in value for text in texts(element))


def by_user(store: Store, day: str) -> dict[str | None, Any]:
    """Requests and euros by user, and that they are all of the day."""
    items = BreakdownReader(store, CALENDAR).values("user", day, day)["items"]
    total = UsageReader(store, CALENDAR, Terms()).platform(day, day)["total"]
    for name in ("requests", "tokens_in", "costEUR", "billedEUR", "latencyTotal", "rated", "unrated"):
        assert sum(item[name] for item in items) == total[name], name
    return {item["value"]: (item["requests"], item["costEUR"]) for item in items}


THEIRS = (1, Decimal("7.00000000000001"))
ERASED = (1, Decimal("0.1234567890123456789012345"))


def test_the_user_is_named_in_all_these(store: Store) -> None:
    """So the others cannot pass for nothing."""
    shards = {("State", f"breakdown#{CALENDAR.day_of(NOON - ago * DAY)}") for ago in USED}
    stored = {("State", "breakdown#user"), ("DailySummaries", ""), ("RequestEvents", "")}
    assert naming(store) == shards | stored
    assert [by_user(store, day) for day in EXPIRED] == [{MARKER: ERASED, "bob": THEIRS}] * 2


@pytest.mark.parametrize("user_id", IDS, indirect=True)
def test_after_an_erase_and_a_rollup_nothing_names_the_user(store: Store, user_id: str, erase: Erase) -> None:
    assert erase(user_id) == 0
    assert {kind for _, kind in naming(store)} <= {
        f"breakdown#{CALENDAR.day_of(NOON - ago * DAY)}" for ago in (1, 0)
    }
    for day in EXPIRED:  # at once; the sums stay, in the rest
        assert by_user(store, day) == {"bob": THEIRS, None: ERASED}
    roll_up(store, LATER)
    assert naming(store) == set()
    for day in EXPIRED:
        assert by_user(store, day) == {"bob": THEIRS, None: ERASED}
    for ago in (1, 0):
        assert by_user(store, CALENDAR.day_of(NOON - ago * DAY)) == {"bob": THEIRS}


def test_the_rows_of_others_stay_as_they_are(store: Store, user_id: str, erase: Erase) -> None:
    def rows(by: str) -> Any:
        return BreakdownReader(store, CALENDAR).values(by, min(EXPIRED), max(EXPIRED))["items"]

    before = {by: rows(by) for by in ("model", "provider", "team", "key", "tag")}
    assert erase("bob") == 0
    assert erase(user_id) == 0
    assert {by: rows(by) for by in before} == before
    [rest] = rows("user")
    assert (rest["value"], rest["rest"], rest["requests"]) == (None, True, 4)


@pytest.mark.parametrize("stops_after", range(12))
def test_an_erase_that_is_stopped_anywhere_is_finished_by_the_next(
    store: Store, user_id: str, erase: Erase, stops_after: int
) -> None:
    left = stops_after

    def count_down(name: str, carry_out: Any, options: dict[str, Any]) -> Any:
        nonlocal left
        if name in ("put_item", "update_item", "batch_write_item", "delete_item"):
            if not left:
                raise EndpointConnectionError(endpoint_url="dynamodb")
            left -= 1
        return carry_out(**options)

    erase(user_id, through(store, count_down))
    erase(user_id)
    roll_up(store, LATER)
    assert naming(store) == set()
    assert by_user(store, EXPIRED[0]) == {"bob": THEIRS, None: ERASED}


def test_a_planner_that_stores_the_day_meanwhile_stores_it_again(
    store: Store, user_id: str, erase: Erase
) -> None:
    """It has read the shards before, and writes the day after the erase."""
    [day, _] = EXPIRED
    store.state.outdate_daily_total(day)
    done = False

    def erase_first(name: str, carry_out: Any, options: dict[str, Any]) -> Any:
        nonlocal done
        kind = options.get("Item", {}).get("kind", {}).get("S")
        if (name, kind, done) == ("put_item", "breakdown#user", False):
            done = True
            assert erase(user_id) == 0
        return carry_out(**options)

    watermark = plan(store, CALENDAR, LATER).progress.watermark
    store_daily_totals(through(store, erase_first), CALENDAR, watermark, LATER, lambda: 1.0)
    assert done
    roll_up(store, LATER)
    assert naming(store) == set()
    assert by_user(store, day) == {"bob": THEIRS, None: ERASED}


@pytest.mark.parametrize("kind", [f"breakdown#{EXPIRED[0]}", "breakdown#user"])
def test_what_is_written_at_the_same_moment_stays(
    store: Store, user_id: str, erase: Erase, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user is erased between reading and writing."""
    monkeypatch.setattr(erasure, "WORKERS", 1)
    done = False

    def erase_other(name: str, carry_out: Any, options: dict[str, Any]) -> Any:
        nonlocal done
        if name == "put_item" and options["Item"]["kind"]["S"] == kind and not done:
            done = True
            for day in EXPIRED:
                store.breakdowns.remove_from_shard(day, CALENDAR.shard_of("bob", day), "user", "bob")
                store.breakdowns.remove_from_day("user", day, "bob")
        return carry_out(**options)

    assert erase(user_id, through(store, erase_other)) == 0
    assert done
    items = [item for day in EXPIRED for item in store.breakdowns.of_shards(day)]
    items += store.breakdowns.of_days("user", EXPIRED[0], EXPIRED[1]).values()
    assert [Encoded(item["rows"]).rows("user").values for item in items] == [{}] * len(items)
    whole = (2, THEIRS[1] + ERASED[1])
    assert [by_user(store, day) for day in EXPIRED] == [{None: whole}] * 2
