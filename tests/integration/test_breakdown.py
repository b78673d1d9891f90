"""Usage by dimension, from events to what the API returns: as exact as the platform's totals."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
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
from impact.rollup_planner import store_daily_totals
from impact.store import Store
from impact.usage_reader import UsageReader
from tests.conftest import DYNAMODB_LOCAL_URL
from tests.events import NOON
from tests.integration.steps import BUILDER, TODAY, now_event, put, roll_up
from tests.rates import publish
from tests.tables import drop_tables, make_tables

pytestmark = pytest.mark.usefixtures("ledger_since_noon")

CLOSED = BUILDER.calendar.closes_at(TODAY) + timedelta(minutes=1)
CALENDAR = BUILDER.calendar

amounts = st.decimals(0, 10**6, places=30).map(lambda number: +number) | st.sampled_from(
    [Decimal("1E-30"), 0]
)
labels = st.none() | st.sampled_from(
    ["Marketing", "marketing", "MARKETING", "=1+1", "a#b", "\u202egnp", "null"]
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


@pytest.mark.parametrize("examples", [10, pytest.param(200, marks=pytest.mark.long)])
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
