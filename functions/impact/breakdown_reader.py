"""What the read API returns by dimension: what each value did in some days, and the days of one value."""

import gc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import localcontext
from functools import lru_cache, partial
from itertools import groupby
from typing import Any

from impact import daily_totals
from impact.billing import zero_sum
from impact.breakdown import (
    HELD_MAX,
    WHOLE,
    DayRows,
    Encoded,
    day_rows,
    shards_of_day,
    sums_of_row,
)
from impact.breakdown_columns import DAY_COLUMNS, Columns, ColumnSums, Row, Value
from impact.calendar import Calendar, days_between, runs_of
from impact.decimals import EXACT
from impact.naming import ID_FIELDS, Kind, fields_of
from impact.pages import PageOfRows, cursor_of, parse_cursor
from impact.store import Store
from impact.summary import Sums, Tally
from impact.types import Item

PAGE_VALUES = 1_000  # most values on a page
COSTS = ("costEUR", "costUSD")  # of each day of the dearest values
READERS = 16  # requests at a time
DAYS_A_REQUEST = 8  # a thousand users a day take 100 KB of the megabyte that a response has room for
DAYS_KEPT = 64  # stored days that are kept decoded, a megabyte each: a month is asked for again and again
NAMED: dict[str, Kind] = {kind: kind for kind in ID_FIELDS}  # dimensions whose values can have a name


@dataclass(frozen=True)
class _Day:
    """A day with use: its total, and what reads its rows. Those of a year would fill the memory."""

    total: Item
    rows: Callable[[], Columns | DayRows]


@dataclass(frozen=True)
class _Days:
    """Days with use, in order, and whether all that were asked for are final."""

    used: list[_Day]
    are_final: bool


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no cycles of garbage meanwhile: rows make none, and the search takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@dataclass(frozen=True)
class BreakdownReader:
    """Reads usage by dimension. A day with a late mark reads as not final."""

    store: Store
    calendar: Calendar

    @_no_collection()
    def values(
        self,
        by: str,
        first: str,
        last: str,
        cursor: str | None = None,
        *,
        limit: int = PAGE_VALUES,
        daily: int = 0,
    ) -> dict[str, Any]:
        """Return a page of what each value of a dimension did, the dearest first. Raises BadCursor.

        The last item may be the rest (`rest: true`): the values that did not stand by themselves. On the
        first page the dearest of those that stand, `daily` of them, have `days`: what they cost on each.
        """
        start = parse_cursor(cursor, _parse_place) if cursor else 0
        days = self._days(by, first, last)
        rows = _added(days.used)
        if by in WHOLE:
            rows.fit(Tally.from_fields(daily_totals.sum_totals(day.total for day in days.used)))
        places = _in_order(rows)
        items = [_item(*place) for place in places[start : start + limit]]
        if daily and start == 0:
            standing = [item for item in items if item["value"] is not None]
            _add_days(standing[:daily], days.used)
        page = PageOfRows()
        for item in self._named(by, items):
            if not page.add(item):
                break
        following = start + len(page.rows)
        return {
            "by": by,
            "from": first,
            "to": last,
            "items": page.rows,
            "final": days.are_final,
            "next": cursor_of(following) if following < len(places) else None,
        }

    def days_of(self, by: str, value: str, first: str, last: str) -> dict[str, Any]:
        """Return the days of one value, in order, and their sum.

        `inRest` lists the days that have a rest: some of what the value did, or all of it, may be in it.
        """
        shown: list[Item] = []
        in_rest: list[str] = []
        total: Sums = zero_sum()
        for day in self._days(by, first, last).used:
            rows = day.rows()
            row = rows.row(value)
            if row is not None:
                sums = sums_of_row(row)
                with localcontext(EXACT):
                    total.add(sums)
                shown.append({"day": day.total["day"]} | _fields(sums) | {"final": day.total["final"]})
            if rows.has_rest:
                in_rest.append(day.total["day"])
        kind = NAMED.get(by)
        name = fields_of(self.store.names.get(kind, value)) if kind else {}
        answer = name | {"from": first, "to": last, "days": shown, "total": _fields(total)}
        return answer | ({"inRest": in_rest} if in_rest else {})

    def _named(self, by: str, items: list[Item]) -> list[Item]:
        kind = NAMED.get(by)
        return self.store.names.beside(items, kind, "value") if kind else items

    def _days(self, by: str, first: str, last: str) -> _Days:
        """Read the days with use. The planner stores final days; others are added up here.

        A day without use is final if it has no mark and the watermark has passed it: it may have no total.
        """
        progress = self.store.state.progress()
        watermark = progress.watermark if progress else ""
        marked = {day for day, _ in self.store.state.marked(first, last)}  # first: see usage_reader.py
        sums = self.store.state.daily_totals(first, last)
        kept = {
            day: item
            for day, item in self._stored(by, first, last).items()
            if day not in marked and day in sums and item["changes"] == sums[day].changes
        }
        unused = {day for day, total in sums.items() if total.sums == daily_totals.NO_USE} - marked
        others = [day for day in days_between(first, last) if day not in kept and day not in unused]
        found = {
            day: _Day(
                daily_totals.as_response(item["total"], reopened=False),
                partial(_columns, by, item["rows"]),
            )
            for day, item in kept.items()
        }
        found |= {day.total["day"]: day for day in self._added_up(by, others, marked)}
        unfinal = {day for day, each in found.items() if not each.total["final"]} | marked
        settled = {day for day in days_between(first, last) if day in found or day <= watermark} - unfinal
        return _Days([found[day] for day in sorted(found)], settled.issuperset(days_between(first, last)))

    def _stored(self, by: str, first: str, last: str) -> dict[str, Item]:
        """Read the stored days, by several requests at a time."""
        days = list(days_between(first, last))
        parts = [days[start : start + DAYS_A_REQUEST] for start in range(0, len(days), DAYS_A_REQUEST)]
        with ThreadPoolExecutor(READERS) as readers:
            found = readers.map(lambda part: self.store.breakdowns.of_days(by, part[0], part[-1]), parts)
            return {day: item for items in found for day, item in items.items()}

    def _added_up(self, by: str, days: list[str], marked: set[str]) -> Iterator[_Day]:
        totals: dict[str, list[Item]] = {}
        for run in runs_of(days):
            shard_totals = self.store.state.shard_totals(*run)
            for day, of_day in groupby(shard_totals, key=lambda total: str(total["day"])):
                totals[day] = list(of_day)
        with ThreadPoolExecutor(READERS) as readers:
            breakdowns = readers.map(self.store.breakdowns.of_shards, totals)
            for (day, each), stored in zip(totals.items(), breakdowns, strict=True):
                shards = shards_of_day(each, stored)
                whole = [shard.total for shard in shards]
                total = daily_totals.daily_total(day, whole, self.calendar.shard_count(day))
                if total is not daily_totals.NO_USE:
                    rows = partial(day_rows, by, shards)
                    yield _Day(daily_totals.as_response(total, reopened=day in marked), rows)


