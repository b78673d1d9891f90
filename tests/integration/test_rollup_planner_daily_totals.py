"""The platform's rows of final days: they show what the shards' totals come to, whatever happens when."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from math import inf
from typing import Any

import pytest
import simplejson

from impact import rollup_planner
from impact.billing import Terms
from impact.calendar import day_before, days_between, timestamp
from impact.dynamodb import to_wire
from impact.keys import shard_of
from impact.ledger_store import LedgerStore
from impact.recompute import recompute
from impact.rollup_planner import store_daily_totals
from impact.state_store import StateStore
from impact.store import Store
from impact.usage_reader import UsageReader
from tests.events import NOON, entry_builder, event
from tests.integration.steps import put, roll_up
from tests.rates import THAT_WINTER, publish

BUILDER = entry_builder(shard_count=2)
CALENDAR = BUILDER.calendar
TODAY = NOON.date().isoformat()
DAYS = list(days_between(day_before(TODAY, 4), TODAY))
LATE_DAY = DAYS[1]
SHARD = shard_of("alice", 2)


@pytest.fixture(autouse=True)
def used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days of use by two users, and one without any; all are final but the last one."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON - timedelta(days=4))
    publish(store, *THAT_WINTER)
    for number, day in enumerate(DAYS):
        at = NOON - timedelta(days=4 - number)
        if day != DAYS[2]:
            cost = Decimal(f"0.{number + 1}0000000000000007")
            sent = event(ts=timestamp(at), costUSD=cost), event(ts=timestamp(at), userId="bob")
            put(store, *sent, now=at, builder=BUILDER)
    roll_up(store, NOON, BUILDER)


def store_totals(store: Store) -> int:
    return store_daily_totals(store, CALENDAR, day_before(TODAY), NOON, lambda: inf)


def late(store: Store) -> None:
    """Store an event after its day was recomputed. It leaves a mark."""
    at = NOON - timedelta(days=3)
    put(store, event(ts=timestamp(at), eventId="late", costUSD=7), now=NOON, builder=BUILDER)


def recompute_late_day(store: Store) -> None:
    """Do what the worker does: recompute that day, and clear the mark."""
    recompute(store, CALENDAR, Terms(), LATE_DAY, SHARD, as_of=NOON + timedelta(minutes=1))


def shown(store: Store) -> Any:
    return UsageReader(store, CALENDAR, Terms()).platform(DAYS[0], TODAY)


def by_totals(store: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is shown where no row is stored."""
    with monkeypatch.context() as patch:
        patch.setattr(StateStore, "daily_totals", lambda *_: {})
        return shown(store)


def text(usage: Any) -> str:
    return simplejson.dumps(usage, use_decimal=True)


def requests_of(store: Store) -> tuple[int, bool]:
    [row] = [row for row in shown(store)["days"] if row["day"] == LATE_DAY]
    return row["requests"], row["final"]


@contextmanager
def at_request(store: Store, number: int, do: Callable[[], None]) -> Iterator[list[int]]:
    """Do something before that request to DynamoDB (the first one is 0). Yields their number, in a list."""
    made = [0]
    with pytest.MonkeyPatch.context() as patch:
        for operation in ("query", "get_item", "update_item", "batch_get_item"):
            send = getattr(store.client, operation)

            def spy(send: Any = send, **request: Any) -> Any:
                made[0] += 1
                if made[0] - 1 == number:
                    do()
                return send(**request)

            patch.setattr(store.client, operation, spy)
        yield made


def test_rows_show_what_totals_show(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = text(shown(store))
    assert store_totals(store) == 4
    assert text(shown(store)) == before
    late(store)
    assert requests_of(store) == (2, False)
    recompute_late_day(store)
    assert requests_of(store) == (3, True)
    assert text(shown(store)) == text(by_totals(store, monkeypatch))
    assert store_totals(store) == 1
    assert text(shown(store)) == text(by_totals(store, monkeypatch))
    assert requests_of(store) == (3, True)


@pytest.mark.parametrize("was_stored", [False, True])
@pytest.mark.parametrize("number", range(6))
def test_a_total_that_changes_while_its_day_is_summed_up(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, was_stored: bool
) -> None:
    """The planner makes up to five requests; the worker is done before one of them, or after the last."""
    if was_stored:
        store_totals(store)
    late(store)
    with at_request(store, number, lambda: recompute_late_day(store)) as made:
        rollup_planner._store_daily_total(store, CALENDAR, LATE_DAY)
    if made[0] <= number:
        recompute_late_day(store)
    assert requests_of(store) == (3, True)
    assert text(shown(store)) == text(by_totals(store, monkeypatch))


@pytest.mark.parametrize("number", range(6))
def test_a_worker_that_dies_after_the_total_leaves_the_mark(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store_totals(store)
    late(store)

    def dies() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(StateStore, "outdate_daily_total", _die)
            with pytest.raises(InterruptedError):
                recompute_late_day(store)

    with at_request(store, number, dies) as made:
        rollup_planner._store_daily_total(store, CALENDAR, LATE_DAY)
    if made[0] <= number:
        dies()
    assert requests_of(store) == (3, False)
    recompute_late_day(store)
    assert requests_of(store) == (3, True)
    store_totals(store)
    assert requests_of(store) == (3, True)
    assert text(shown(store)) == text(by_totals(store, monkeypatch))


def _die(*_: Any) -> None:
    raise InterruptedError


def test_the_planner_sums_up_the_newest_days_first_and_not_all_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup_planner, "DAILY_TOTALS_MAX", 2)
    assert (store_totals(store), _stored_days(store)) == (2, DAYS[2:4])
    assert (store_totals(store), _stored_days(store)) == (2, DAYS[0:4])
    assert (store_totals(store), _stored_days(store)) == (0, DAYS[0:4])


def test_the_planner_stops_where_its_time_ends(store: Store) -> None:
    left = iter([1, 1, 0])
    assert store_daily_totals(store, CALENDAR, day_before(TODAY), NOON, lambda: next(left)) == 2


def test_before_the_first_recompute_there_is_nothing_to_sum_up(store: Store) -> None:
    for total in list(store.state.shard_totals(DAYS[0], TODAY)):
        key = to_wire({"kind": "total", "key": total["key"]})
        store.client.delete_item(TableName=store.state.name, Key=key)
    assert store_totals(store) == 0


def _stored_days(store: Store) -> list[str]:
    return [day for day, known in store.state.daily_totals(DAYS[0], TODAY).items() if known.sums is not None]
