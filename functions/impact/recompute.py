"""Recomputing a (day, shard): its summaries and its total, from the ledger alone.

A recompute may run at any time, beside others of the same (day, shard), and die at any point: the next one
makes it right. docs/finality.md states why.
"""

import json
import random
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, localcontext
from hashlib import blake2b
from itertools import islice
from typing import TypeVar

from impact.billing import Terms, before_correction, statement, terms_of
from impact.breakdown import Breakdown
from impact.breakdown_columns import COLUMNS
from impact.breakdown_store import Overtaken
from impact.calendar import CLOCK_SKEW_MAX, Calendar, DayExpired, timestamp
from impact.decimals import EXACT, stored
from impact.dynamodb import BATCH_GET_MAX, Version
from impact.fx_rates import FxRate
from impact.keys import day_shard
from impact.price_book import DayBook
from impact.state_store import LateMark
from impact.store import Store
from impact.summary import Tally, tallies_by_user
from impact.types import Item

WORKERS = 8  # summaries written, or pages of them read, at a time
ATTEMPTS = 8  # most attempts, while others write what an attempt has read
PAUSE_SECONDS = 0.05  # longest pause before the second attempt; it doubles with each further one

NOT_COMPARED = ("kind", "key", "asOf", "revision")
"""Attributes that may differ though nothing has changed. `final` is not one of them: the first recompute of a
closed day writes every summary, and no recompute that found the day open can then write over it."""

T = TypeVar("T")


class TooManyConflicts(Exception):
    """In each attempt, others had written what it had read."""


@dataclass(frozen=True)
class Recomputed:
    """What a recompute found and did."""

    events: int
    users: int
    summaries_written: int
    summaries_deleted: int  # of users who have no event left on that day
    late: bool  # whether a late mark was set
    final: bool
    converted: bool  # whether the day's fx rate was known
    new_unpriced: list[str]  # models of which a request had no cost for the first time


def recompute(
    store: Store, calendar: Calendar, terms: Terms, day: str, shard: int, *, as_of: datetime
) -> Recomputed:
    """Make the summaries of a (day, shard) equal to its ledger: replace what differs, delete the rest.

    A day that was final keeps the terms that it was billed at. Raises DayExpired, TooManyConflicts.
    """
    if not 0 <= shard < calendar.shard_count(day):
        raise ValueError(f"shard must be 0 to {calendar.shard_count(day) - 1}")
    hints = _Hints()
    with ThreadPoolExecutor(WORKERS) as workers:
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, PAUSE_SECONDS * 2**attempt))  # noqa: S311  # nosec B311
            try:
                return _Attempt(store, calendar, terms, day, shard, as_of, workers, hints).run()
            except _Conflict as conflict:
                hints.users |= conflict.users
                hints.is_closed |= conflict.is_closed
                hints.breakdown = conflict.breakdown
    raise TooManyConflicts(f"{day}, shard {shard}: others wrote what was read, in {ATTEMPTS} attempts")


class _Conflict(Exception):
    """Another recompute has written what this attempt had read."""

    def __init__(self, users: Iterable[str] = (), *, is_closed: bool = False, breakdown: str | None = None):
        super().__init__()
        self.users = set(users)
        self.is_closed = is_closed
        self.breakdown = breakdown


@dataclass
class _Hints:
    """What earlier attempts have found out."""

    users: set[str] = field(default_factory=set)
    """They have summaries, though the index may not list them yet."""
    is_closed: bool = False  # another recompute, whose clock is ahead, has found the day closed
    breakdown: str | None = None  # the breakdown's stored revision, where the total does not name it


@dataclass(frozen=True, slots=True)
class _StoredSummary:
    """What an attempt keeps of a summary that it has read."""

    version: Version
    digest: bytes
    is_final: bool

    @classmethod
    def of(cls, summary: Item) -> "_StoredSummary":
        return cls(Version.of(summary), _digest(summary), summary["final"])


@dataclass(frozen=True)
class _Snapshot:
    """What was read before the ledger."""

    mark: LateMark
    total: Item | None  # the stored total of the (day, shard)
    countable_until: str
    is_final: bool
    summaries: dict[str, _StoredSummary]  # by user
    rate: FxRate | None
    terms: Terms
    book: DayBook

    @property
    def is_strict(self) -> bool:
        """Whether a conflict begins the attempt again, and reads are strongly consistent.

        An open day without a mark is recomputed within the hour: its reads may miss the latest events, at
        half the price, and what another recompute has written stays.
        """
        return self.is_final or self.mark.since is not None


@dataclass(frozen=True)
class _Written:
    """The sums of the ledger, and how many summaries were written and deleted."""

    tally: Tally
    breakdown: Breakdown
    users: int
    summaries_written: int
    summaries_deleted: int


