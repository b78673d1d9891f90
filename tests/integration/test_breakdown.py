"""Usage by dimension, from events to what the API returns: as exact as the platform's totals."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from impact import breakdown
from impact.billing import Terms
from impact.breakdown import DIMENSIONS, WHOLE
from impact.breakdown_reader import BreakdownReader
from impact.decimals import EXACT
from impact.fx_rates import FxRate
from impact.ledger_store import LedgerStore
from impact.rollup_planner import store_daily_totals
from impact.state_store import StateStore
from impact.store import Store
from impact.usage_reader import UsageReader
from tests.conftest import DYNAMODB_LOCAL_URL
from tests.events import NOON
from tests.integration.steps import BUILDER, TODAY, delete_events, now_event, put, recompute_again, roll_up
from tests.rates import publish
from tests.tables import drop_tables, make_tables

pytestmark = pytest.mark.usefixtures("ledger_since_noon")

CLOSED = BUILDER.calendar.closes_at(TODAY) + timedelta(minutes=1)
CALENDAR = BUILDER.calendar

amounts = st.decimals(0, 10**6, places=30).map(lambda number: +number) | st.sampled_from(
    [Decimal("1E-30"), 0]
)
labels = st.none() | st.sampled_from(
    ["", "Marketing", "marketing", "MARKETING", "=1+1", "a#b", "\u202egnp", "null"]
)
events = st.lists(
    st.fixed_dictionaries(
        {
            "userId": st.sampled_from(["alice", "Alice", "bob", "a#"]),
            "model": st.sampled_from(["gpt-4o", "GPT-4o", "m/x"]),
            "provider": st.sampled_from(["openai", "unknown"]),
            "teamId": labels,
            "keyAlias": labels,
            "tags": st.none() | st.lists(st.sampled_from(["a", "A", "b", "other"]), max_size=3),
            "costUSD": st.none() | amounts,
            "costEUR": st.none() | amounts,
            "latency": st.decimals(0, 1000, places=20),
        }
    ),
    max_size=12,
)


def read(store: Store, by: str) -> dict[str, Any]:
    return BreakdownReader(store, CALENDAR).values(by, TODAY, TODAY)


def whole(store: Store) -> dict[str, Any]:
    total: dict[str, Any] = UsageReader(store, CALENDAR, Terms()).platform(TODAY, TODAY)["total"]
    return total


def added(items: list[dict[str, Any]], name: str) -> Any:
    with localcontext(EXACT):
        return sum((Decimal(item[name]) for item in items if name in item), Decimal(0))


@contextmanager
def fresh_store() -> Iterator[Store]:
    with mock_aws():
        made = make_tables()
        yield made
        if DYNAMODB_LOCAL_URL:
            drop_tables(made)


@pytest.mark.parametrize("examples", [10, pytest.param(60, marks=pytest.mark.long)])
def test_each_dimension_adds_up_to_the_totals(examples: int) -> None:
    settings(max_examples=examples, deadline=None)(
        given(
            some=events,
            with_rate=st.booleans(),
            closes=st.booleans(),
            values_max=st.sampled_from([1000, 2, 0]),
        )(each_dimension_adds_up_to_the_totals)
    )()


def each_dimension_adds_up_to_the_totals(
    some: list[dict[str, Any]], with_rate: bool, closes: bool, values_max: int
) -> None:
    now = CLOSED if closes else NOON
    with (
        patch.multiple(breakdown, VALUES_MAX=values_max, HELD_MAX=values_max * 2),
        fresh_store() as store,
    ):
        if with_rate:
            publish(store, FxRate("2026-11-20", Decimal("1.1173")))
        put(store, *(now_event(eventId=str(number), **fields) for number, fields in enumerate(some)))
        roll_up(store, now)
        assert_all_add_up(store)  # the reader adds up the shards
        if progress := store.state.progress():
            store_daily_totals(store, CALENDAR, progress.watermark, now, lambda: 1.0)
        assert_all_add_up(store)  # as the planner has stored a final day


def assert_all_add_up(store: Store) -> None:
    total = whole(store)
    for by in WHOLE:
        items = read(store, by)["items"]
        for name, value in total.items():
            if isinstance(value, int | Decimal) and name != "latencyMax":
                assert added(items, name) == value, (by, name)


@pytest.mark.parametrize("by", DIMENSIONS)
def test_nothing_used_is_an_empty_list(store: Store, by: str) -> None:
    shown = read(store, by)
    assert (shown["items"], shown["next"]) == ([], None)


# Recomputes that overlap, or die


def test_an_older_reading_of_an_open_day_never_replaces_a_newer_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, now_event(eventId="1"))
    read_pages = LedgerStore.event_pages

    def slow(self: LedgerStore, *args: Any, **kwargs: Any) -> Iterator[Any]:
        pages = list(read_pages(self, *args, **kwargs))
        monkeypatch.setattr(LedgerStore, "event_pages", read_pages)
        put(store, now_event(eventId="2"))
        recompute_again(store, NOON)
        yield from pages

    monkeypatch.setattr(LedgerStore, "event_pages", slow)
    recompute_again(store, NOON)
    assert_all_add_up(store)
    assert [item["requests"] for item in read(store, "user")["items"]] == [2]


@pytest.mark.parametrize("now", [NOON, CLOSED])
def test_rows_are_right_after_a_recompute_that_died_and_events_that_were_deleted(
    store: Store, monkeypatch: pytest.MonkeyPatch, now: datetime
) -> None:
    """The ledger is what it was for the stored total; the rows are those of the recompute that died."""
    put(store, now_event(eventId="1"))
    recompute_again(store, now)
    put(store, now_event(eventId="2"), now=now)
    with monkeypatch.context() as patch:
        patch.setattr(StateStore, "put_shard_total", _die)
        with pytest.raises(InterruptedError):
            recompute_again(store, now)
    delete_events(store, "alice", "2")
    recompute_again(store, now)
    recompute_again(store, CLOSED)
    assert_all_add_up(store)
    assert [item["requests"] for item in read(store, "user")["items"]] == [1]


def _die(*_: Any, **__: Any) -> None:
    raise InterruptedError


def test_what_did_not_change_is_not_written_again(store: Store) -> None:
    put(store, now_event(eventId="1"))
    recompute_again(store, NOON)
    [before] = store.breakdowns.of_shards(TODAY)
    recompute_again(store, NOON + timedelta(hours=1))
    assert store.breakdowns.of_shards(TODAY) == [before]


def test_days_without_use_are_final_once_the_watermark_has_passed_them(store: Store) -> None:
    roll_up(store, NOON)
    assert not read(store, "team")["final"]  # it is open
    roll_up(store, CLOSED)
    roll_up(store, CLOSED)
    assert read(store, "team")["final"]
    put(store, now_event(costUSD=None), now=CLOSED)
    assert not read(store, "team")["final"]
    roll_up(store, CLOSED)
    assert read(store, "team")["final"]
