"""The effective settings of each day, and how a changed parameter takes effect.

ShardCount, ReportingTimeZone and RetentionDays decide where an event is stored and for how long. During a
deployment some functions have the old parameters and some the new ones: the same event could be stored twice,
or where no rollup looks. So State holds the effective settings of each day. The parameters are a request: the
planner schedules it for days to come, so far ahead that every function has read it by then.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from impact.calendar import FIRST_DAY, Calendar, Period, Settings, day_after
from impact.store import Store

LEAD_TIME = timedelta(days=1)
"""A period is stored this long before it begins, when no event of its days can be accepted yet."""
CACHE_LIFETIME = timedelta(hours=1)
STALE_MAX = LEAD_TIME / 2  # its lifetime while State cannot be read: half of LEAD_TIME, since clocks differ

RequestedSettings = Callable[[], Settings]
"""Reads the parameters. Raises InvalidSettings. It is not called where State has a calendar."""


class InvalidSettings(Exception):
    """Parameters with an impossible value."""


def parse_settings(zone: str, retention_days: str, shard_count: str) -> Settings:
    """Read the settings that the parameters request. Raises InvalidSettings."""
    try:
        return Settings(ZoneInfo(zone), timedelta(days=int(retention_days)), int(shard_count))
    except (ZoneInfoNotFoundError, OSError):
        raise InvalidSettings(f"ReportingTimeZone {zone!r} is no time zone of the IANA's list") from None
    except ValueError as error:
        raise InvalidSettings(f"ReportingTimeZone, RetentionDays or ShardCount: {error}") from None


def next_period(calendar: Calendar, requested: Settings, now: datetime) -> Period | None:
    """Return the period with which requested settings take effect; None if the last period has them.

    It replaces a period that has not begun.
    """
    last = calendar.periods[-1]
    if last.settings == requested:
        return None
    day = calendar.day_of(now)
    while min(calendar.starts_at(day), requested.starts_at(day)) < now + LEAD_TIME:
        day = day_after(day)
    return Period(max(day, last.first_day), requested)


def effective_calendar(store: Store, requested: RequestedSettings) -> Calendar:
    """Read the calendar, or on a new stack make its first one. Raises InvalidSettings."""
    return _stored(store) or Calendar((_first_period(store, requested()),))


def ensure_calendar(store: Store, requested: RequestedSettings, now: datetime) -> Calendar:
    """Read the calendar, or on a new stack store its first one, before any event is stored.

    Raises InvalidSettings.
    """
    if calendar := _stored(store):
        return calendar
    store.state.put_first_period(_first_period(store, requested()), now)
    return Calendar(store.state.periods())


def apply_parameters(store: Store, requested: Settings, now: datetime) -> Period | None:
    """Schedule requested settings for days to come. Return their period, or None if nothing changes."""
    period = next_period(Calendar(store.state.periods()), requested, now)
    if period:
        store.state.put_period(period, now)
    return period


def _stored(store: Store) -> Calendar | None:
    periods = store.state.periods()
    return Calendar(periods) if periods else None


def _first_period(store: Store, requested: Settings) -> Period:
    """A stack of an earlier release keeps its shard count."""
    progress = store.state.progress()
    shard_count = progress.shard_count if progress else requested.shard_count
    return Period(FIRST_DAY, Settings(requested.zone, requested.retention, shard_count))


class CachedCalendar:
    """The calendar that `load` returned last, for functions that answer requests.

    Its age is by the wall clock: Lambda may freeze a container, and its monotonic clock with it.
    """

    def __init__(self, load: Callable[[datetime], Calendar]):
        self._load = load
        self._calendar: Calendar | None = None
        self._loaded_at: datetime | None = None

    def __call__(self, now: datetime) -> Calendar:
        """Raises what `load` raises, if no calendar in memory is usable."""
        age = now - self._loaded_at if self._loaded_at else None
        if self._calendar and age is not None and timedelta(0) <= age < CACHE_LIFETIME:
            return self._calendar
        try:
            self._calendar, self._loaded_at = self._load(now), now
        except Exception:
            if not self._calendar or age is None or not -CACHE_LIFETIME <= age < STALE_MAX:
                raise
        return self._calendar
