"""Events as the rollup reads them: from DynamoDB's JSON, or from items that are decoded already."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.dynamodb import QueryResponse, item_from_wire, to_wire
from impact.ledger_event import EVENT_FIELDS, LedgerEvent, decode_events, events_of
from request_events.limits import COST_MAX, TOKENS_MAX
from tests.events import NOON, entry_builder, event

BUILDER = entry_builder()
TEXTS = st.text(min_size=1, max_size=20).filter(lambda text: text.strip() and "{{" not in text)


def item(**fields: Any) -> dict[str, Any]:
    return to_wire(BUILDER.build(event(**fields), NOON).item)


@given(
    st.fixed_dictionaries(
        {
            "userId": TEXTS,
            "model": TEXTS,
            "teamId": st.none() | TEXTS,
            "keyAlias": st.none() | TEXTS,
            "tags": st.none() | st.lists(TEXTS, max_size=5),
            "costUSD": st.none() | st.decimals(0, COST_MAX, places=20),
            "tokens_in": st.integers(0, TOKENS_MAX),
            "tokens_cached": st.none() | st.integers(0, TOKENS_MAX),
            "cacheHit": st.none() | st.booleans(),
            "latency": st.decimals(0, 1000, places=12),
        }
    )
)
def test_each_field_is_read_as_it_was_stored(fields: dict[str, Any]) -> None:
    stored = item(**fields)
    raw = QueryResponse(json.dumps({"Items": [stored], "Count": 1}).encode())
    [read] = decode_events(raw.raw_items)
    assert [read] == events_of([stored]) == events_of(raw["Items"])
    there = item_from_wire(stored)
    for name in EVENT_FIELDS:
        assert value(read, name) == there.get(name), name


def value(read: LedgerEvent, name: str) -> Any:
    """A field without DynamoDB's type."""
    attribute = getattr(read, name)
    if attribute is None:
        return None
    [kind] = attribute.__struct_fields__
    content = getattr(attribute, kind)
    return [element.S for element in content] if kind == "L" else content


def test_a_number_keeps_all_its_digits() -> None:
    cost = Decimal("0.00000012345678901234567890123456789")
    [read] = events_of([item(costUSD=cost)])
    assert read.costUSD is not None
    assert cost == read.costUSD.N


@pytest.mark.parametrize(
    "change", [{"tokens_in": {"N": "1.5"}}, {"userId": {"N": "1"}}, {"latency": {"N": "soon"}}]
)
def test_what_is_no_event_is_not_read(change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        events_of([item() | change])


def test_a_field_that_is_needed_and_missing_is_named() -> None:
    stored = item()
    del stored["provider"]
    with pytest.raises(msgspec.ValidationError, match="provider"):
        events_of([stored])
