"""Sums of events: exact, in any order, in any parts."""

import json
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from impact.dynamodb import item_from_wire, to_wire
from impact.summary import MODELS_MAX, Tally, tallies_by_user, tally
from tests.events import NOON, event, ledger

LEDGER = ledger()


def wire(**fields: Any) -> dict[str, Any]:
    """An event as the rollup reads it."""
    return to_wire(LEDGER.entry(event(**fields), NOON).item)


def test_ten_thousand_costs_sum_to_the_exact_decimal() -> None:
    costs = [Decimal("0.1"), Decimal("0.2"), Decimal("8.4e-07"), Decimal("0.0055875000000000005")]
    events = [wire(costUSD=costs[n % 4], eventId=str(n)) for n in range(10_000)]
    random.Random(1).shuffle(events)
    assert tally(events).costUSD == Decimal("763.97085000000000125")


@given(
    st.lists(st.decimals(0, 10**9, places=29), max_size=20),
    st.lists(st.decimals(0, 1, places=29), max_size=20),
)
def test_a_sum_is_exact_and_its_parts_add_up(some: list[Decimal], others: list[Decimal]) -> None:
    first = tally(wire(costEUR=cost, costUSD=None) for cost in some)
    second = tally(wire(costEUR=cost, costUSD=None) for cost in others)
    whole = tally(wire(costEUR=cost, costUSD=None) for cost in some + others)
    first.merge(second)
    assert first == whole
    assert Fraction(whole.costEUR) == sum(map(Fraction, some + others))


def test_what_is_stored_is_read_back() -> None:
    sums = tally([wire(costUSD=Decimal("1E-7")), wire(costUSD=100, status="failure"), wire(costUSD=None)])
    assert Tally.from_fields(item_from_wire(to_wire(sums.as_fields()))) == sums


def test_fields_of_another_version_are_left_alone() -> None:
    stored = tally([wire()]).as_fields()
    stored["models"]["openai/gpt-4o"]["energyKWh"] = 1
    assert Tally.from_fields(stored | {"energyKWh": 1}) == tally([wire()])


def test_users_are_told_apart_across_pages() -> None:
    pages = [
        [wire(userId="a")],
        [wire(userId="a"), wire(userId="b")],
        [],
        [wire(userId="b"), wire(userId="c")],
    ]
    counted = [(user_id, sums.requests) for user_id, sums in tallies_by_user(pages)]
    assert counted == [("a", 2), ("b", 2), ("c", 1)]


def test_unpriced_is_not_free() -> None:
    sums = tally([wire(costUSD=0), wire(costUSD=None), wire(costUSD=None, costEUR=0)])
    assert (sums.requests, sums.unpriced) == (3, 1)
    assert sums.costUSD + sums.costEUR == 0


def test_a_summary_of_the_longest_names_fits_an_item() -> None:
    """DynamoDB's limit is 400 KB. The JSON of the wire is larger than what counts."""
    names = [f"{n:03d}" + "😀" * 253 for n in range(MODELS_MAX + 5)]
    sums = tally(
        wire(userId="a", eventId=str(n), model=name, costUSD=Decimal("0.1")) for n, name in enumerate(names)
    )
    sums.models = {f"{'😀' * 64}/{name.partition('/')[2]}": model for name, model in sums.models.items()}
    assert len(sums.models) == MODELS_MAX + 1
    assert len(json.dumps(to_wire(sums.as_fields()), ensure_ascii=False).encode()) < 400 * 1024
