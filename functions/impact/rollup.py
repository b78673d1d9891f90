"""The rollup: which (day, shard)s to count, and counting one. Summaries come from the ledger alone."""

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from itertools import islice
from typing import TypeVar

from impact.billing import Terms, statement, terms_of
from impact.calendar import CLOCKS_DIFFER, GRACE, Calendar, day_after, day_before, days_between, timestamp
from impact.decimals import stored
from impact.dynamodb import BATCH_GET_MAX, Mark, Progress, Store, Version
from impact.keys import day_shard
from impact.platform import DAYS_MAX, row_of
from impact.rates import REACH, Rate
from impact.summary import Tally, tallies_by_user
from impact.types import Item

WORKERS = 8
"""Summaries written, or pages of them read, at a time."""
TRIES = 8
"""How often a count begins before it gives up, where others write what it has read."""
PAUSE_SECONDS = 0.05
"""Before the second of these, at most; twice as long before each further one."""

DAYS_SUMMED = 31
"""Most days that one run of the planner sums up."""

NOT_COMPARED = ("kind", "key", "asOf", "revision")
"""What of a summary or a total may differ though nothing has changed. Not `final`: the first count of a
closed day writes every summary anew, and no count of the open day can write over that."""

DayShard = tuple[str, int]
T = TypeVar("T")


class DayExpired(Exception):
    """The day's events may have been deleted by TTL: what could be counted would not be all of it."""


class Overtaken(Exception):
    """Others have written what a count had read, each time that it began."""


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


def plan(store: Store, calendar: Calendar, now: datetime) -> Plan:
    """Find what to count: each (day, shard) that is not final yet, is marked, or can now be converted.

    Days that wait for their rate are left alone until it is known.
    """
    progress = store.progress() or _first_progress(store, calendar)
    today = calendar.day_of(now)
    first = day_after(progress.final_through)
    totals = [
        total
        for total in store.totals(first, today)
        if total["final"] and calendar.is_closed(total["day"], now + CLOCKS_DIFFER)
    ]
    waiting = {(total["day"], total["shard"]) for total in totals if is_unconverted(total)}
    settled = {(total["day"], total["shard"]) for total in totals} - waiting
    rates = store.rates(day_before(first, REACH), today)
    while calendar.may_have_expired(first, now) or settled.issuperset(_shards(calendar, first)):
        first = day_after(first)
    unfinished = {shard for day in days_between(first, today) for shard in _shards(calendar, day)} - settled
    unfinished -= {(day, shard) for day, shard in waiting if rates.of(day) is None}
    marks = {(mark.day, mark.shard): mark.since for mark in store.standing_marks() if mark.since}
    expired = {mark for mark in marks if calendar.may_have_expired(mark[0], now)}
    standing = {mark: now - since for mark, since in marks.items() if mark not in expired}
    return Plan(
        targets=sorted(unfinished | standing.keys()),
        progress=replace(progress, final_through=day_before(first)),
        expired_marks=sorted(expired),
        lag=max(now - calendar.closes_at(first), timedelta()),
        marks=len(standing),
        oldest_mark=max(standing.values(), default=timedelta()),
        unconverted_days=len({day for day, _ in waiting}),
    )


def is_unconverted(total: Item) -> bool:
    """Tell whether the total of a (day, shard) has dollars that could not be converted."""
    return bool(total.get("unconverted", total.get("costUSD"))) and "fxRate" not in total


def _shards(calendar: Calendar, day: str) -> list[DayShard]:
    return [(day, shard) for shard in range(calendar.shard_count(day))]


def _first_progress(store: Store, calendar: Calendar) -> Progress:
    """Before the first run: a day that closed before the ledger was made has marked events only."""
    first_open = calendar.day_of(store.events_since() - GRACE)
    return Progress(day_before(first_open), calendar.shard_count(first_open))


def plan_day(calendar: Calendar, day: str, now: datetime) -> list[DayShard]:
    """List what to count for one whole day, whether it is final or not. Raises DayExpired."""
    if calendar.may_have_expired(day, now):
        raise _expired(day)
    return _shards(calendar, day)


def sum_days(
    store: Store, calendar: Calendar, final_through: str, now: datetime, time_left: Callable[[], float]
) -> int:
    """Keep the platform's row of final days that have none: readers need not sum up their shards then.

    The newest first, up to DAYS_SUMMED a run, while there is time. Return how many were kept. A row counts
    only until a total of its day changes.
    """
    oldest = store.first_day_with_total()
    if oldest is None:
        return 0
    first = max(oldest, day_before(calendar.day_of(now), DAYS_MAX - 1))
    known = store.day_sums(first, final_through)
    missing = [d for d in days_between(first, final_through) if d not in known or known[d].sums is None]
    kept = 0
    for day in missing[: -DAYS_SUMMED - 1 : -1]:
        if time_left() <= 0:
            break
        kept += _sum_day(store, calendar, day)
    return kept


