"""The rollup: which (day, shard)s to count, and counting one. Summaries come from the ledger alone."""

import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from impact.billing import Terms, statement, terms_of
from impact.calendar import GRACE, Calendar, day_after, day_before, days_between, timestamp
from impact.dynamodb import BATCH_GET_MAX, Mark, Progress, Store
from impact.keys import day_shard
from impact.rates import REACH
from impact.summary import Tally, tallies_by_user
from impact.types import Item

WRITERS = 8
"""Summaries written at a time."""

DayShard = tuple[str, int]


class DayExpired(Exception):
    """The day's events may have been deleted by TTL: what could be counted would not be all of it."""


class ShardCountChanged(Exception):
    """The stack's ShardCount is not the one that its events were stored with."""


@dataclass(frozen=True)
class Plan:
    """What a run has to count, and how far days are final."""

    targets: list[DayShard]
    progress: Progress
    expired_marks: list[DayShard]
    """Marked, but their events may have expired since: somebody has to look."""
    lag: timedelta
    """How long ago the oldest day that is not final has closed; zero if none has."""
    marks: int
    """Late marks that stand, those that expired aside."""
    oldest_mark: timedelta
    """How long the oldest of them has stood; zero without any."""
    unconverted_days: int
    """Days that have closed and are counted, but in dollars that wait for their rate."""


def plan(store: Store, calendar: Calendar, shard_count: int, now: datetime) -> Plan:
    """Find what to count: each (day, shard) that is not final yet, is marked, or can now be converted.

    Days that wait for their rate are left alone until it is known. Raises ShardCountChanged.
    """
    progress = store.progress() or _first_progress(store, calendar, shard_count)
    if progress.shard_count != shard_count:
        raise ShardCountChanged(
            f"ShardCount is {shard_count}, but events lie in {progress.shard_count} shards"
        )
    today = calendar.day_of(now)
    first = day_after(progress.final_through)
    totals = [total for total in store.totals(first, today) if total["final"]]
    waiting = {(total["day"], total["shard"]) for total in totals if is_unconverted(total)}
    settled = {(total["day"], total["shard"]) for total in totals} - waiting
    rates = store.rates(day_before(first, REACH), today)
    shards = range(shard_count)
    while calendar.may_have_expired(first, now) or all((first, shard) in settled for shard in shards):
        first = day_after(first)
    days = days_between(first, today)
    unfinished = {(day, shard) for day in days for shard in shards} - settled
    unfinished -= {(day, shard) for day, shard in waiting if rates.of(day) is None}
    marks = store.marked_since()
    expired = {mark for mark in marks if calendar.may_have_expired(mark[0], now)}
    standing = {mark: now - since for mark, since in marks.items() if mark not in expired}
    return Plan(
        targets=sorted(unfinished | standing.keys()),
        progress=Progress(final_through=day_before(first), shard_count=shard_count),
        expired_marks=sorted(expired),
        lag=max(now - calendar.closes_at(first), timedelta()),
        marks=len(standing),
        oldest_mark=max(standing.values(), default=timedelta()),
        unconverted_days=len({day for day, _ in waiting}),
    )


def is_unconverted(total: Item) -> bool:
    """Tell whether the total of a (day, shard) has dollars that could not be converted."""
    return bool(total.get("unconverted", total.get("costUSD"))) and "fxRate" not in total


def _first_progress(store: Store, calendar: Calendar, shard_count: int) -> Progress:
    """Before the first run: a day that closed before the ledger was made has marked events only."""
    first_open = calendar.day_of(store.events_since() - GRACE)
    return Progress(final_through=day_before(first_open), shard_count=shard_count)


def plan_day(calendar: Calendar, shard_count: int, day: str, now: datetime) -> list[DayShard]:
    """List what to count for one whole day, whether it is final or not. Raises DayExpired."""
    if calendar.may_have_expired(day, now):
        raise _expired(day)
    return [(day, shard) for shard in range(shard_count)]


@dataclass(frozen=True)
class Counted:
    """What a run of `count` found and did."""

    events: int
    users: int
    summaries_written: int
    late: bool
    """Whether a late event had asked for it."""
    final: bool
    converted: bool
    """Whether the day's rate was known."""