@lru_cache(DAYS_KEPT)
def _columns(by: str, rows: bytes) -> Columns:
    """Decode a stored day. Nobody changes what this returns."""
    return Encoded(rows).columns(by)


def _added(days: Iterable[_Day]) -> DayRows:
    """Add up days, one in memory at a time. Where there are too many values to hold, keep the dearest."""
    stored, others = ColumnSums(DAY_COLUMNS), DayRows()
    with localcontext(EXACT):
        for day in days:
            rows = day.rows()
            if isinstance(rows, Columns):
                stored.add(rows)
            else:
                others.add(rows)
            if max(len(stored), len(others.values)) > 2 * HELD_MAX:
                others.add(DayRows(*stored.rows()))
                stored, others = ColumnSums(DAY_COLUMNS), others.folded(HELD_MAX)
        others.add(DayRows(*stored.rows()))
    return others


def _add_days(items: list[Item], days: Iterable[_Day]) -> None:
    """Add to each item what it cost on each day: the rows are read again, not held."""
    for item in items:
        item["days"] = []
    for day in days:
        rows = day.rows()
        for item in items:
            row = rows.row(item["value"])
            if row is not None:
                sums = _fields(sums_of_row(row))
                item["days"].append({"day": day.total["day"]} | {cost: sums[cost] for cost in COSTS})


Place = tuple[Value, Row, bool]
"""A value, its row, and whether this is the rest."""


def _in_order(rows: DayRows) -> list[Place]:
    """Order the values, dearest first, the rest last."""
    rest: list[Place] = [] if rows.rest is None else [(None, rows.rest, True)]
    return [*((value, row, False) for value, row in rows.in_order()), *rest]


def _item(value: Value, row: Row, is_rest: bool) -> Item:
    return {"value": value} | ({"rest": True} if is_rest else {}) | _fields(sums_of_row(row))


def _fields(sums: Sums) -> Item:
    """The sums of a value, which has no models."""
    return {name: amount for name, amount in sums.as_fields().items() if name != "models"}


def _parse_place(content: Any) -> int:
    if type(content) is not int or content < 0:
        raise ValueError
    return content