def _sum_day(store: Store, calendar: Calendar, day: str) -> bool:
    """Keep the row of a day, unless a total changes meanwhile. Return whether it was kept."""
    if not store.day_sums(day, day):
        store.note_change(day)
    changes = store.day_sums(day, day)[day].changes  # before the totals: what changes from here on is noted
    row = row_of(day, store.totals(day, day), calendar.shard_count(day))
    return store.put_day_sums(day, row, changes)


@dataclass(frozen=True)
class Counted:
    """What a run of `count` found and did."""

    events: int
    users: int
    summaries_written: int
    summaries_deleted: int
    """Of users who have no event left on that day."""
    late: bool
    """Whether a late event had asked for it."""
    final: bool
    converted: bool
    """Whether the day's rate was known."""


def count(
    store: Store, calendar: Calendar, terms: Terms, day: str, shard: int, *, as_of: datetime
) -> Counted:
    """Make the summaries of a (day, shard) equal to its ledger: replace what differs, delete the rest.

    Run it as often as you like, at once, side by side or after a crash. A count reads what is stored, then
    the ledger, and writes only over what it has read: so what it replaces comes from a ledger that was read
    before its own. Where another count was faster it begins again. docs/finality.md has the whole argument.
    A day that was final keeps the terms that it was billed at. Raises DayExpired, Overtaken.
    """
    if not 0 <= shard < calendar.shard_count(day):
        raise ValueError(f"shard must be 0 to {calendar.shard_count(day) - 1}")
    learnt = _Learnt()
    with ThreadPoolExecutor(WORKERS) as workers:
        for tries in range(TRIES):
            if tries:
                time.sleep(random.uniform(0, PAUSE_SECONDS * 2**tries))  # noqa: S311  # nosec B311
            try:
                return _Count(store, calendar, terms, day, shard, as_of, workers, learnt).run()
            except _Conflict as conflict:
                learnt.users |= conflict.users
                learnt.is_closed |= conflict.is_closed
    raise Overtaken(f"{day}, shard {shard}: others have written what was read, {TRIES} times")


class _Conflict(Exception):
    """Another count has written what this one had read."""

    def __init__(self, users: Iterable[str] = (), *, is_closed: bool = False):
        super().__init__()
        self.users = set(users)
        self.is_closed = is_closed


@dataclass
class _Learnt:
    """What the attempts before have found out."""

    users: set[str] = field(default_factory=set)
    """Their summaries are there, though the index may not list them yet."""
    is_closed: bool = False
    """Another count has found the day closed: its clock is ahead."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is kept in mind of a summary that was read."""

    version: Version
    digest: bytes
    is_final: bool

    @classmethod
    def of(cls, summary: Item) -> "_Stored":
        return cls(Version.of(summary), _digest(summary), summary["final"])


@dataclass(frozen=True)
class _View:
    """What was read before the ledger."""

    mark: Mark
    former: Item | None
    """The total that was there."""
    countable_until: str
    is_final: bool
    summaries: dict[str, _Stored]
    """By user."""
    rate: Rate | None
    terms: Terms

    @property
    def is_strict(self) -> bool:
        """Whether what is written has to be all there is.

        An open day without a mark is counted again anyway: its reads may miss the latest events, at half the
        price, and where another count is faster, its figures stay.
        """
        return self.is_final or self.mark.since is not None


@dataclass(frozen=True)
class _Sums:
    """What the ledger came to, and what was written of it."""

    tally: Tally
    users: int
    written: int
    deleted: int