def count(
    store: Store, calendar: Calendar, terms: Terms, day: str, shard: int, *, as_of: datetime
) -> Counted:
    """Compute every summary of a (day, shard) from the ledger and replace those that changed.

    Run it as often as you like, at once or after a crash: what an older computation says never replaces
    what a younger one has written, and a mark goes only if no event came since it was read. A day that was
    final keeps the terms that it was billed at. Raises DayExpired.
    """
    key = day_shard(day, shard)
    turn = store.begin_count(key, uuid.uuid4().hex, as_of)
    try:
        counted, mark, is_settled = _count(store, calendar, terms, day, shard, as_of=as_of)
    finally:
        alone = store.end_count(turn)
    # Another count that was under way may have read the ledger before the event that left the mark, and still
    # write what it read: by its clock it is the younger one.
    if mark and is_settled and alone:
        store.clear_mark(mark)
    return counted


def _count(
    store: Store, calendar: Calendar, terms: Terms, day: str, shard: int, *, as_of: datetime
) -> tuple[Counted, Mark | None, bool]:
    """Count; tell which mark there was, and whether nothing that it stands for is left to do."""
    key = day_shard(day, shard)
    former = store.total(key)
    countable_until = _countable_until(calendar, day, former)
    if timestamp(as_of) >= countable_until:
        raise _expired(day)
    mark = store.late_mark(key)
    rate = store.rate_of(day)
    terms = terms_of(former, terms)
    final = calendar.is_closed(day, as_of)
    stamp = {"asOf": timestamp(as_of), "final": final}
    # Reads of an open day may miss the latest events: the next run counts them, at half the price.
    consistent = final or mark is not None
    total, users, written, overtaken = Tally(), 0, 0, False
    pages = store.event_pages(key, consistent=consistent)
    with ThreadPoolExecutor(WRITERS) as writers:
        for tallies in _chunks(tallies_by_user(pages), BATCH_GET_MAX):
            before = store.summaries_of([(user_id, day) for user_id, _ in tallies], consistent=consistent)
            summaries = (
                {"userId": user_id, "day": day, "dayShard": key} | statement(tally, rate, terms) | stamp
                for user_id, tally in tallies
            )
            writes = list(writers.map(store.put_summary, _changed(summaries, before)))
            written += sum(writes)
            overtaken |= not all(writes)
            users += len(tallies)
            for _, tally in tallies:
                total.merge(tally)
    own = {"day": day, "shard": shard, "users": users, "countableUntil": countable_until}
    own |= {"terms": terms.as_fields()} | (rate.as_fields() if rate else {})
    own |= total.as_fields() | stamp
    overtaken |= not _write_total(store, key, former, own, changed=written > 0)
    counted = Counted(
        total.requests, users, written, late=mark is not None, final=final, converted=rate is not None
    )
    # If overtaken, a younger computation may lack the very event that left the mark. And a day that was final
    # long ago is found again by its mark alone: it stays until the day is converted.
    return counted, mark, not overtaken and not is_unconverted(own)


def _countable_until(calendar: Calendar, day: str, former: Item | None) -> str:
    """When the first events of a day may expire, by the shortest retention in force at any of its counts."""
    until = timestamp(calendar.starts_at(day) + calendar.retention)
    return min(until, former["countableUntil"]) if former and "countableUntil" in former else until


def _expired(day: str) -> DayExpired:
    return DayExpired(f"{day} is older than the retention of events: its summaries stay as they are")


def _chunks(tallies: Iterable[tuple[str, Tally]], size: int) -> Iterator[list[tuple[str, Tally]]]:
    iterator = iter(tallies)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _changed(summaries: Iterable[Item], before: list[Item]) -> list[Item]:
    known = {summary["userId"]: summary for summary in before}
    return [summary for summary in summaries if _differs(summary, known.get(summary["userId"]))]


def _differs(new: Item, old: Item | None) -> bool:
    return old is None or old | {"asOf": new["asOf"]} != new


def _write_total(store: Store, key: str, former: Item | None, total: Item, *, changed: bool) -> bool:
    """Write the total if it or a summary changed, its dollars not converted: a day's shards are, together.

    Return whether what is there now is not of a younger computation.
    """
    del total["models"]  # a platform has too many for one item; each user's summary names its own
    if changed or former is None or _differs({"kind": former["kind"], "key": key} | total, former):
        return store.put_total(key, total)
    return True
