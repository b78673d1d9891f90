"""Recompute: for any events, any order, duplication and split into rollups, summaries equal a plain sum."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from impact.calendar import timestamp
from impact.ledger_entry import EntryBuilder
from impact.store import Store
from tests.conftest import DYNAMODB_LOCAL_URL
from tests.events import NOON, entry_builder
from tests.integration.steps import put, roll_up
from tests.rates import THAT_WINTER, publish
from tests.tables import drop_tables, make_tables

pytestmark = pytest.mark.usefixtures("ledger_since_noon")

RAW = st.fixed_dictionaries(
    {
        "userId": st.sampled_from(["alice", "bob", "a#", "a%23", "😀"]),
        "eventId": st.sampled_from([str(n) for n in range(8)]),
        "ts": st.integers(0, 4 * 24).map(lambda h: timestamp(NOON - timedelta(hours=h))),
        "model": st.sampled_from(["gpt-4o", "llama"]),
        "provider": st.sampled_from(["openai", "groq"]),
        "tokens_in": st.integers(0, 10**6),
        "tokens_out": st.integers(0, 10**6),
        "latency": st.decimals(0, 1000, places=6),
        "status": st.sampled_from(["success", "failure"]),
    },
    optional={
        "costUSD": st.decimals(0, 100, places=20),
        "costEUR": st.decimals(0, 100, places=20),
        "tokens_cached": st.integers(0, 1000),
        "tokens_reasoning": st.integers(0, 1000),
    },
)
SUMMED = (
    *("requests", "failures", "unpriced", "latencyTotal", "costEUR", "costUSD"),
    *("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning"),
)


@contextmanager
def fresh_store() -> Iterator[Store]:
    with mock_aws():
        made = make_tables()
        publish(made, *THAT_WINTER)
        yield made
        if DYNAMODB_LOCAL_URL:
            drop_tables(made)


def plain_sums(
    events: list[dict[str, Any]], builder: EntryBuilder
) -> dict[tuple[str, str], dict[str, Fraction]]:
    """The oracle: the first of each key, summed in fractions."""
    distinct: dict[tuple[str, str, str], dict[str, Any]] = {}
    for raw in events:
        day = builder.calendar.day_of(datetime.fromisoformat(raw["ts"]))
        distinct.setdefault((raw["userId"], day, raw["eventId"]), raw)
    sums: dict[tuple[str, str], dict[str, Fraction]] = {}
    for (user_id, day, _), raw in distinct.items():
        of = sums.setdefault((user_id, day), dict.fromkeys(SUMMED, Fraction(0)))
        for name in SUMMED:
            of[name] += Fraction(raw.get(name, 0))
        if "costEUR" not in raw:  # a dollar is a euro here
            of["costEUR"] += Fraction(raw.get("costUSD", 0))
        of["requests"] += 1
        of["failures"] += raw["status"] == "failure"
        of["unpriced"] += "costUSD" not in raw and "costEUR" not in raw
        of["latencyTotal"] += Fraction(raw["latency"])
    return sums


@pytest.mark.parametrize("examples", [5, pytest.param(30, marks=pytest.mark.long)])
def test_summaries_equal_a_plain_sum(examples: int) -> None:
    settings(max_examples=examples, deadline=None)(
        given(
            events=st.lists(RAW, max_size=30),
            zone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Kiritimati", "America/St_Johns"]),
            shard_count=st.integers(1, 5),
            data=st.data(),
        )(summaries_equal_a_plain_sum)
    )()


def summaries_equal_a_plain_sum(
    events: list[dict[str, Any]], zone: str, shard_count: int, data: st.DataObject
) -> None:
    builder = entry_builder(zone, shard_count=shard_count)
    sent = list(events)
    if events:
        sent += data.draw(st.lists(st.sampled_from(events), max_size=20), label="sent again")
    rollups = data.draw(st.sets(st.integers(0, len(sent)), max_size=4), label="rollups before")
    with fresh_store() as store:
        for index, raw in enumerate(sent):
            if index in rollups:
                roll_up(store, NOON + timedelta(seconds=index), builder)
            put(store, raw, now=NOON + timedelta(seconds=index), builder=builder)
        roll_up(store, NOON + timedelta(hours=1), builder)
        expected = plain_sums(sent, builder)
        found = {
            (item["userId"], item["day"]): item
            for item in map(_item, store.client.scan(TableName=store.summaries.name)["Items"])
        }
        assert found.keys() == expected.keys()
        for key, sums in expected.items():
            assert {name: Fraction(found[key][name]) for name in SUMMED} == sums
            models = found[key]["models"].values()
            for name in ("requests", "tokens_in", "tokens_out", "costEUR", "costUSD"):
                assert sum(Fraction(model[name]) for model in models) == sums[name]
        days = {day for _, day in expected}
        for day in days:
            total = sum(t["requests"] for t in store.state.shard_totals(day, day))
            assert total == sum(sums["requests"] for (_, d), sums in expected.items() if d == day)
        assert store.state.marked() == set()


def _item(wire: dict[str, Any]) -> dict[str, Any]:
    from impact.dynamodb import item_from_wire

    return item_from_wire(wire)