@dataclass(frozen=True)
class _Attempt:
    """One attempt at a (day, shard)."""

    store: Store
    calendar: Calendar
    terms: Terms
    day: str
    shard: int
    as_of: datetime
    workers: Executor
    hints: _Hints

    @property
    def key(self) -> str:
        return day_shard(self.day, self.shard)

    def run(self) -> Recomputed:
        """Raises _Conflict, DayExpired. The order makes it right: the mark is read first, the ledger last."""
        snapshot = self._read()
        written = self._write_summaries(snapshot)
        total = self._total(snapshot, written)
        total["breakdown"] = self._write_breakdown(snapshot, total, written.breakdown.encoded())
        has_changed = written.summaries_written + written.summaries_deleted > 0
        self._write_total(snapshot, total, has_changed=has_changed)
        if snapshot.is_final:
            self.store.state.outdate_daily_total(self.day)
        # The planner finds a day that was final long ago by its mark alone: the mark stays until the day is
        # converted.
        if snapshot.mark.since and not is_unconverted(total):
            self.store.state.clear_mark(snapshot.mark)
        return Recomputed(
            events=written.tally.requests,
            users=written.users,
            summaries_written=written.summaries_written,
            summaries_deleted=written.summaries_deleted,
            late=snapshot.mark.since is not None,
            final=snapshot.is_final,
            converted=snapshot.rate is not None,
            new_unpriced=self._note_unpriced(written.breakdown),
        )

    def _read(self) -> _Snapshot:
        mark = self.store.state.late_mark(self.day, self.shard)
        total = self.store.state.shard_total(self.key)
        until = self._countable_until(total)
        if timestamp(self.as_of) >= until:
            raise DayExpired(self.day)
        # A day that another clock has found closed is closed, unless that clock was hours ahead.
        may_be_closed = self.calendar.is_closed(self.day, self.as_of + CLOCK_SKEW_MAX)
        was_final = may_be_closed and (bool(total and total["final"]) or self.hints.is_closed)
        is_final = was_final or self.calendar.is_closed(self.day, self.as_of)
        summaries = self._stored_summaries(consistent=is_final or mark.since is not None)
        if may_be_closed and not is_final and any(summary.is_final for summary in summaries.values()):
            raise _Conflict(is_closed=True)
        # After the summaries: rate and prices may have been corrected since.
        rate = self.store.state.fx_rate_of(self.day)
        book = self._book(total, is_final=is_final)
        return _Snapshot(mark, total, until, is_final, summaries, rate, terms_of(total, self.terms), book)

    def _book(self, total: Item | None, *, is_final: bool) -> DayBook:
        """The prices that the day is counted with: an open day's follow the book, a final day's are fixed."""
        book = self.store.prices.book()
        revisions = self.store.prices.revisions_of(self.day) if is_final else [book.revision]
        if not revisions:  # the first recompute of the day, in any shard, that finds it closed
            is_older = bool(total and total["final"])  # it was final before there were prices
            self.store.prices.fix_revision(self.day, 0 if is_older else book.revision, self.as_of)
            revisions = self.store.prices.revisions_of(self.day)
        return DayBook.of(book, self.day, revisions)

    def _countable_until(self, total: Item | None) -> str:
        """When the day's first events may expire; an earlier release may have stored a shorter time."""
        until = timestamp(self.calendar.countable_until(self.day))
        return min(until, total["countableUntil"]) if total and "countableUntil" in total else until

    def _stored_summaries(self, *, consistent: bool) -> dict[str, _StoredSummary]:
        users = self.hints.users.union(self.store.summaries.all_users_of(self.key))

        def read(chunk: list[str]) -> list[tuple[str, _StoredSummary]]:
            keys = [(user_id, self.day) for user_id in chunk]
            found = self.store.summaries.get_many(keys, consistent=consistent)
            return [(summary["userId"], _StoredSummary.of(summary)) for summary in found]

        chunks = list(_chunks(sorted(users), BATCH_GET_MAX))
        return dict(pair for pairs in self.workers.map(read, chunks) for pair in pairs)

    def _write_summaries(self, snapshot: _Snapshot) -> _Written:
        tally, breakdown, users, written = Tally(), Breakdown(), 0, 0
        without_events = dict(snapshot.summaries)
        pages = self.store.ledger.event_pages(self.key, consistent=snapshot.is_strict)
        for tallies in _chunks(tallies_by_user(pages, snapshot.book, breakdown.add), BATCH_GET_MAX):
            changed = []
            for user_id, user_tally in tallies:
                summary = self._summary(snapshot, user_id, user_tally)
                before = without_events.pop(user_id, None)
                if before is None or before.digest != _digest(summary):
                    changed.append((summary, before.version if before else None))
                with localcontext(EXACT):
                    tally.add(user_tally)
            users += len(tallies)
            written += self._put(snapshot, changed)
        deleted = self._delete(snapshot, without_events)
        return _Written(tally, breakdown, users, written, deleted)

    def _summary(self, snapshot: _Snapshot, user_id: str, tally: Tally) -> Item:
        key = {"userId": user_id, "day": self.day, "dayShard": self.key}
        stated = statement(tally, snapshot.rate, snapshot.terms)
        before = before_correction(tally, stated, snapshot.rate, snapshot.terms)
        return key | stated | before | self._stamp(snapshot)

    def _stamp(self, snapshot: _Snapshot) -> Item:
        return {"asOf": timestamp(self.as_of), "final": snapshot.is_final}

    def _put(self, snapshot: _Snapshot, changed: list[tuple[Item, Version | None]]) -> int:
        done = list(self.workers.map(lambda pair: self.store.summaries.put(*pair), changed))
        if snapshot.is_strict and not all(done):
            tried = zip(changed, done, strict=True)
            raise _Conflict(summary["userId"] for (summary, _), is_done in tried if not is_done)
        return sum(done)

    def _delete(self, snapshot: _Snapshot, summaries: dict[str, _StoredSummary]) -> int:
        """Delete the summaries of users who have no event."""
        users = [user_id for user_id in summaries if snapshot.is_strict or not self._has_event(user_id)]

        def delete(user_id: str) -> bool:
            return self.store.summaries.delete(user_id, self.day, summaries[user_id].version)

        done = list(self.workers.map(delete, users))
        if snapshot.is_strict and not all(done):
            raise _Conflict
        return sum(done)

    def _has_event(self, user_id: str) -> bool:
        return any(self.store.ledger.event_pages(self.key, user_id=user_id, consistent=True))

    def _total(self, snapshot: _Snapshot, written: _Written) -> Item:
        """Dollars stay unconverted here: the reader converts the day's sum once."""
        fields = written.tally.as_fields()
        del fields["models"]  # a platform has too many for one item; each user's summary names its own
        return {
            "day": self.day,
            "shard": self.shard,
            "users": written.users,
            "countableUntil": snapshot.countable_until,
            "terms": snapshot.terms.as_fields(),
            **(snapshot.rate.as_fields() if snapshot.rate else {}),
            **fields,
            **self._stamp(snapshot),
        }

    def _write_breakdown(self, snapshot: _Snapshot, total: Item, rows: bytes) -> Item:
        """Store the rows with the total that they add up to. Return what the total names of them.

        They replace the revision that was known before the ledger was read, and no other: a conflict begins
        the attempt again, on an open day too. So an older reading of the ledger never replaces a newer one.
        """
        digest = blake2b(rows, digest_size=8, person=_digest(total)).hexdigest()
        known = (snapshot.total or {}).get("breakdown", {})
        if known.get("digest") == digest and self.hints.breakdown is None and not snapshot.is_strict:
            return dict(known)
        before = self.hints.breakdown or known.get("revision")
        put = self.store.breakdowns.put_shard(self.day, self.shard, {"total": total, "rows": rows}, before)
        if isinstance(put, Overtaken):
            raise _Conflict(is_closed=put.is_final, breakdown=put.revision)
        return {"revision": put, "digest": digest}

    def _note_unpriced(self, breakdown: Breakdown) -> list[str]:
        """A failure without a cost was perhaps not charged: only successes tell that a price is missing."""
        models = breakdown.rows["model"].values.items()
        unpriced, failures = COLUMNS.index("unpriced"), COLUMNS.index("failures")
        names = [str(model) for model, row in models if row[unpriced] > row[failures]]
        return self.store.prices.note_unpriced(names, self.day, self.as_of) if names else []

    def _write_total(self, snapshot: _Snapshot, total: Item, *, has_changed: bool) -> None:
        """The total of a closed day is written even where nothing has changed.

        Whoever read the one before then begins again: that recompute may have read events that somebody has
        deleted since.
        """
        before = snapshot.total
        if not (has_changed or snapshot.is_strict or before is None or _digest(total) != _digest(before)):
            return
        version = Version.of(before) if before else None
        if not self.store.state.put_shard_total(self.key, total, version) and snapshot.is_strict:
            raise _Conflict(breakdown=total["breakdown"]["revision"])


def is_unconverted(total: Item) -> bool:
    """Tell whether the total of a (day, shard) has dollars that wait for their fx rate."""
    return bool(total.get("unconverted", total.get("costUSD"))) and "fxRate" not in total


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _digest(item: Item) -> bytes:
    """Digest what comes from the ledger, so that an item just computed and the same one as read are equal."""
    content = {name: value for name, value in item.items() if name not in NOT_COMPARED}
    text = json.dumps(content, sort_keys=True, default=_plain, ensure_ascii=False)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _plain(number: Decimal) -> int | str:
    """Write a number in one way: a whole one as int, as the store reads it; others in their shortest form."""
    return int(number) if number == number.to_integral_value() else str(stored(number))
