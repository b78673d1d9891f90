"""What a stack has of a user's day: events, summary, rate, terms, prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from impact.calendar import Calendar
from impact.fx_rates import FxRate
from impact.keys import day_shard
from impact.store import Store
from impact.types import Item
from impact_cli.book_cost import Entries
from impact_cli.ledger_reader import events_of_user


@dataclass(frozen=True)
class UserDay:
    """As it was read; the mark first, the events last."""

    is_marked: bool
    """A late event waits to be counted."""
    summary: Item | None
    rate: FxRate | None
    rate_entry: Item | None
    """How that rate was stored."""
    terms: Mapping[str, Any]
    entries: Entries
    """The price book's entries that the day is counted with."""
    events: list[Item]
    may_have_expired: bool
    """TTL may have deleted some of the events. The summary stays."""


def read_user_day(store: Store, calendar: Calendar, user_id: str, day: str, now: datetime) -> UserDay:
    """Read a user's day. Raises BotoCoreError, ClientError."""
    shard = calendar.shard_of(user_id, day)
    mark = store.state.late_mark(day, shard)
    summary = next(store.summaries.of_user(user_id, day, day), None)
    rate = store.state.fx_rate_of(day)
    fx_entries = store.state.fx_rate_entries(rate.date) if rate else []
    total = store.state.shard_total(day_shard(day, shard)) or {}
    terms = (summary or total).get("terms", {})
    entries = _entries(store, day, is_final=bool(total and total["final"]))
    events = list(events_of_user(store, calendar, user_id, day))
    return UserDay(
        is_marked=mark.since is not None,
        summary=summary,
        rate=rate,
        rate_entry=fx_entries[-1] if fx_entries else None,
        terms=terms,
        entries=entries,
        events=events,
        may_have_expired=calendar.may_have_expired(day, now),
    )


def _entries(store: Store, day: str, *, is_final: bool) -> Entries:
    book = store.prices.book()
    # A day that was final before there were prices has no revision, and none of the prices.
    return Entries.of(book, day, store.prices.revisions_of(day) or [0 if is_final else book.revision])
