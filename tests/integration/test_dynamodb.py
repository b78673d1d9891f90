"""Read consistency, conditional writes, and writes whose response was lost."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from impact.calendar import timestamp
from impact.dynamodb import Version, connect, item_from_wire, to_wire
from impact.fx_rates import FxRate
from impact.keys import day_shard
from impact.store import Store
from tests.events import NOON
from tests.intercepted import through

DAY, KEY = "2026-11-20", day_shard("2026-11-20", 1)
TOTAL = {"asOf": timestamp(NOON), "day": DAY, "shard": 1, "costEUR": Decimal("0.50")}
SUMMARY = {"userId": "alice", "dayShard": KEY} | TOTAL
LATER = NOON + timedelta(hours=1)

Read = Callable[[Store], Any]
CONSISTENT: dict[str, Read] = {
    "a user's summaries": lambda store: list(store.summaries.of_user("alice", DAY, DAY)),
    "summaries": lambda store: store.summaries.get_many([("alice", DAY)], consistent=True),
    "events": lambda store: list(store.ledger.event_pages(KEY, consistent=True)),
    "a user's events": lambda store: list(store.ledger.event_pages(KEY, user_id="alice", consistent=True)),
    "rates": lambda store: store.state.fx_rates(DAY, DAY),
    "a rate": lambda store: store.state.fx_rate_of(DAY),
    "a rate and its corrections": lambda store: store.state.fx_rate_entries(DAY),
    "periods": lambda store: store.state.periods(),
    "a late mark": lambda store: store.state.late_mark(DAY, 1),
    "late marks": lambda store: store.state.marked(),
    "a total": lambda store: store.state.shard_total(KEY),
    "totals": lambda store: list(store.state.shard_totals(DAY, DAY)),
    "users by shard": lambda store: store.state.users_by_shard(DAY),
    "the first day": lambda store: store.state.first_day_with_total(),
    "sums of days": lambda store: store.state.daily_totals(DAY, DAY),
    "progress": lambda store: store.state.progress(),
}
EVENTUAL: dict[str, Read] = {
    "summaries": lambda store: store.summaries.get_many([("alice", DAY)], consistent=False),
    "events": lambda store: list(store.ledger.event_pages(KEY, consistent=False)),
}
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=12)
VALUES = st.recursive(
    st.booleans() | st.integers(-(10**37), 10**37) | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def consistency(store: Store, read: Read) -> set[bool]:
    """What a read asks for."""
    asked: set[bool] = set()

    def note(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        [request] = options["RequestItems"].values() if name == "batch_get_item" else [options]
        asked.add(request.get("ConsistentRead", False))
        return carry_out(**options)

    read(through(store, note))
    return asked


@pytest.mark.parametrize("what", CONSISTENT)
def test_what_decides_is_read_as_it_is_now(store: Store, what: str) -> None:
    assert consistency(store, CONSISTENT[what]) == {True}


@pytest.mark.parametrize("what", EVENTUAL)
def test_what_is_read_again_anyway_is_read_at_half_the_price(store: Store, what: str) -> None:
    assert consistency(store, EVENTUAL[what]) == {False}


def test_a_put_whose_response_was_lost_knows_its_own_item(lossy_store: Store) -> None:
    assert lossy_store.summaries.put(SUMMARY, None)
    [found] = lossy_store.summaries.of_user("alice", DAY, DAY)
    assert lossy_store.summaries.put(SUMMARY | {"asOf": timestamp(LATER)}, Version.of(found))
    assert lossy_store.state.put_shard_total(KEY, TOTAL, None)
    total = lossy_store.state.shard_total(KEY)
    assert total
    assert lossy_store.state.put_shard_total(KEY, TOTAL | {"costEUR": 1}, Version.of(total))
    assert lossy_store.state.put_fx_rate(FxRate(DAY, Decimal("1.1")), source="test", now=NOON)


def test_an_equal_item_of_another_recompute_is_not_our_own(store: Store) -> None:
    assert store.summaries.put(SUMMARY, None)
    assert not store.summaries.put(SUMMARY, None)
    assert store.state.put_shard_total(KEY, TOTAL, None)
    assert not store.state.put_shard_total(KEY, TOTAL, None)


def test_a_delete_whose_response_was_lost_is_done(lossy_store: Store) -> None:
    assert lossy_store.summaries.put(SUMMARY, None)
    [found] = lossy_store.summaries.of_user("alice", DAY, DAY)
    assert lossy_store.summaries.delete("alice", DAY, Version.of(found))
    assert list(lossy_store.summaries.of_user("alice", DAY, DAY)) == []


REGIONAL = "https://dynamodb.eu-central-1.amazonaws.com"  # as template.yaml writes it out
EMULATOR = "http://127.0.0.1:4566"


@pytest.mark.parametrize(
    ("own", "general", "called"),
    [
        (REGIONAL, None, REGIONAL),
        (REGIONAL, EMULATOR, EMULATOR),
        ("http://localhost:8000", EMULATOR, "http://localhost:8000"),
        ("", EMULATOR, EMULATOR),
        ("", None, REGIONAL),
    ],
)
def test_which_endpoint_is_called(
    monkeypatch: pytest.MonkeyPatch, own: str, general: str | None, called: str
) -> None:
    """On an emulator, the regional endpoint of the template must not lead to AWS."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", own)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if general:
        monkeypatch.setenv("AWS_ENDPOINT_URL", general)
    assert connect(read_timeout=1, attempts=1).meta.endpoint_url == called


@given(value=VALUES | st.none())
def test_an_item_is_written_as_boto3_writes_it(value: Any) -> None:
    assert to_wire({"it": value}) == {"it": TypeSerializer().serialize(value)}


@given(value=VALUES)
def test_an_item_is_read_as_it_was_written(value: Any) -> None:
    assert item_from_wire(to_wire({"it": value})) == {"it": value}


@pytest.mark.parametrize("value", [1.5, {1}, (1,)])
def test_no_item_holds_a_float_or_what_nobody_reads(value: Any) -> None:
    with pytest.raises(TypeError, match="no type of an item"):
        to_wire({"it": [value]})
