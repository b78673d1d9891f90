"""What the read API returns: a user's days, a day's users, the platform's days.

Each view reads the late marks first, then the figures, with strong consistency. So a figure that a late event
has outdated never shows as final: either its mark was set, or the figure is the new one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from math import inf
from typing import Any

from impact import daily_totals
from impact.billing import Terms, before_correction, statement, terms_of, zero_sum
from impact.breakdown import model_rows
from impact.calendar import Calendar, days_between, parse_day, runs_of, timestamp
from impact.keys import day_shard, has_room
from impact.ledger_event import LedgerEvent
from impact.naming import USER, fields_of
from impact.pages import PageOfRows, cursor_of, parse_cursor
from impact.price_book import DayBook
from impact.store import Store
from impact.summary import Tally, tally
from impact.summary_store import UserPage
from impact.types import Item

PAGE_USERS = 100  # most users on one page of a day
READ_USERS = 25  # summaries of a day read at a time: 10 MB of the largest
LISTERS = 16  # shards of a day listed at a time

INTERNAL = {"dayShard", "revision"}  # attributes of a summary that responses leave out

TimeLeft = Callable[[], float]  # returns the seconds left to read events
Place = tuple[int, str | None]
"""Where the next page of a day starts: in which shard, and after which of its users."""


class _OutOfTime(Exception):
    """A day has more events than there is time to read."""


@dataclass(frozen=True)
class UsageReader:
    """Reads usage. A day with a late mark reads as not final."""

    store: Store
    calendar: Calendar
    terms: Terms

    def user(
        self,
        user_id: str,
        first: str,
        last: str,
        *,
        fresh: bool,
        now: datetime,
        cursor: str | None = None,
        time_left: TimeLeft = lambda: inf,
    ) -> dict[str, Any]:
        """Return a page of a user's days with use, in order, and the sum of all days. Raises BadCursor.

        `fresh` computes days that are not final from the ledger; `notFresh` lists those without time for it.
        """
        start = parse_cursor(cursor, parse_day) if cursor else first
        marked = self._marked_days(user_id, first, last)
        summaries = self.store.summaries.of_user(user_id, first, last)
        not_fresh: list[str] = []
        if fresh:
            open_days = self._open_days(marked, first, last, now)
            summaries = _FreshDays(self, user_id, marked, now, time_left, not_fresh).of(summaries, open_days)
        page, total, following = PageOfRows(), zero_sum(), None
        for summary in summaries:
            row = _shown(summary, reopened=summary["day"] in marked)
            total.merge(Tally.from_fields(row))
            if following is None and row["day"] >= start and not page.add(row):
                following = row["day"]
        return {
            "userId": user_id,
            **fields_of(self.store.names.get(USER, user_id)),
            "from": first,
            "to": last,
            "days": page.rows,
            "total": total.as_fields(),
            **({"next": cursor_of(following)} if following else {}),
            **({"notFresh": not_fresh} if not_fresh else {}),
        }

    def models_of(self, user_id: str, by: str, first: str, last: str) -> dict[str, Any]:
        """Return what a user did with each model, or of each provider, dearest first.

        The last item may be the rest (`rest: true`): the models for which a summary had no room.
        """
        marked = self._marked_days(user_id, first, last)
        progress = self.store.state.progress()
        is_final, total = progress is not None and last <= progress.watermark and not marked, zero_sum()
        for summary in self.store.summaries.of_user(user_id, first, last):
            total.merge(Tally.from_fields(summary))
            is_final = is_final and summary["final"]
        items = [
            {"value": value} | ({} if value else {"rest": True}) | figures.as_fields()
            for value, figures in model_rows(by, total)
        ]
        return {"by": by, "from": first, "to": last, "items": items, "final": is_final, "next": None}

    def _marked_days(self, user_id: str, first: str, last: str) -> set[str]:
        """Days of a user that have a late mark. They are read first: see above."""
        marks = self.store.state.marked(first, last)
        return {day for day, shard in marks if shard == self.calendar.shard_of(user_id, day)}

    def open_days(self, user_id: str, first: str, last: str, now: datetime) -> list[str]:
        """List the days up to today whose figures may still change, with use or without, in order."""
        return self._open_days(self._marked_days(user_id, first, last), first, last, now)

    def day(self, day: str, cursor: str | None) -> dict[str, Any]:
        """Return a page of the users of a day. Raises BadCursor."""
        place: Place = parse_cursor(cursor, _parse_place) if cursor else (0, None)
        marked = {shard for _, shard in self.store.state.marked(day, day)}
        users, following = self._users(day, place)
        names = self.store.names.get_many(USER, [user_id for _, user_id in users])
        page = PageOfRows()
        for start in range(0, len(users), READ_USERS):
            some = users[start : start + READ_USERS]
            found = self.store.summaries.get_many([(user_id, day) for _, user_id in some], consistent=True)
            items = {item["userId"]: item for item in found}
            for shard, user_id in some:
                if user_id in items:
                    row = _shown(items[user_id], reopened=shard in marked) | fields_of(names.get(user_id))
                    if not page.add(row):
                        return {"day": day, "items": page.rows, "next": cursor_of(place)}
                place = (shard, user_id)
        return {"day": day, "items": page.rows, "next": cursor_of(following) if following else None}

    def platform(self, first: str, last: str) -> dict[str, Any]:
        """Return the platform's days with use, in order, and their sum.

        The planner stores the totals of final days. Those of other days are added up here, the same way.
        """
        marked = {day for day, _ in self.store.state.marked(first, last)}
        sums = self.store.state.daily_totals(first, last)
        rows = {d: kept.sums for d, kept in sums.items() if kept.sums is not None and d not in marked}
        for run in runs_of(day for day in days_between(first, last) if day not in rows):
            shard_totals = self.store.state.shard_totals(*run)
            for day, totals in groupby(shard_totals, key=lambda total: str(total["day"])):
                rows[day] = daily_totals.daily_total(day, totals, self.calendar.shard_count(day))
        days = [daily_totals.as_response(rows[d], reopened=d in marked) for d in sorted(rows) if rows[d]]
        return {"from": first, "to": last, "days": days, "total": daily_totals.sum_totals(days)}

    def _users(self, day: str, place: Place) -> tuple[list[tuple[int, str]], Place | None]:
        """List up to PAGE_USERS users of a day with their shards, and where the next page starts."""
        shard, after = place
        users_by_shard = self.store.state.users_by_shard(day)
        places = deque((s, after if s == shard else None) for s in sorted(users_by_shard) if s >= shard)
        users: list[tuple[int, str]] = []
        with ThreadPoolExecutor(LISTERS) as listers:
            while places and len(users) < PAGE_USERS:
                room = PAGE_USERS - len(users)
                some = _enough(places, users_by_shard, room)
                pages = listers.map(partial(self._list, day, room), some)
                for (shard, _), page in zip(some, pages, strict=True):
                    taken = page.user_ids[: PAGE_USERS - len(users)]
                    users += [(shard, user_id) for user_id in taken]
                    if page.last or len(taken) < len(page.user_ids):
                        places[0] = (shard, taken[-1]) if taken else places[0]
                        break
                    places.popleft()
        return users, places[0] if places else None

    def _list(self, day: str, limit: int, place: Place) -> UserPage:
        shard, after = place
        return self.store.summaries.page_of_users(day_shard(day, shard), after=after, limit=limit)

    def _open_days(self, marked: set[str], first: str, last: str, now: datetime) -> list[str]:
        progress = self.store.state.progress()
        watermark = progress.watermark if progress else ""
        return [
            day
            for day in days_between(first, min(last, self.calendar.day_of(now)))
            if (day in marked or day > watermark) and not self.calendar.may_have_expired(day, now)
        ]


@dataclass(frozen=True)
class _FreshDays:
    """A user's days. Those that are not final are computed from the ledger now."""

    reader: UsageReader
    user_id: str
    marked: set[str]
    now: datetime
    time_left: TimeLeft
    not_fresh: list[str]  # days that there was no time for

    def of(self, summaries: Iterable[Item], open_days: Iterable[str]) -> Iterator[Item]:
        """Return the days in order, those without a summary too."""
        waiting = deque(open_days)
        for summary in summaries:
            day = summary["day"]
            while waiting and waiting[0] < day:
                yield from self._day(waiting.popleft(), [])
            is_open = bool(waiting) and waiting[0] == day
            if is_open:
                waiting.popleft()
            if is_open and (day in self.marked or not summary["final"]):
                yield from self._day(day, [summary])
            else:
                yield summary
        for day in waiting:
            yield from self._day(day, [])

    def _day(self, day: str, stored: list[Item]) -> list[Item]:
        """Compute a day. Without time for that, return what is stored."""
        try:
            return self._computed(day)
        except _OutOfTime:
            self.not_fresh.append(day)
            return [summary | {"final": False} for summary in stored]

    def _computed(self, day: str) -> list[Item]:
        store, calendar = self.reader.store, self.reader.calendar
        key = day_shard(day, calendar.shard_of(self.user_id, day))
        total = store.state.shard_total(key)
        sums = tally(self._events(key), self._book(day, total))
        if not sums.requests:
            return []
        terms = terms_of(total, self.reader.terms)
        stamp = {"asOf": timestamp(self.now), "final": calendar.is_closed(day, self.now)}
        rate = store.state.fx_rate_of(day)
        stated = statement(sums, rate, terms)
        stated |= before_correction(sums, stated, rate, terms)
        return [{"userId": self.user_id, "day": day} | stated | stamp]

    def _book(self, day: str, total: Item | None) -> DayBook:
        """The prices that a recompute would count the day with now: see `recompute.py`."""
        prices = self.reader.store.prices
        book = prices.book()
        newest = 0 if total and total["final"] else book.revision
        is_closed = self.reader.calendar.is_closed(day, self.now)
        return DayBook.of(book, day, (is_closed and prices.revisions_of(day)) or [newest])

    def _events(self, key: str) -> Iterator[LedgerEvent]:
        pages = self.reader.store.ledger.event_pages(key, user_id=self.user_id, consistent=True)
        while self.time_left() > 0:
            page = next(pages, None)
            if page is None:
                return
            yield from page
        raise _OutOfTime


def _enough(places: Iterable[Place], users_by_shard: dict[int, int], room: int) -> list[Place]:
    """Take the first places, until their users fill the room."""
    some: list[Place] = []
    for place in places:
        some.append(place)
        room -= users_by_shard[place[0]]
        if room <= 0 or len(some) == LISTERS:
            break
    return some


def _shown(summary: Item, *, reopened: bool) -> dict[str, Any]:
    shown = {name: value for name, value in summary.items() if name not in INTERNAL}
    return shown | {"final": summary["final"] and not reopened}


def _parse_place(content: Any) -> Place:
    shard, after = content
    is_user = isinstance(after, str) and after != "" and has_room(after)
    if type(shard) is not int or shard < 0 or not (after is None or is_user):
        raise ValueError
    return shard, after
