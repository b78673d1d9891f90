"""Days: to which one an event belongs, when a day closes, and until when it can be recomputed."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from impact.keys import shard_of
from request_events.limits import AHEAD_SECONDS

ALLOWED_LATENESS = timedelta(hours=3)
"""A day stays open this long after its end. An event that arrives later sets a late mark."""
CLOCK_SKEW_MAX = timedelta(minutes=20)  # largest difference between the clocks of two functions
MARK_MARGIN = timedelta(minutes=30)
"""Events set a mark from this long before their day closes: more than CLOCK_SKEW_MAX and an ingest take."""
AHEAD = timedelta(seconds=AHEAD_SECONDS)  # how far an event's time may be ahead of the service's clock
RETENTION_RESERVE = timedelta(days=2)
"""An event is rejected this long before its day begins to expire: it is counted before TTL deletes it."""

FIRST_DAY = "2000-01-01"  # no event belongs to an earlier day

DAY = "2[0-9]{3}-[0-9]{2}-[0-9]{2}"  # a day as text: a regular expression


class DayExpired(Exception):
    """TTL may have deleted some of the day's events: recomputing it would lose what they cost."""

    def __init__(self, day: str):
        super().__init__(f"{day} is older than the retention of events: its summaries stay as they are")


def timestamp(instant: datetime) -> str:
    """Write an instant in UTC with microseconds: timestamps sort as text."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_day(value: object) -> str:
    """Check a day, `YYYY-MM-DD`, of the years 2000 to 2999. Raises ValueError."""
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


def runs_of(days: Iterable[str]) -> list[tuple[str, str]]:
    """Join consecutive days: return the first and the last day of each run."""
    runs: list[tuple[str, str]] = []
    for day in days:
        if runs and runs[-1][1] == day_before(day):
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs


@dataclass(frozen=True)
class Settings:
    """The settings of whole days."""

    zone: ZoneInfo  # reporting time zone, in which a day begins
    retention: timedelta  # how long the ledger keeps an event
    shard_count: int  # partitions of a day

    def starts_at(self, day: str) -> datetime:
        return datetime.combine(date.fromisoformat(day), time.min, self.zone).astimezone(UTC)

    def date_of(self, instant: datetime) -> str:
        return instant.astimezone(self.zone).date().isoformat()


@dataclass(frozen=True)
class Period:
    """The settings of the days from `first_day` up to the next period."""

    first_day: str
    settings: Settings


@dataclass(frozen=True)
class Calendar:
    """Days (`YYYY-MM-DD`) and their settings: time zone, retention, shards.

    A day keeps its settings when the stack's parameters change. So the key of an event follows from the event
    alone, and every function computes the same one. Days leave no gap: where a period changes the time zone,
    the last day before it is longer or shorter.
    """

    periods: tuple[Period, ...]
    """In order. The first one also covers all days before it."""

    @classmethod
    def of(cls, settings: Settings) -> "Calendar":
        """The calendar of a stack whose settings never changed."""
        return cls((Period(FIRST_DAY, settings),))

    def settings_of(self, day: str) -> Settings:
        return next((p for p in reversed(self.periods) if p.first_day <= day), self.periods[0]).settings

    def day_of(self, instant: datetime) -> str:
        *later, first = reversed(self.periods)
        following = None
        for period in later:
            if instant >= period.settings.starts_at(period.first_day):
                return _until(period.settings.date_of(instant), following)
            following = period
        return _until(first.settings.date_of(instant), following)

    def starts_at(self, day: str) -> datetime:
        return self.settings_of(day).starts_at(day)

    def closes_at(self, day: str) -> datetime:
        """When the day is over and ALLOWED_LATENESS has passed: from then on what is computed is final."""
        return self.starts_at(day_after(day)) + ALLOWED_LATENESS

    def is_closed(self, day: str, now: datetime) -> bool:
        return now >= self.closes_at(day)

    def needs_mark(self, day: str, now: datetime) -> bool:
        """Tell whether an event stored now may miss the last scheduled rollup of its day."""
        return now >= self.closes_at(day) - MARK_MARGIN

    def shard_count(self, day: str) -> int:
        return self.settings_of(day).shard_count

    def shard_of(self, user_id: str, day: str) -> int:
        """Tell in which shard of a day a user's events lie."""
        return shard_of(user_id, self.shard_count(day))

    def rejection_reason(self, ts: datetime, now: datetime) -> str | None:
        """Return why an event of that time is rejected now, or None if it is not."""
        if ts > now + AHEAD:
            return f"is more than {AHEAD.seconds // 60} minutes ahead of the service's clock"
        longest = self._retention(ts) - RETENTION_RESERVE
        if ts < now - longest:
            return f"is older than {longest.days} days, what the service can still count"
        return None

    def expires_at(self, ts: datetime) -> int:
        """When DynamoDB may delete the event (seconds since the epoch)."""
        return int((ts + self._retention(ts)).timestamp())

    def countable_until(self, day: str) -> datetime:
        """From then on TTL may have deleted events of that day: recomputing it would lose what they cost."""
        return self.starts_at(day) + self.settings_of(day).retention

    def may_have_expired(self, day: str, now: datetime) -> bool:
        return now >= self.countable_until(day)

    def oldest_day(self, now: datetime) -> str:
        """The first day of which the ledger may still hold events."""
        return self.day_of(now - max(period.settings.retention for period in self.periods))

    def _retention(self, ts: datetime) -> timedelta:
        return self.settings_of(self.day_of(ts)).retention


def _until(day: str, following: Period | None) -> str:
    """The day, but no later than the last one before the next period."""
    return min(day, day_before(following.first_day)) if following else day
