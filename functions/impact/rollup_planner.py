"""The planner's part of the rollup: which (day, shard)s to recompute, and how far days are final."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from impact.breakdown import DIMENSIONS, day_rows, shards_of_day
from impact.calendar import (
    ALLOWED_LATENESS,
    CLOCK_SKEW_MAX,
    Calendar,
    DayExpired,
    day_after,
    day_before,
    days_between,
)
from impact.daily_totals import DAYS_MAX, NO_USE, daily_total
from impact.fx_rates import FX_LOOKBACK_DAYS
from impact.recompute import is_unconverted
from impact.state_store import Progress
from impact.store import Store
from impact.types import DayShard, Item

DAILY_TOTALS_MAX = 31  # most daily totals that one run of the planner stores


@dataclass(frozen=True)
class Plan:
    """What to recompute, and what the metrics report."""

    targets: list[DayShard]
    progress: Progress
    expired_marks: list[DayShard]  # marked, but their events may have expired since: an operator has to look
    lag: timedelta  # how long ago the oldest day that is not final has closed; zero if there is none
    marks: int  # late marks that are set, without the expired ones
    oldest_mark: timedelta  # age of the oldest of them; zero without any
    unconverted_days: int  # days that are final but for dollars that wait for their fx rate


def plan(store: Store, calendar: Calendar, now: datetime) -> Plan:
    """Find each (day, shard) that is not final yet, is marked late, or can now be converted to euros.

    Days that wait for their fx rate are left out until it is known.
    """
    progress = store.state.progress() or _first_progress(store, calendar)
    today = calendar.day_of(now)
    first = day_after(progress.watermark)
    totals = [
        total
        for total in store.state.shard_totals(first, today)
        if total["final"] and calendar.is_closed(total["day"], now + CLOCK_SKEW_MAX)
    ]
    waiting = {(total["day"], total["shard"]) for total in totals if is_unconverted(total)}
    settled = {(total["day"], total["shard"]) for total in totals} - waiting
    rates = store.state.fx_rates(day_before(first, FX_LOOKBACK_DAYS), today)
    while calendar.may_have_expired(first, now) or settled.issuperset(_shards(calendar, first)):
        first = day_after(first)
    unfinished = {shard for day in days_between(first, today) for shard in _shards(calendar, day)} - settled
    unfinished -= {(day, shard) for day, shard in waiting if rates.of(day) is None}
    marks = {(mark.day, mark.shard): mark.since for mark in store.state.late_marks() if mark.since}
    expired = {mark for mark in marks if calendar.may_have_expired(mark[0], now)}
    ages = {mark: now - since for mark, since in marks.items() if mark not in expired}
    return Plan(
        targets=sorted(unfinished | ages.keys()),
        progress=replace(progress, watermark=day_before(first)),
        expired_marks=sorted(expired),
        lag=max(now - calendar.closes_at(first), timedelta()),
        marks=len(ages),
        oldest_mark=max(ages.values(), default=timedelta()),
        unconverted_days=len({day for day, _ in waiting}),
    )


def plan_day(calendar: Calendar, day: str, now: datetime) -> list[DayShard]:
    """List the shards of a whole day, final or not. Raises DayExpired."""
    if calendar.may_have_expired(day, now):
        raise DayExpired(day)
    return _shards(calendar, day)


def _shards(calendar: Calendar, day: str) -> list[DayShard]:
    return [(day, shard) for shard in range(calendar.shard_count(day))]


def _first_progress(store: Store, calendar: Calendar) -> Progress:
    """Before the first run: events of days that closed before the ledger existed always carry a mark."""
    first_open = calendar.day_of(store.ledger.created_at() - ALLOWED_LATENESS)
    return Progress(day_before(first_open), calendar.shard_count(first_open))


def store_daily_totals(
    store: Store, calendar: Calendar, watermark: str, now: datetime, time_left: Callable[[], float]
) -> int:
    """Store the totals of final days that have none, so that readers need not add up the shards.

    Newest days first, DAILY_TOTALS_MAX a run, while `time_left` returns more than zero seconds. Return how
    many were stored.
    """
    oldest = store.state.first_day_with_total()
    if oldest is None:
        return 0
    first = max(oldest, day_before(calendar.day_of(now), DAYS_MAX - 1))
    known = store.state.daily_totals(first, watermark)
    missing = [d for d in days_between(first, watermark) if d not in known or known[d].sums is None]
    stored = 0
    for day in missing[: -DAILY_TOTALS_MAX - 1 : -1]:
        if time_left() <= 0:
            break
        stored += _store_daily_total(store, calendar, day)
    return stored


def _store_daily_total(store: Store, calendar: Calendar, day: str) -> bool:
    """Store a day's total unless a shard total changes meanwhile. Return whether it was stored."""
    if not store.state.daily_totals(day, day):
        store.state.outdate_daily_total(day)
    changes = store.state.daily_totals(day, day)[day].changes  # before the shard totals
    totals = list(store.state.shard_totals(day, day))
    _store_breakdowns(store, calendar, day, totals, changes)
    return store.state.put_daily_total(day, daily_total(day, totals, calendar.shard_count(day)), changes)


def _store_breakdowns(store: Store, calendar: Calendar, day: str, totals: list[Item], changes: int) -> None:
    """Store a day by each dimension, with the total that the rows add up to."""
    shards = shards_of_day(totals, store.breakdowns.of_shards(day))
    total = daily_total(day, [shard.total for shard in shards], calendar.shard_count(day))
    if total is NO_USE or not any(shard.rows for shard in shards):
        return
    for by in DIMENSIONS:
        content = {"total": total, "rows": day_rows(by, shards).encoded(by)}
        store.breakdowns.put_day(by, day, content, changes)
