"""The ledger's events as they are stored: of a day, or of one user."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, get_args

from impact.calendar import AHEAD, Calendar, day_after, day_before, days_between
from impact.dynamodb import item_from_wire
from impact.keys import day_shard, user_prefix
from impact.store import Store
from impact.types import Item, WireItem
from request_events.event import RequestEvent

ADDED = (
    "day",
    "receivedAt",
    "expiresAt",
    "fxRate",
    "fxDate",
    "energyKWh",
    "co2eKg",
    "waterL",
    "impactSource",
)
"""What the service adds to an event."""
RANGES = ("energyKWh", "co2eKg", "waterL")
FIELDS = (*RequestEvent.model_fields, *ADDED)


def _kind(annotation: Any) -> type:
    """The type of a field, without `None` and limits."""
    if isinstance(annotation, type):
        return annotation
    kinds = [_kind(part) for part in get_args(annotation)]
    return next((kind for kind in (bool, int) if kind in kinds), str)


def _columns() -> dict[str, type]:
    kinds = {name: _kind(field.annotation) for name, field in RequestEvent.model_fields.items()}
    kinds |= {name: int if name == "expiresAt" else str for name in ADDED}
    columns: dict[str, type] = {}
    for name, kind in kinds.items():
        columns |= {f"{name}.low": str, f"{name}.high": str} if name in RANGES else {name: kind}
    return columns


COLUMNS = _columns()
"""Columns of an event in a table, and their types; nested fields have a dot."""
TTL_DAYS = 10
"""For so many days after it expires an event may still be stored: TTL deletes with a delay."""
WORKERS = 32
"""Partitions looked into at a time."""


def events_of_shard(store: Store, day: str, shard: int) -> Iterator[Item]:
    """Read all events of a (day, shard), by user and event id. One page is in memory, and one on its way."""
    pages = _pages(store, "dayShard = :d", {":d": {"S": day_shard(day, shard)}})
    with ThreadPoolExecutor(1) as ahead:
        reading = ahead.submit(next, pages, None)
        while (page := reading.result()) is not None:
            reading = ahead.submit(next, pages, None)
            yield from map(shown, page)


def events_of_user(store: Store, calendar: Calendar, user_id: str, day: str) -> Iterator[Item]:
    """Read a user's events of a day, by event id."""
    for page in user_pages(store, user_id, day_shard(day, calendar.shard_of(user_id, day))):
        yield from map(shown, page)


def user_pages(store: Store, user_id: str, partition: str, **what: Any) -> Iterator[list[WireItem]]:
    """Read a user's items of a partition, page by page. `what` are further arguments of the Query."""
    values = {":d": {"S": partition}, ":u": {"S": user_prefix(user_id)}}
    return _pages(store, "dayShard = :d AND begins_with(userEvent, :u)", values, **what)


def partitions_of(
    calendar: Calendar, user_id: str, summaries: Iterable[WireItem], now: datetime
) -> list[str]:
    """The partitions that may have events of a user: by the calendar, and by the keys of their summaries."""
    first = day_before(calendar.oldest_day(now), TTL_DAYS)
    days = days_between(first, day_after(calendar.day_of(now + AHEAD)))
    by_day = {day_shard(day, calendar.shard_of(user_id, day)) for day in days}
    return sorted(by_day | {item["dayShard"]["S"] for item in summaries if "dayShard" in item})


def summary_keys(store: Store, user_id: str) -> list[WireItem]:
    """The keys of a user's summaries, each with the partition of its events."""
    pages = store.summaries.pages(
        KeyConditionExpression="userId = :u",
        ExpressionAttributeValues={":u": {"S": user_id}},
        ProjectionExpression="userId, #day, dayShard",
        ExpressionAttributeNames={"#day": "day"},
        ConsistentRead=True,
    )
    return [item for page in pages for item in page]


def shown(item: WireItem) -> Item:
    """An event under its own field names, in the order of the contract."""
    event = item_from_wire(item)
    return {name: event[name] for name in FIELDS if name in event}


def _pages(store: Store, condition: str, values: WireItem, **what: Any) -> Iterator[list[WireItem]]:
    return store.ledger.pages(
        KeyConditionExpression=condition,
        ExpressionAttributeValues=values,
        ConsistentRead=True,
        **what,
    )
