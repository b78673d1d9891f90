"""What a correction would change is what it changes: by user, team and month, to the last digit."""

from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest

from impact.corrections import append_correction, finish_corrections
from impact.decimals import EXACT
from impact.fx_rates import FxRate
from impact.ledger_store import LedgerStore
from impact.price_book import Only, Price, Rates
from impact.store import Store
from impact_cli.repricing import (
    DUE,
    SAME,
    UNCHANGED,
    Change,
    Changes,
    Days,
    count_changes,
    days_of,
    totals_of,
)
from tests.events import NOON
from tests.integration.steps import BUILDER, TODAY, now_event, put, roll_up

CALENDAR = BUILDER.calendar
CLOSED = CALENDAR.closes_at(TODAY) + timedelta(minutes=1)
USERS = ("alice", "bob", "carol", "a#b")


def add(store: Store, pattern: str, rate: str, only: Only = "unpriced") -> None:
    rates = Rates(input=Decimal(rate), output=Decimal(0), perRequest=Decimal("0.0000001"))
    price = Price("", pattern, "2026-11-01", rates, only=only, source="a test")
    assert store.prices.append(store.prices.book().revision + 1, [price], by="a test", now=NOON)


@pytest.fixture
def used(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A final day of several users, teams and models; some requests came with a cost."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON)
    store.state.put_fx_rate(FxRate("2026-11-20", Decimal("1.1173")), source="a test", now=NOON)
    for number in range(24):
        fields: dict[str, Any] = {"userId": USERS[number % 4], "model": ("gpt-6", "gpt-7", "m")[number % 3]}
        fields["teamId"] = (None, "research", "sales")[number % 5 % 3]
        fields["costUSD"] = None if number % 2 else Decimal(number) / 7
        put(store, now_event(eventId=f"{number}", tokens_in=1000 * number + 1, **fields))
    add(store, "openai/gpt-6", "1.3")
    roll_up(store, CLOSED)
    return store


def costs(store: Store) -> dict[str, Decimal]:
    found = {user: store.summaries.of_user(user, TODAY, TODAY) for user in USERS}
    return {user: row["costEUR"] for user, [row] in found.items()}


@pytest.mark.parametrize(
    "prices",
    [
        [("openai/gpt-6", "2.7", "unpriced")],
        [("openai/*", "0.9", "unpriced")],
        [("openai/*", "0.9", "all"), ("openai/gpt-7", "0", "unpriced")],
    ],
)
def test_the_preview_is_what_the_correction_then_changes(
    used: Store, prices: list[tuple[str, str, Only]]
) -> None:
    for price in prices:
        add(used, *price)
    book = used.prices.book()
    days = days_of(used, CALENDAR, book, TODAY, TODAY, CLOSED)
    changes = count_changes(used, CALENDAR, book, days)
    before, [total] = costs(used), totals_of(used, CALENDAR, [TODAY])
    append_correction(used, book.revision, [total], reason="a test", by="a test", now=CLOSED)
    finish_corrections(used, CALENDAR, CLOSED)
    roll_up(used, CLOSED)
    after, [corrected] = costs(used), totals_of(used, CALENDAR, [TODAY])
    tiny = Decimal("1e-34")  # each converts a sum of its own, and rounds it to 38 digits
    with localcontext(EXACT):
        for user in USERS:
            change = changes.users.get(user, Change())
            assert abs(change.difference - (after[user] - before[user])) < tiny
        difference = corrected["costEUR"] - total["costEUR"]
        assert difference
        for of in (changes.users, changes.teams, changes.months):
            assert abs(sum(change.difference for change in of.values()) - difference) < tiny
    assert changes.days == {TODAY}
    again = days_of(used, CALENDAR, book, TODAY, TODAY, CLOSED)
    assert (again.by_state, again.revisions) == ({SAME: [TODAY]}, {TODAY: book.revision})


def test_a_price_that_fits_no_request_changes_nothing(used: Store) -> None:
    add(used, "anthropic/*", "5")
    book = used.prices.book()
    days = days_of(used, CALENDAR, book, TODAY, TODAY, CLOSED)
    changes = count_changes(used, CALENDAR, book, days)
    assert days.due == [TODAY]
    assert (changes.users, changes.teams, changes.months, changes.days) == ({}, {}, {}, set())
    assert days.leaving_out_unchanged(changes.days).by_state == {UNCHANGED: [TODAY]}


def test_a_price_of_0_makes_what_was_unpriced_free_which_is_a_change(used: Store) -> None:
    add(used, "openai/m", "0")
    book = used.prices.book()
    changes = count_changes(used, CALENDAR, book, days_of(used, CALENDAR, book, TODAY, TODAY, CLOSED))
    assert changes.days == {TODAY}


def test_days_without_requests_and_a_range_that_is_empty(used: Store) -> None:
    book = used.prices.book()
    assert days_of(used, CALENDAR, book, "2026-10-01", "2026-11-22", CLOSED).by_state == {}
    assert days_of(used, CALENDAR, book, "2026-11-24", "2026-11-20", CLOSED).by_state == {}
    assert totals_of(used, CALENDAR, []) == []


def test_only_changed_days_stay_due() -> None:
    days = Days({DUE: ["a", "b", "c"], SAME: ["d"]}, {})
    assert days.leaving_out_unchanged({"b"}).by_state == {DUE: ["b"], SAME: ["d"], UNCHANGED: ["a", "c"]}
    assert days.leaving_out_unchanged({"a", "b", "c"}).by_state == {DUE: ["a", "b", "c"], SAME: ["d"]}
    assert days.leaving_out_unchanged(set()).due == []


def test_changes_are_added_up() -> None:
    changes, other = Changes(), Changes(unconverted={"2026-11-02"})
    changes.add("2026-11-01", "alice", None, Change(Decimal(2), Decimal(1)))
    other.add("2026-11-02", "alice", "sales", Change(Decimal(1), Decimal(3)))
    other.add("2026-12-01", "bob", "sales", Change(Decimal(0), Decimal(5)))
    changes.merge(other)
    assert changes.users == {"alice": Change(Decimal(3), Decimal(4)), "bob": Change(Decimal(0), Decimal(5))}
    assert {team: change.difference for team, change in changes.teams.items()} == {None: -1, "sales": 7}
    assert {month: change.difference for month, change in changes.months.items()} == {
        "2026-11": 1,
        "2026-12": 5,
    }
    assert (changes.days, changes.unconverted) == (
        {"2026-11-01", "2026-11-02", "2026-12-01"},
        {"2026-11-02"},
    )
