"""The settings that days are laid down with: what is in force, and how a changed parameter comes into force.

ShardCount, ReportingTimeZone and RetentionDays decide where an event lies and how long. Were they read from
the parameters, a change would find some functions with the old ones and some with the new: the same event
could be stored twice, or where no rollup looks. So State says what holds for which days, and the parameters
are a wish: the planner lets it hold for days to come, so far ahead that every function knows of it by then.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from impact.calendar import FIRST_DAY, Calendar, Period, Settings, day_after
from impact.store import Store

LEAD_TIME = timedelta(days=1)
"""So long before a period begins it is written down. No event of its days can be taken by then."""
CACHE_LIFETIME = timedelta(hours=1)
"""So long a function goes on with the calendar that it has read."""
STALE_MAX = LEAD_TIME / 2
"""So long it does where State cannot be read: half of LEAD, so that clocks may differ."""

RequestedSettings = Callable[[], Settings]
"""What the parameters ask for. Raises InvalidSettings; on a stack that has a calendar nobody needs to ask."""


class InvalidSettings(Exception):
    """Parameters that ask for what cannot be."""


def parse_settings(zone: str, retention_days: str, shard_count: str) -> Settings:
    """Read what the parameters ask of days. Raises InvalidSettings."""
    try:
        return Settings(ZoneInfo(zone), timedelta(days=int(retention_days)), int(shard_count))
    except (ZoneInfoNotFoundError, OSError):
        raise InvalidSettings(f"ReportingTimeZone {zone!r} is no time zone of the IANA's list") from None
    except ValueError as error:
        raise InvalidSettings(f"ReportingTimeZone, RetentionDays or ShardCount: {error}") from None


def next_period(calendar: Calendar, wish: Settings, now: datetime) -> Period | None:
    """The period that lets a wish come true for days to come; None if the calendar holds it already.

    It takes the place of one that has not begun.
    """
    last = calendar.periods[-1]
    if last.settings == wish:
        return None
    day = calendar.day_of(now)
    while min(calendar.starts_at(day), wish.starts_at(day)) < now + LEAD_TIME:
        day = day_after(day)
    return Period(max(day, last.first_day), wish)


def effective_calendar(store: Store, wished: RequestedSettings) -> Calendar:
    """Read the calendar; on a stack without one, what would be its first. Raises InvalidSettings."""
    return _stored(store) or Calendar((_first_period(store, wished()),))


def ensure_calendar(store: Store, wished: RequestedSettings, now: datetime) -> Calendar:
    """Read the calendar; where there is none write the first one down, before any event is stored.

    Raises InvalidSettings.
    """
    if calendar := _stored(store):
        return calendar
    store.state.put_first_period(_first_period(store, wished()), now)
    return Calendar(store.state.periods())


def apply_parameters(store: Store, wish: Settings, now: datetime) -> Period | None:
    """Let a wish hold for days to come, and return the period that begins with it. The planner calls this."""
    period = next_period(Calendar(store.state.periods()), wish, now)
    if period:
        store.state.put_period(period, now)
    return period


def _stored(store: Store) -> Calendar | None:
    periods = store.state.periods()
    return Calendar(periods) if periods else None


def _first_period(store: Store, wish: Settings) -> Period:
    """A stack that is older than this record keeps the shards that its events lie in."""
    progress = store.state.progress()
    shard_count = progress.shard_count if progress else wish.shard_count
    return Period(FIRST_DAY, Settings(wish.zone, wish.retention, shard_count))


class CachedCalendar:
    """The calendar as `load` last gave it, for functions that answer requests.

    Its age is told by the wall clock: a container may have been frozen, and its monotonic clock with it.
    """

    def __init__(self, load: Callable[[datetime], Calendar]):
        self._load = load
        self._calendar: Calendar | None = None
        self._loaded_at: datetime | None = None

    def __call__(self, now: datetime) -> Calendar:
        """Raises what `load` raises, where nothing that was read before is usable."""
        age = now - self._loaded_at if self._loaded_at else None
        if self._calendar and age is not None and timedelta(0) <= age < CACHE_LIFETIME:
            return self._calendar
        try:
            self._calendar, self._loaded_at = self._load(now), now
        except Exception:
            if not self._calendar or age is None or not -CACHE_LIFETIME <= age < STALE_MAX:
                raise
        return self._calendar
