"""Events for the tests."""

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from impact.calendar import Calendar, Settings, timestamp
from impact.dynamodb import to_wire
from impact.ledger_entry import EntryBuilder
from impact.ledger_event import LedgerEvent, events_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""The time of the tests, except for those of a whole function."""

IMPOSSIBLE = [("REPORTING_TIME_ZONE", "Europe/Atlantis"), ("SHARD_COUNT", "8.5")]
"""Invalid parameters that a plain `sam deploy` may leave in a function's environment."""


def freeze(monkeypatch: pytest.MonkeyPatch, module: ModuleType, now: datetime = NOON) -> None:
    """Stop a module's clock, so that no test depends on when it runs."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls.fromtimestamp(now.timestamp(), tz)

    monkeypatch.setattr(module, "datetime", Clock)


def event(**fields: Any) -> dict[str, Any]:
    """A valid event of alice, as parsed from JSON, with these fields changed; None leaves a field out."""
    base = {
        "userId": "alice",
        "ts": timestamp(NOON - timedelta(minutes=1)),
        "model": "gpt-4o",
        "provider": "openai",
        "tokens_in": 1200,
        "tokens_out": 300,
        "latency": Decimal("1.108738"),
        "costUSD": Decimal("0.00475"),
        "eventId": "e-1",
    }
    return {name: value for name, value in (base | fields).items() if value is not None}


def as_read(*items: dict[str, Any]) -> list[LedgerEvent]:
    """Items of the ledger as the rollup reads them."""
    return events_of([to_wire(item) for item in items])


def entry_builder(zone: str = "UTC", retention_days: int = 400, shard_count: int = 4) -> EntryBuilder:
    return EntryBuilder(Calendar.of(Settings(ZoneInfo(zone), timedelta(days=retention_days), shard_count)))
