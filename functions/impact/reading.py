"""What people ask: a user's days, a day's users, the platform's days."""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from impact.billing import Terms, statement, terms_of
from impact.calendar import Calendar, days_between, timestamp
from impact.decimals import ZERO
from impact.dynamodb import Store
from impact.keys import day_shard, has_room
from impact.rates import Rate
from impact.summary import Tally, tally
from impact.types import Item

PAGE_USERS = 100
"""Users on one page of a day."""

INTERNAL = {"dayShard", "revision"}
"""Attributes of a summary that are of no use outside."""


class BadCursor(ValueError):
    """A cursor that this API did not hand out."""


@dataclass(frozen=True)
class Reader:
    """Reads summaries; a day that a late event reached since it was counted reads as not final."""

    store: Store
    calendar: Calendar
    terms: Terms

    def user(self, user_id: str, first: str, last: str, *, fresh: bool, now: datetime) -> dict[str, Any]:
        """One user's days with use, in order, and their sum. `fresh` counts open days from the ledger."""
        marks = self.store.late_marks(first, last)
        marked = {day for day, shard in marks if shard == self.calendar.shard_of(user_id, day)}
        days = {item["day"]: item for item in self.store.user_summaries(user_id, first, last)}
        if fresh:
            days |= self._counted(user_id, self._open_days(days, marked, first, last, now), now)
        shown = [_shown(days[day], reopened=day in marked) for day in sorted(days)]
        return {"userId": user_id, "from": first, "to": last, "days": shown, "total": _sum(shown)}

    def day(self, day: str, cursor: str | None) -> dict[str, Any]:
        """One page of the users of a day. Raises BadCursor."""
        shard, after = _parse_cursor(cursor) if cursor else (0, None)
        shard_count = self.calendar.shard_count(day)
        marked = {marked_shard for _, marked_shard in self.store.late_marks(day, day)}
        user_ids: list[str] = []
        while shard < shard_count and len(user_ids) < PAGE_USERS:
            wanted = PAGE_USERS - len(user_ids)
            page = self.store.users_of(day_shard(day, shard), after=after, limit=wanted)
            user_ids += page.user_ids
            shard, after = (shard, page.last) if page.last else (shard + 1, None)
        # No older than the marks, which are read before: else an old figure could show as final.
        found = self.store.summaries_of([(user_id, day) for user_id in user_ids], consistent=True)
        items = {item["userId"]: item for item in found}
        return {
            "day": day,
            "items": [
                _shown(items[user_id], reopened=self.calendar.shard_of(user_id, day) in marked)
                for user_id in user_ids
                if user_id in items
            ],
            "next": _cursor(shard, after) if shard < shard_count else None,
        }

    def platform(self, first: str, last: str) -> dict[str, Any]:
        """The platform's days with use, in order, and their sum."""
        marked = {day for day, _ in self.store.late_marks(first, last)}
        by_day: dict[str, list[Item]] = {}
        for total in self.store.totals(first, last):
            by_day.setdefault(total["day"], []).append(total)
        days = [
            self._platform_day(day, totals, reopened=day in marked)
            for day, totals in sorted(by_day.items())
            if any(total["requests"] for total in totals)
        ]
        return {"from": first, "to": last, "days": days, "total": _platform_sum(days)}

    def _open_days(
        self, known: dict[str, Item], marked: set[str], first: str, last: str, now: datetime
    ) -> list[str]:
        progress = self.store.progress()
        final_through = progress.final_through if progress else ""
        return [
            day
            for day in days_between(first, min(last, self.calendar.day_of(now)))
            if (day in marked or (day > final_through and not known.get(day, {}).get("final")))
            and not self.calendar.may_have_expired(day, now)
        ]

    def _counted(self, user_id: str, days: Iterable[str], now: datetime) -> dict[str, Item]:
        counted = {}
        for day in days:
            key = day_shard(day, self.calendar.shard_of(user_id, day))
            pages = self.store.event_pages(key, user_id=user_id, consistent=True)
            sums = tally(event for page in pages for event in page)
            if sums.requests:
                terms = terms_of(self.store.total(key), self.terms)
                stamp = {"asOf": timestamp(now), "final": self.calendar.is_closed(day, now)}
                euros = statement(sums, self.store.rate_of(day), terms)
                counted[day] = {"userId": user_id, "day": day} | euros | stamp
        return counted

    def _platform_day(self, day: str, totals: list[Item], *, reopened: bool) -> dict[str, Any]:
        final = {total["shard"] for total in totals if total["final"]}
        counted = final.issuperset(range(self.calendar.shard_count(day)))
        converted = list(statements(totals))
        exchange = next((s for s in converted if "fxRate" in s), {})
        return {
            "day": day,
            "users": sum(total["users"] for total in totals),
            **_platform_sum(converted),
            **{name: exchange[name] for name in ("fxRate", "fxDate") if name in exchange},
            "asOf": min(total["asOf"] for total in totals),
            "final": counted and not reopened,
        }


def statements(totals: list[Item]) -> Iterator[Item]:
    """Sum a day's shards, then convert: one division where they agree on the rate and the terms."""
    alike: dict[tuple[Rate | None, Terms], Tally] = {}
    for total in totals:
        rate = Rate(total["fxDate"], Decimal(total["fxRate"])) if "fxRate" in total else None
        terms = Terms.from_fields(total.get("terms", {}))
        alike.setdefault((rate, terms), Tally()).merge(Tally.from_fields(total))
    for (rate, terms), sums in alike.items():
        yield statement(sums, rate, terms)


def _shown(summary: Item, *, reopened: bool) -> dict[str, Any]:
    shown = {name: value for name, value in summary.items() if name not in INTERNAL}
    return shown | {"final": summary["final"] and not reopened}


def _sum(rows: Iterable[Item]) -> dict[str, Any]:
    total = Tally(markupEUR=ZERO, restorationFeeEUR=ZERO, billedEUR=ZERO)
    for row in rows:
        total.merge(Tally.from_fields(row))
    return total.as_fields()


def _platform_sum(rows: Iterable[Item]) -> dict[str, Any]:
    return {name: value for name, value in _sum(rows).items() if name != "models"}


def _cursor(shard: int, after: str | None) -> str:
    return base64.urlsafe_b64encode(json.dumps([shard, after]).encode()).decode()


def _parse_cursor(cursor: str) -> tuple[int, str | None]:
    try:
        shard, after = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError):
        raise BadCursor("is not one that this API handed out") from None
    if type(shard) is not int or shard < 0 or not (after is None or _could_be_user(after)):
        raise BadCursor("is not one that this API handed out")
    return shard, after


def _could_be_user(user_id: object) -> bool:
    return isinstance(user_id, str) and user_id != "" and has_room(user_id)
