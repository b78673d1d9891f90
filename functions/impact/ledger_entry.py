"""Turns what a sender wrote into an item of the ledger, or into reasons to reject it. Pure: no AWS."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from pydantic import ValidationError

from impact.calendar import Calendar, timestamp
from impact.keys import SORT_KEY_BYTES, day_shard, user_event
from impact.types import FieldErrors, Item
from request_events.event import FIELDS, RequestEvent
from request_events.limits import EVENT_BYTES_MAX


class EventRejected(Exception):
    """An event that the service will never take. `errors` holds the field and message of each reason."""

    def __init__(self, errors: FieldErrors):
        super().__init__("; ".join(f"{error['field']} {error['message']}" for error in errors))
        self.errors = errors


@dataclass(frozen=True)
class LedgerEntry:
    """An event as the ledger stores it."""

    item: Item
    unknown_fields: int  # number of fields that were dropped because the contract does not name them

    @property
    def event_id(self) -> str:
        return str(self.item["eventId"])

    @property
    def day(self) -> str:
        return str(self.item["day"])

    @property
    def day_shard(self) -> str:
        return str(self.item["dayShard"])

    @property
    def unpriced(self) -> bool:
        return "costEUR" not in self.item and "costUSD" not in self.item

    @property
    def unrated(self) -> bool:
        """Whether the request generated something whose footprint is not known."""
        generated = self.item["status"] == "success" and not self.item.get("cacheHit")
        return generated and "energyKWh" not in self.item

    def with_fields(self, added: Item) -> "LedgerEntry":
        """Return the entry with more fields, or without them if the item would become too large."""
        item = self.item | added
        return replace(self, item=item) if item_size(item) <= EVENT_BYTES_MAX else self


@dataclass(frozen=True)
class EntryBuilder:
    """Builds entries by the settings of days."""

    calendar: Calendar

    def build(self, raw: Any, now: datetime) -> LedgerEntry:
        """Validate an event, as read from JSON with floats as Decimal, that was received at `now`.

        Raises EventRejected with all reasons that are found at once.
        """
        event = validate(raw)
        if reason := self.calendar.rejection_reason(event.ts, now):
            raise EventRejected([{"field": "ts", "message": reason}])
        item = self._item(event, now)
        _check_size(item)
        return LedgerEntry(item, unknown_fields=len(raw.keys() - FIELDS))

    def _item(self, event: RequestEvent, now: datetime) -> Item:
        fields = event.fields() | {"ts": timestamp(event.ts)}
        event_id = event.eventId or _digest(fields)
        day = self.calendar.day_of(event.ts)
        return fields | {
            "eventId": event_id,
            "dayShard": day_shard(day, self.calendar.shard_of(event.userId, day)),
            "userEvent": user_event(event.userId, event_id),
            "day": day,
            "receivedAt": timestamp(now),
            "expiresAt": self.calendar.expires_at(event.ts),
        }


def validate(raw: Any) -> RequestEvent:
    """Check what does not depend on the settings of days. Raises EventRejected."""
    if not isinstance(raw, dict):
        raise EventRejected([{"field": "event", "message": "must be a JSON object"}])
    try:
        return RequestEvent.model_validate(raw)
    except ValidationError as error:
        raise EventRejected([_field_error(detail) for detail in error.errors(include_url=False)]) from None


def _field_error(detail: Any) -> dict[str, str]:
    message = "is required" if detail["type"] == "missing" else detail["msg"].removeprefix("Value error, ")
    return {"field": ".".join(map(str, detail["loc"])), "message": message}


def _digest(fields: Item) -> str:
    """Make an id from an event's content, so that the same event sent again has the same id."""
    return blake2b(json.dumps(fields, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def _check_size(item: Item) -> None:
    if len(item["userEvent"].encode()) > SORT_KEY_BYTES:
        message = f"is too long together with eventId: over {SORT_KEY_BYTES} bytes as UTF-8, # and % escaped"
        raise EventRejected([{"field": "userId", "message": message}])
    if item_size(item) > EVENT_BYTES_MAX:
        largest = max(FIELDS & item.keys(), key=lambda name: (_size(item[name]), name))
        raise EventRejected(
            [{"field": largest, "message": f"makes the event larger than {EVENT_BYTES_MAX} bytes"}]
        )


def item_size(item: Item) -> int:
    """Return the bytes that DynamoDB bills for an item, attribute names included."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: Any) -> int:
    """Bytes of an attribute, by DynamoDB's developer guide, "Item sizes and formats"."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bool):
        return 1
    if isinstance(value, dict):
        return 3 + item_size(value) + len(value)
    if isinstance(value, list):
        return 3 + sum(1 + _size(element) for element in value)
    return len(Decimal(value).as_tuple().digits) // 2 + 2
