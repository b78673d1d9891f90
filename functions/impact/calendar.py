"""Days: which one an event belongs to, when a day is over, and until when it may be counted anew."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from request_events.rules import AHEAD_SECONDS

GRACE = timedelta(hours=3)
"""How long after its end a day stays open for events on their way; a later one leaves a mark."""
MARK_MARGIN = timedelta(minutes=30)
"""So long before a day closes its events are marked already: longer than an ingest, or clocks differ."""
AHEAD = timedelta(seconds=AHEAD_SECONDS)
"""How far a sender's clock may be ahead."""
RETENTION_RESERVE = timedelta(days=2)
"""An event is refused so long before its day begins to expire: time to count it before TTL deletes."""

DAY = "2[0-9]{3}-[0-9]{2}-[0-9]{2}"
"""How a day is written, as a regular expression."""


def timestamp(instant: datetime) -> str:
    """Write an instant in UTC with microseconds, so that the order of texts is that of times."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_day(value: object) -> str:
    """Check a day that somebody wrote, `YYYY-MM-DD`, of the years 2000 to 2999. Raises ValueError."""
    if isinstance(value, str) and re.fullmatch(DAY, value):
        return date.fromisoformat(value).isoformat()
    raise ValueError("day must be a date, YYYY-MM-DD")


def day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def day_before(day: str, days: int = 1) -> str:
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()


def days_between(first: str, last: str) -> Iterator[str]:
    """Each day from first to last, both included; none where last is before first."""
    day = first
    while day <= last:
        yield day
        day = day_after(day)


@dataclass(frozen=True)
class Calendar:
    """Days (`YYYY-MM-DD`) in the stack's reporting time zone, and how long their events are kept."""

    zone: ZoneInfo
    retention: timedelta

    def day_of(self, instant: datetime) -> str:
        return instant.astimezone(self.zone).date().isoformat()

    def starts_at(self, day: str) -> datetime:
        return datetime.combine(date.fromisoformat(day), time.min, self.zone).astimezone(UTC)

    def closes_at(self, day: str) -> datetime:
        """When the day is over and its grace has passed: what is counted from then on is final."""
        return self.starts_at(day_after(day)) + GRACE

    def is_closed(self, day: str, now: datetime) -> bool:
        return now >= self.closes_at(day)

    def needs_mark(self, day: str, now: datetime) -> bool:
        """Tell whether an event stored now may come after the last regular rollup of its day."""
        return now >= self.closes_at(day) - MARK_MARGIN

    def refusal(self, ts: datetime, now: datetime) -> str | None:
        """Say why an event of that time cannot be taken now, or None if it can."""
        if ts > now + AHEAD:
            return f"is more than {AHEAD.seconds // 60} minutes ahead of the service's clock"
        if ts < now - self.retention + RETENTION_RESERVE:
            days = (self.retention - RETENTION_RESERVE).days
            return f"is older than {days} days, what the service can still count"
        return None

    def expires_at(self, ts: datetime) -> int:
        """When DynamoDB may delete the event (seconds since the epoch)."""
        return int((ts + self.retention).timestamp())

    def may_have_expired(self, day: str, now: datetime) -> bool:
        """Tell whether TTL may have deleted an event of that day: counting it anew would lose money."""
        return now >= self.starts_at(day) + self.retention
