"""A month with a wrong price: unpriced at first, priced by a late entry, corrected by a reprice.

The figures are those of docs/prices.md, worked out there by hand.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from impact.billing import Terms
from impact.breakdown_reader import BreakdownReader
from impact.corrections import append_correction, finish_corrections
from impact.fx_rates import FxRate
from impact.price_book import Price, Rates
from impact.recompute import recompute
from impact.store import Store
from impact.usage_reader import UsageReader
from impact_cli.repricing import DUE, EXPIRED, OPEN, SAME, WAITING, count_changes, days_of, totals_of
from tests.events import NOON
from tests.integration.steps import BUILDER, TODAY, now_event, put, roll_up, summary
from tests.intercepted import through

pytestmark = pytest.mark.usefixtures("ledger_since_noon")

CALENDAR = BUILDER.calendar
CLOSED = CALENDAR.closes_at(TODAY) + timedelta(minutes=1)
HOUR = timedelta(hours=1)
OPERATOR = "arn:aws:iam::123456789012:user/ops"
GPT_6 = {"model": "gpt-6", "costUSD": None}
USED = [
    now_event(eventId="A", teamId="research", tokens_in=1_200_000, tokens_cached=200_000, tokens_out=100_000)
    | GPT_6,
    now_event(eventId="B", teamId="research", tokens_in=800_000, tokens_out=50_000) | GPT_6,
    now_event(eventId="C", teamId="sales", userId="bob", tokens_in=400_000, tokens_out=20_000) | GPT_6,
    now_event(eventId="D", teamId="sales", userId="bob", costUSD=Decimal("0.50")),
]
LATE = now_event(eventId="E", teamId="sales", userId="bob", tokens_in=200_000, tokens_out=10_000) | GPT_6
WRONG = Rates(input=Decimal("2.50"), cached=Decimal("0.25"), output=Decimal(10))
RIGHT = Rates(input=Decimal("1.25"), cached=Decimal("0.125"), output=Decimal(10))


def add_price(store: Store, rates: Rates | None, **what: Any) -> None:
    price = Price("", "openai/gpt-6", "2026-11-01", rates, source="contract 17", **what)
    assert store.prices.append(store.prices.book().revision + 1, [price], by=OPERATOR, now=NOON)


def platform(store: Store) -> dict[str, Any]:
    [total] = UsageReader(store, CALENDAR, Terms()).platform(TODAY, TODAY)["days"]
    return dict(total)


def figures(store: Store) -> list[Any]:
    """Of alice, of bob, and of everybody: dollars, euros, unpriced requests."""
    of = (summary(store), summary(store, "bob"), platform(store))
    return [value for row in of for value in (row["costUSD"], row["costEUR"], row["unpriced"])]


def by_team(store: Store) -> dict[str, Decimal]:
    items = BreakdownReader(store, CALENDAR).values("team", TODAY, TODAY)["items"]
    return {item["value"]: item["costEUR"] for item in items}


def decimals(*numbers: str | int) -> list[Any]:
    return [Decimal(number) if isinstance(number, str) else number for number in numbers]


def correct(store: Store, now: datetime, days: Sequence[str] = (TODAY,), reason: str = "typed 2.50") -> None:
    totals = totals_of(store, CALENDAR, list(days))
    revision = store.prices.book().revision
    append_correction(store, revision, totals, reason=reason, by=OPERATOR, now=now)
    finish_corrections(store, CALENDAR, now)


@pytest.fixture
def used(store: Store) -> Store:
    store.state.put_fx_rate(FxRate("2026-11-20", Decimal("1.25")), source="a test", now=NOON)
    put(store, *USED)
    roll_up(store)
    return store


def test_a_month_with_a_wrong_price(used: Store) -> None:
    assert figures(used) == decimals("0", "0", 2, "0.5", "0.4", 1, "0.5", "0.4", 3)  # unpriced at first

    add_price(used, WRONG)
    roll_up(used, NOON + HOUR)
    wrong = decimals("6.05", "4.84", 0, "1.7", "1.36", 0, "7.75", "6.2", 0)
    assert figures(used) == wrong
    assert summary(used)["prices"] == ["1.1"]
    assert summary(used, "bob")["costReportedUSD"] == Decimal("0.5")
    assert [summary(used, user)["repriced"] for user in ("alice", "bob")] == [2, 1]

    roll_up(used, CLOSED)
    add_price(used, RIGHT)
    roll_up(used, CLOSED + HOUR)
    assert (figures(used), platform(used)["final"]) == (wrong, True)  # a final day keeps its prices

    put(used, LATE, now=CLOSED + HOUR)
    roll_up(used, CLOSED + HOUR)
    late = decimals("6.05", "4.84", 0, "2.3", "1.84", 0, "8.35", "6.68", 0)
    assert figures(used) == late  # and a late request gets the same ones
    assert by_team(used) == {"research": Decimal("4.84"), "sales": Decimal("1.84")}

    book = used.prices.book()
    days = days_of(used, CALENDAR, book, TODAY, TODAY, CLOSED + HOUR)
    changes = count_changes(used, CALENDAR, book, days)
    shown = {of: (change.before, change.after) for of, change in changes.users.items()}
    assert shown == {"alice": (Decimal("4.84"), Decimal("3.02")), "bob": (Decimal("1.44"), Decimal("0.84"))}
    assert changes.months["2026-11"].difference == Decimal("-2.42")
    assert changes.teams["sales"].difference == Decimal("-0.6")

    correct(used, CLOSED + HOUR)
    assert platform(used)["final"] is False  # until it is recomputed
    roll_up(used, CLOSED + 2 * HOUR)
    assert figures(used) == decimals("3.775", "3.02", 0, "1.55", "1.24", 0, "5.325", "4.26", 0)
    assert by_team(used) == {"research": Decimal("3.02"), "sales": Decimal("1.24")}
    assert platform(used)["final"] is True
    before = summary(used)["before"]
    assert (before["costUSD"], before["costEUR"], before["prices"]) == (
        Decimal("6.05"),
        Decimal("4.84"),
        ["1.1"],
    )
    [correction] = used.prices.corrections()
    assert correction.before[TODAY]["costEUR"] == Decimal("6.68")
    assert (correction.reason, correction.recorded_by) == ("typed 2.50", OPERATOR)


def test_the_page_has_these_figures() -> None:
    page = Path("docs/prices.md").read_text(encoding="utf-8")
    section = page.partition("## A month with a wrong price")[2]
    for figure in (
        "6.05",
        "4.84",
        "1.70",
        "1.36",
        "7.75",
        "6.20",
        "8.35",
        "6.68",
        "3.775",
        "3.02",
        "5.325",
        "4.26",
    ):
        assert f" {figure} " in section, figure


def test_all_prices_what_came_with_a_cost_too_and_an_end_gives_it_back(used: Store) -> None:
    price = Price("", "openai/*", "2026-11-23", Rates(perRequest=Decimal(1)), "EUR", "all", "flat")
    used.prices.append(1, [price], by=OPERATOR, now=NOON)
    roll_up(used, NOON + HOUR)
    bob = summary(used, "bob")
    assert (bob["costEUR"], bob["costUSD"], bob["costReportedUSD"]) == (2, 0, Decimal("0.5"))
    end = Price("", "openai/*", "2026-11-23", None, source="given up")
    used.prices.append(2, [end], by=OPERATOR, now=NOON)
    roll_up(used, NOON + 2 * HOUR)
    assert figures(used) == decimals("0", "0", 2, "0.5", "0.4", 1, "0.5", "0.4", 3)


@pytest.mark.parametrize("stops_after", range(12))
def test_a_correction_that_is_stopped_anywhere_is_finished_by_the_planner(
    used: Store, stops_after: int
) -> None:
    roll_up(used, CLOSED)
    add_price(used, RIGHT)
    left = stops_after

    class Stopped(BaseException):
        pass

    def count_down(name: str, carry_out: Any, options: dict[str, Any]) -> Any:
        nonlocal left
        if name in ("put_item", "update_item"):
            if not left:
                raise Stopped
            left -= 1
        return carry_out(**options)

    stopped = False
    try:
        correct(through(used, count_down), CLOSED + HOUR)
    except Stopped:
        stopped = True
    begun = bool(used.prices.corrections())
    finish_corrections(used, CALENDAR, CLOSED + 2 * HOUR)
    roll_up(used, CLOSED + 2 * HOUR)
    assert summary(used)["costUSD"] == (Decimal("3.775") if begun else 0)
    assert platform(used)["final"] is True
    assert used.prices.unfinished() == []
    assert stopped or begun


def test_two_corrections_at_once_both_stay_and_the_later_prices_win(used: Store) -> None:
    add_price(used, WRONG)
    roll_up(used, CLOSED)
    add_price(used, RIGHT)
    totals = totals_of(used, CALENDAR, [TODAY])
    for revision, reason in ((2, "first"), (1, "second")):
        append_correction(used, revision, totals, reason=reason, by=OPERATOR, now=CLOSED)
    finish_corrections(used, CALENDAR, CLOSED)
    roll_up(used, CLOSED + HOUR)
    assert [correction.reason for correction in used.prices.corrections()] == ["first", "second"]
    assert used.prices.revisions_of(TODAY) == [1, 2]
    assert summary(used)["costUSD"] == Decimal("3.775")


def test_days_are_sorted_by_what_a_correction_would_do(used: Store) -> None:
    add_price(used, RIGHT)
    book = used.prices.book()

    def state(now: datetime) -> list[str]:
        return list(days_of(used, CALENDAR, book, TODAY, TODAY, now).by_state)

    assert state(NOON) == [OPEN]
    assert state(CLOSED) == [WAITING]
    roll_up(used, CLOSED)
    assert state(CLOSED) == [SAME]
    add_price(used, WRONG)
    book = used.prices.book()
    assert state(CLOSED) == [DUE]
    assert state(CALENDAR.countable_until(TODAY) - HOUR) == [EXPIRED]


def test_a_day_that_was_final_before_there_were_prices_keeps_its_figures(used: Store) -> None:
    roll_up(used, CLOSED)
    key = {"kind": {"S": "day-prices"}, "key": {"S": TODAY}}
    used.client.delete_item(TableName=used.state.name, Key=key)  # as an earlier release leaves it
    add_price(used, RIGHT)
    put(used, USED[0], now=CLOSED)  # sent again: it leaves a mark
    reader = UsageReader(used, CALENDAR, Terms())
    [fresh] = reader.user("alice", TODAY, TODAY, fresh=True, now=CLOSED + HOUR)["days"]
    assert (fresh["costUSD"], fresh["unpriced"]) == (0, 2)
    shard = CALENDAR.shard_of("alice", TODAY)
    recompute(used, CALENDAR, Terms(), TODAY, shard, as_of=CLOSED + HOUR)
    assert (summary(used)["costUSD"], summary(used)["unpriced"]) == (0, 2)
