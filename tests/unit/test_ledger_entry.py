"""From an event to its item: keys, days, sizes."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.dynamodb import to_wire
from impact.keys import SORT_KEY_BYTES, shard_of, user_prefix
from impact.ledger_entry import EventRejected, item_size
from request_events.limits import EVENT_BYTES_MAX
from tests.events import NOON, entry_builder, event

BUILDER = entry_builder()


def item(**fields: Any) -> dict[str, Any]:
    return BUILDER.build(event(**fields), NOON).item


def test_the_key_comes_from_the_event_alone() -> None:
    later = BUILDER.build(event(), NOON + timedelta(hours=5)).item
    assert {k: item()[k] for k in ("dayShard", "userEvent")} == {
        k: later[k] for k in ("dayShard", "userEvent")
    }
    assert item()["dayShard"] == f"2026-11-23#{shard_of('alice', 4):02d}"
    assert item(userId="a#b%")["userEvent"] == "a%23b%25#e-1"


def test_the_content_names_an_event_without_an_id() -> None:
    assert item(eventId=None)["eventId"] == item(eventId=None, costUSD=Decimal("0.0047500"))["eventId"]
    assert item(eventId=None)["eventId"] != item(eventId=None, costUSD=Decimal("0.00476"))["eventId"]


def test_a_time_without_an_offset_is_utc_and_one_with_it_is_converted() -> None:
    assert item(ts="2026-11-23T11:00:00")["ts"] == "2026-11-23T11:00:00.000000Z"
    assert item(ts="2026-11-23t11:00:00.5+02:00")["ts"] == "2026-11-23T09:00:00.500000Z"


def test_the_largest_ids_fit() -> None:
    largest = item(
        userId="#" * 256, eventId="e" * 128, model="m" * 256, provider="p" * 64, tokens_in=10**12, costEUR=1
    )
    assert len(largest["userEvent"].encode()) <= SORT_KEY_BYTES


def test_the_largest_event_and_one_that_is_a_byte_larger() -> None:
    tags = ["t" * 100] * 16
    room = EVENT_BYTES_MAX - item_size(item(tags=[*tags, "t"])) + 1
    assert 1 < room < 256
    assert item_size(item(tags=[*tags, "t" * room])) == EVENT_BYTES_MAX
    with pytest.raises(EventRejected, match=f"tags makes the event larger than {EVENT_BYTES_MAX} bytes"):
        item(tags=[*tags, "t" * (room + 1)])


def test_the_longest_key_and_one_that_is_a_byte_longer() -> None:
    longest = "😀" * 130 + "#" * 125
    event_id = "e" * (SORT_KEY_BYTES - len(user_prefix(longest).encode()))
    assert 0 < len(event_id) <= 128
    assert len(item(userId=longest, eventId=event_id)["userEvent"].encode()) == SORT_KEY_BYTES
    with pytest.raises(EventRejected, match="userId is too long together with eventId"):
        item(userId=longest + "a", eventId=event_id)


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({"ü": "ü"}, 4),
        ({"a": True}, 2),
        ({"a": 0}, 1 + 2),
        ({"a": 12345}, 1 + 2 + 2),
        ({"a": Decimal("0.5")}, 1 + 2),
        ({"a": ["ü", True]}, 1 + 3 + (1 + 2) + (1 + 1)),
        ({"a": {"low": "x", "high": "yz"}}, 1 + 3 + (3 + 1) + (4 + 2) + 2),
    ],
)
def test_an_item_is_as_large_as_the_developer_guide_says(attributes: dict[str, Any], size: int) -> None:
    assert item_size(attributes) == size


def test_what_the_service_knows_is_added_as_long_as_there_is_room() -> None:
    entry = entry_builder().build(event(), NOON)
    room = EVENT_BYTES_MAX - item_size(entry.item) - len("note")
    assert entry.with_fields({"note": "n" * room}).item == entry.item | {"note": "n" * room}
    assert entry.with_fields({"note": "n" * (room + 1)}) == entry


@pytest.mark.parametrize(
    ("fields", "unpriced", "unrated"),
    [
        ({}, False, True),
        ({"costUSD": None}, True, True),
        ({"costUSD": 0}, False, True),
        ({"costUSD": None, "costEUR": 0}, False, True),
        ({"status": "failure"}, False, False),
        ({"cacheHit": True}, False, False),
        ({"cacheHit": False}, False, True),
    ],
)
def test_what_is_unpriced_and_what_is_unrated(fields: dict[str, Any], unpriced: bool, unrated: bool) -> None:
    entry = entry_builder().build(event(**fields), NOON)
    assert (entry.unpriced, entry.unrated) == (unpriced, unrated)
    assert not entry.with_fields({"energyKWh": {"low": 1, "high": 2}}).unrated


LABELS = ("callType", "modelGroup", "teamId", "keyAlias", "conversationId", "errorCode")


@given(
    st.fixed_dictionaries(
        {
            "userId": st.text("#a😀ü", min_size=1, max_size=256),
            "model": st.text("aü", min_size=1, max_size=256),
        },
        optional={
            **{name: st.text("xü", max_size=256) for name in LABELS},
            "tags": st.lists(st.text("t", min_size=1, max_size=256), max_size=50),
        },
    )
)
def test_an_event_fits_or_is_rejected_by_field(fields: dict[str, Any]) -> None:
    try:
        stored = item(**fields)
    except EventRejected as rejected:
        named = {error["field"] for error in rejected.errors}
    else:
        named = set()
        assert _wire_bytes(stored) <= EVENT_BYTES_MAX
    assert named <= {*fields, "userId", "eventId"}


def _wire_bytes(stored: dict[str, Any]) -> int:
    """A size of our own making, from DynamoDB's own JSON: names, texts, and two digits of a number a byte."""
    total = 0
    for name, value in to_wire(stored).items():
        [(kind, content)] = value.items()
        texts = [element["S"] for element in content] if kind == "L" else [content]
        size = len(content) // 2 + 1 if kind == "N" else sum(len(str(text).encode()) for text in texts)
        total += len(name) + size
    return total


@pytest.mark.parametrize(("minutes", "accepted"), [(4, True), (6, False)])
def test_clocks_may_differ_by_five_minutes(minutes: int, accepted: bool) -> None:
    ahead = (NOON + timedelta(minutes=minutes)).isoformat()
    if accepted:
        assert item(ts=ahead)
    else:
        with pytest.raises(EventRejected, match="5 minutes"):
            item(ts=ahead)