@dataclass(frozen=True)
class _Count:
    """One attempt to count a (day, shard)."""

    store: Store
    calendar: Calendar
    terms: Terms
    day: str
    shard: int
    as_of: datetime
    workers: Executor
    learnt: _Learnt

    @property
    def key(self) -> str:
        return day_shard(self.day, self.shard)

    def run(self) -> Counted:
        """Raises _Conflict, DayExpired. The order is what makes it right: the mark first, the ledger last."""
        view = self._read()
        sums = self._write_summaries(view)
        total = self._total(view, sums)
        self._write_total(view, total, changed=sums.written + sums.deleted > 0)
        if view.is_final:
            self.store.note_change(self.day)
        # A day that was final long ago is found again by its mark alone: it stays until the day is converted.
        if view.mark.since and not is_unconverted(total):
            self.store.clear_mark(view.mark)
        return Counted(
            events=sums.tally.requests,
            users=sums.users,
            summaries_written=sums.written,
            summaries_deleted=sums.deleted,
            late=view.mark.since is not None,
            final=view.is_final,
            converted=view.rate is not None,
        )

    def _read(self) -> _View:
        mark = self.store.late_mark(self.day, self.shard)
        former = self.store.total(self.key)
        until = self._countable_until(former)
        if timestamp(self.as_of) >= until:
            raise _expired(self.day)
        # What another clock has found closed is closed; unless it was hours ahead, which nobody goes by.
        may_be_closed = self.calendar.is_closed(self.day, self.as_of + CLOCKS_DIFFER)
        was_final = may_be_closed and (bool(former and former["final"]) or self.learnt.is_closed)
        is_final = was_final or self.calendar.is_closed(self.day, self.as_of)
        summaries = self._stored_summaries(consistent=is_final or mark.since is not None)
        if may_be_closed and not is_final and any(summary.is_final for summary in summaries.values()):
            raise _Conflict(is_closed=True)
        rate = self.store.rate_of(self.day)  # after the summaries: theirs may be one that was corrected since
        return _View(mark, former, until, is_final, summaries, rate, terms_of(former, self.terms))

    def _countable_until(self, former: Item | None) -> str:
        """When the first events of the day may expire; an earlier version may have known a shorter time."""
        until = timestamp(self.calendar.countable_until(self.day))
        return min(until, former["countableUntil"]) if former and "countableUntil" in former else until

    def _stored_summaries(self, *, consistent: bool) -> dict[str, _Stored]:
        users = self.learnt.users.union(self.store.all_users_of(self.key))

        def read(some: list[str]) -> list[tuple[str, _Stored]]:
            found = self.store.summaries_of([(user_id, self.day) for user_id in some], consistent=consistent)
            return [(summary["userId"], _Stored.of(summary)) for summary in found]

        chunks = list(_chunks(sorted(users), BATCH_GET_MAX))
        return dict(pair for pairs in self.workers.map(read, chunks) for pair in pairs)

    def _write_summaries(self, view: _View) -> _Sums:
        tally, users, written = Tally(), 0, 0
        without_events = dict(view.summaries)
        pages = self.store.event_pages(self.key, consistent=view.is_strict)
        for tallies in _chunks(tallies_by_user(pages), BATCH_GET_MAX):
            changed = []
            for user_id, of_user in tallies:
                summary, stored_one = self._summary(view, user_id, of_user), without_events.pop(user_id, None)
                if stored_one is None or stored_one.digest != _digest(summary):
                    changed.append((summary, stored_one.version if stored_one else None))
                tally.merge(of_user)
            users += len(tallies)
            written += self._put(view, changed)
        return _Sums(tally, users, written, self._delete(view, without_events))

    def _summary(self, view: _View, user_id: str, sums: Tally) -> Item:
        whose = {"userId": user_id, "day": self.day, "dayShard": self.key}
        return whose | statement(sums, view.rate, view.terms) | self._stamp(view)

    def _stamp(self, view: _View) -> Item:
        return {"asOf": timestamp(self.as_of), "final": view.is_final}

    def _put(self, view: _View, changed: list[tuple[Item, Version | None]]) -> int:
        done = list(self.workers.map(lambda pair: self.store.put_summary(*pair), changed))
        if view.is_strict and not all(done):
            tried = zip(changed, done, strict=True)
            raise _Conflict(summary["userId"] for (summary, _), is_done in tried if not is_done)
        return sum(done)

    def _delete(self, view: _View, summaries: dict[str, _Stored]) -> int:
        """Delete the summaries of users who have no event."""
        users = [user_id for user_id in summaries if view.is_strict or not self._has_event(user_id)]

        def delete(user_id: str) -> bool:
            return self.store.delete_summary(user_id, self.day, summaries[user_id].version)

        done = list(self.workers.map(delete, users))
        if view.is_strict and not all(done):
            raise _Conflict
        return sum(done)

    def _has_event(self, user_id: str) -> bool:
        return any(self.store.event_pages(self.key, user_id=user_id, consistent=True))

    def _total(self, view: _View, sums: _Sums) -> Item:
        """What the shard comes to, its dollars not converted: a day's shards are, together."""
        known = {
            "day": self.day,
            "shard": self.shard,
            "users": sums.users,
            "countableUntil": view.countable_until,
            "terms": view.terms.as_fields(),
        }
        fields = sums.tally.as_fields()
        del fields["models"]  # a platform has too many for one item; each user's summary names its own
        return known | (view.rate.as_fields() if view.rate else {}) | fields | self._stamp(view)

    def _write_total(self, view: _View, total: Item, *, changed: bool) -> None:
        """A closed day's total is written even where nothing changed.

        Whoever read the one before begins again then: a count that is still under way may have read events
        that somebody has deleted since.
        """
        if not (changed or view.is_strict or view.former is None or _differ(total, view.former)):
            return
        before = Version.of(view.former) if view.former else None
        if not self.store.put_total(self.key, total, before) and view.is_strict:
            raise _Conflict


def _expired(day: str) -> DayExpired:
    return DayExpired(f"{day} is older than the retention of events: its summaries stay as they are")


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _differ(total: Item, other: Item) -> bool:
    return _digest(total) != _digest(other)


def _digest(item: Item) -> bytes:
    """Digest what of a summary or a total comes from the ledger: the same for an item as read and as made."""
    content = {name: value for name, value in item.items() if name not in NOT_COMPARED}
    text = json.dumps(content, sort_keys=True, default=_plain, ensure_ascii=False)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _plain(number: Decimal) -> int | str:
    """Write a number in one way, as the store reads it: a whole one as int, any other as short as can be."""
    return int(number) if number == number.to_integral_value() else str(stored(number))
