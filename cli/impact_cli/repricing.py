"""What a correction of final days by the price book would change, for `impact reprice`.

It is counted from the ledger, as a recompute would: each event of the days is read once.
"""

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any, TypeVar

from impact.billing import Terms
from impact.calendar import Calendar, days_between, timestamp
from impact.decimals import EXACT, ZERO
from impact.fx_rates import FxRate, to_euros
from impact.keys import day_shard
from impact.price_book import DayBook, PriceBook
from impact.store import Store
from impact.summary import Group, Sums, tallies_by_user
from impact.types import Item
from impact.usage_reader import UsageReader
from impact_cli.progress import Progress

K = TypeVar("K")

READERS = 8
"""Partitions of the ledger read at a time."""
MARGIN = timedelta(days=1)
"""A day that can be recomputed for less than this is left as it is: the rollup might be too late."""

OPEN, WAITING, EXPIRED = "open", "not final yet", "expired"
SAME, UNCHANGED, DUE = "the same prices", "the same cost", "due"
REASONS = {
    OPEN: "Open (the next rollup takes the newest prices)",
    WAITING: "Closed, but not final yet (the next rollup takes the newest prices)",
    EXPIRED: "Left as they are, since their events have expired or do within a day",
    SAME: "Without another price in the newest revision of the book",
    UNCHANGED: "With another price in the newest revision, but no request whose cost changes",
}
"""Why days are left out."""


@dataclass(frozen=True)
class Days:
    """The days of a range that have requests, by what a correction would do with them."""

    by_state: dict[str, list[str]]
    revisions: dict[str, int]
    """Of the days that are due: the revision that they are counted with."""

    @property
    def due(self) -> list[str]:
        return self.by_state.get(DUE, [])

    def leaving_out_unchanged(self, changed: Collection[str]) -> "Days":
        """Only those of the days that are due on which the cost of a request changes."""
        unchanged = [day for day in self.due if day not in changed]
        of_due = {DUE: [day for day in self.due if day in changed], UNCHANGED: unchanged}
        by_state = {state: days for state, days in (self.by_state | of_due).items() if days}
        return Days(by_state, self.revisions)


@dataclass
class Change:
    """What requests cost in euros, before and after. Dollars without an fx rate are in neither."""

    before: Decimal = ZERO
    after: Decimal = ZERO

    def add(self, other: "Change") -> None:
        """Add a change, within `localcontext(EXACT)`."""
        self.before += other.before
        self.after += other.after

    @property
    def difference(self) -> Decimal:
        with localcontext(EXACT):
            return self.after - self.before


@dataclass
class Changes:
    """What a correction would change, by user, team and month."""

    users: dict[str, Change] = field(default_factory=dict)
    teams: dict[str | None, Change] = field(default_factory=dict)
    months: dict[str, Change] = field(default_factory=dict)
    days: set[str] = field(default_factory=set)
    """Days on which the cost of a request changes."""
    unconverted: set[str] = field(default_factory=set)
    """Those of them whose dollars wait for an fx rate."""

    def add(self, day: str, user: str, team: str | None, change: Change) -> None:
        """Add what changes for requests of one user, team and day, within `localcontext(EXACT)`."""
        self.users.setdefault(user, Change()).add(change)
        self.teams.setdefault(team, Change()).add(change)
        self.months.setdefault(day[:7], Change()).add(change)
        self.days.add(day)

    def merge(self, other: "Changes") -> None:
        """Add other changes, within `localcontext(EXACT)`."""
        _merge(self.users, other.users)
        _merge(self.teams, other.teams)
        _merge(self.months, other.months)
        self.days |= other.days
        self.unconverted |= other.unconverted


def _merge(changes: dict[K, Change], others: dict[K, Change]) -> None:
    for key, change in others.items():
        changes.setdefault(key, Change()).add(change)


def days_of(store: Store, calendar: Calendar, book: PriceBook, first: str, last: str, now: datetime) -> Days:
    """Sort the days with requests of a range by what a correction would do with them."""
    totals: dict[str, list[Item]] = {}
    for total in store.state.shard_totals(first, last):
        totals.setdefault(total["day"], []).append(total)
    used = [day for day in days_between(first, last) if any(t["requests"] for t in totals.get(day, []))]
    with ThreadPoolExecutor(READERS) as readers:
        revisions = dict(zip(used, readers.map(store.prices.revisions_of, used), strict=True))
    by_state: dict[str, list[str]] = {}
    for day in used:
        revision = revisions[day][-1] if revisions[day] else 0
        state = _state(calendar, book, day, totals[day], revision, now)
        by_state.setdefault(state, []).append(day)
    return Days(by_state, {day: of[-1] if of else 0 for day, of in revisions.items()})


def _state(
    calendar: Calendar, book: PriceBook, day: str, totals: Iterable[Item], revision: int, now: datetime
) -> str:
    if not calendar.is_closed(day, now):
        return OPEN
    if not all(total["final"] for total in totals):
        return WAITING
    until = timestamp(calendar.countable_until(day))
    if timestamp(now + MARGIN) >= min(total.get("countableUntil", until) for total in totals):
        return EXPIRED
    return SAME if book.on(day, revision) == book.on(day, book.revision) else DUE


def count_changes(store: Store, calendar: Calendar, book: PriceBook, days: Days) -> Changes:
    """Count from the ledger what a correction of the days that are due would change.

    Only requests whose cost changes are in it, with what they cost before and after.
    """
    shards = [(day, shard) for day in days.due for shard in range(calendar.shard_count(day))]
    changes = Changes()

    def count(of: tuple[str, int]) -> Changes:
        return _changes_of_shard(store, book, *of, days.revisions[of[0]])

    with ThreadPoolExecutor(READERS) as readers:
        counted = readers.map(count, shards)
        for some in Progress().of(counted, f"of {len(shards)} partitions of the ledger read"):
            with localcontext(EXACT):
                changes.merge(some)
    return changes


def _changes_of_shard(store: Store, book: PriceBook, day: str, shard: int, revision: int) -> Changes:
    rate = store.state.fx_rate_of(day)
    changes = Changes()

    def add(user: str, group: Group, sums: Sums, first: Sums | None) -> None:
        assert first is not None
        if (first.costUSD, first.costEUR, first.unpriced) == (sums.costUSD, sums.costEUR, sums.unpriced):
            return
        changes.add(day, user, group.team, Change(_euros(first, rate), _euros(sums, rate)))
        if rate is None:
            changes.unconverted.add(day)

    of_day = DayBook.of(book, day, [revision, book.revision])
    pages = store.ledger.event_pages(day_shard(day, shard), consistent=True)
    for _ in tallies_by_user(pages, of_day, add):
        pass
    return changes


def _euros(sums: Sums, rate: FxRate | None) -> Decimal:
    return sums.costEUR + (to_euros(sums.unconverted, rate) if rate else ZERO)


def totals_of(store: Store, calendar: Calendar, days: list[str]) -> list[Item]:
    """The platform's totals of these days, as they are."""
    if not days:
        return []
    shown: list[dict[str, Any]] = UsageReader(store, calendar, Terms()).platform(days[0], days[-1])["days"]
    return [total for total in shown if total["day"] in set(days)]
