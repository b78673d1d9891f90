"""What a price would change: what it replaces, where it does not hold, and until when."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from impact.price_book import DayPrices, Price, PriceBook, Rates, Revision
from impact_cli.price_changes import Change, changes_of, described
from impact_cli.price_listing import fits

CHEAP = Rates(Decimal(1), output=Decimal(2))
DEAR = Rates(
    Decimal("3.50"), Decimal("0.5"), Decimal(4), Decimal(15), Decimal(20), Decimal("0.01"), Decimal(1)
)
DAY = "2026-12-01"


def price(pattern: str = "a/b", first_day: str = DAY, rates: Rates | None = CHEAP, **fields: Any) -> Price:
    return replace(Price("", pattern, first_day, rates, source="s"), **fields)


def book(*revisions: list[Price]) -> PriceBook:
    return PriceBook(
        tuple(
            Revision.of(number, [each.as_fields() for each in prices], "", "")
            for number, prices in enumerate(revisions, start=1)
        )
    )


def change(of: PriceBook, added: Price) -> Change:
    [found] = changes_of(of, [added])
    return found


def notes(of: PriceBook, added: Price) -> list[str]:
    return [line.strip() for line in change(of, added).lines()[1:-1]]


def test_a_new_price_is_described() -> None:
    dear = price(rates=DEAR, currency="EUR", only="all", source="contract\x1b[2J")
    assert change(PriceBook(), dear).lines() == [
        "+ a/b from 2026-12-01: input 3.50, cached 0.5, cache write 4, output 15, reasoning 20 EUR"
        " per million tokens, 0.01 EUR per request, 1 EUR per second, for all requests",
        "    source: contract\\x1b[2J",
    ]
    only_time = price(rates=Rates(perSecond=Decimal("4E-4")))
    assert described(only_time) == "0.0004 USD per second, for requests without a cost"


def test_the_price_in_force_before_is_named() -> None:
    of = book([price(first_day="2026-10-01")], [price(first_day="2026-11-01", rates=DEAR)])
    found = change(of, price())
    assert found.replaces == of.price("2.1")
    assert found.lines()[0].startswith("~ a/b from 2026-12-01: input 1, output 2 USD")
    assert notes(of, price()) == [f"replaces 2.1 from 2026-11-01: {described(price(rates=DEAR))}"]


def test_a_price_that_is_in_force_already_is_the_same_whatever_its_source() -> None:
    of = book([price(first_day="2026-10-01", rates=Rates(Decimal("1.0"), output=Decimal("2.00")))])
    assert change(of, price(source="another")).is_same
    for other in (price(rates=DEAR), price(currency="EUR"), price(only="all"), price(rates=None)):
        assert not change(of, other).is_same
    assert not change(of, price(first_day="2026-09-30")).is_same
    assert not change(book([price()], [price(rates=None)]), price()).is_same


def test_longer_names_win_over_a_beginning_and_nothing_over_a_name() -> None:
    of = book(
        [price("a/*"), price("a/b*"), price("a/b"), price("a/bc"), price("c/d")], [price("a/bc", rates=None)]
    )
    assert notes(of, price("a/b*", rates=DEAR))[1:] == [
        "wins over a/* (1.1)",
        "not for what fits a/b (1.3): longer names win",
    ]
    assert notes(of, price("a/b", rates=DEAR))[1:] == ["wins over a/b* (1.2)"]
    assert notes(of, price("*")) == [
        "not for what fits a/* (1.1), a/b (1.3), a/b* (1.2), c/d (1.5): longer names win"
    ]
    many = book([price(f"a/{number}") for number in range(9)])
    assert notes(many, price("a/*"))[0].endswith("a/4 (1.5), 4 more: longer names win")


def test_an_entry_that_follows_is_named() -> None:
    of = book([price(first_day="2027-02-01"), price(first_day="2027-01-01")], [price(first_day="2027-01-01")])
    assert notes(of, price()) == ["only until 2026-12-31: after that day 2.1 from 2027-01-01 holds"]
    ended = book([price(first_day="2027-01-01", rates=None)])
    assert notes(ended, price()) == ["only until 2026-12-31: after that day 1.1 from 2027-01-01 holds"]


def test_an_end_says_what_fits_then() -> None:
    of = book([price("a/*"), price("a/b", rates=DEAR)])
    lines = change(of, price(rates=None)).lines()
    assert lines[:3] == [
        "- a/b ends: its last day is 2026-11-30",
        f"    ends 1.2 from 2026-12-01: {described(price(rates=DEAR))}",
        "    then a/* (1.1)",
    ]
    assert notes(of, price("a/*", rates=None))[-1] == "then no price of the book fits it"
    assert change(of, price("c/*", rates=None)).replaces is None


def test_a_star_in_the_middle_is_named() -> None:
    assert notes(PriceBook(), price("a/*-mini")) == [
        "only a * at the end stands for all that follows: the other one is a character of the name"
    ]


def test_prices_of_one_file_are_compared_with_those_before_them() -> None:
    later = price(first_day="2027-01-01", rates=DEAR)
    same = price(first_day="2027-02-01", rates=DEAR)
    found = changes_of(PriceBook(), [same, later, price()])
    assert [each.price for each in found] == [price(), later, same]
    assert [each.is_same for each in found] == [False, False, True]
    assert found[1].lines()[1] == f"    replaces the one from 2026-12-01: {described(price())}"


PATTERNS = st.sampled_from(["*", "a/*", "a/b*", "a/b", "a/bc*", "a/bc"])
ENTRIES = st.builds(
    price, PATTERNS, st.sampled_from(["2026-11-01", DAY, "2027-01-01"]), st.sampled_from([CHEAP, DEAR, None])
)
MODELS = ("a/b", "a/bc", "a/bcd", "a/c", "x/y")


def prices_of(of: DayPrices) -> dict[str, tuple[str, Rates | None] | None]:
    found = {model: of.of(model) for model in MODELS}
    return {model: (has.pattern, has.rates) if has else None for model, has in found.items()}


@given(st.lists(st.lists(ENTRIES, min_size=1, max_size=3), max_size=4), ENTRIES)
def test_what_is_shown_is_what_happens(revisions: list[list[Price]], added: Price) -> None:
    of, after = book(*revisions), book(*revisions, [added])
    found = change(of, added)
    for day in ("2026-11-01", DAY, "2026-12-31", "2027-01-01", "2027-06-01"):
        before, then = prices_of(of.on(day, 99)), prices_of(after.on(day, 99))
        changed = {model for model in MODELS if before[model] != then[model]}
        holds = added.first_day <= day and (found.following is None or day < found.following.first_day)
        assert not changed or (holds and not found.is_same)
        if day == added.first_day:
            assert all(fits(added.pattern, model) for model in changed)
            assert not any(fits(longer.pattern, model) for longer in found.longer for model in changed)
            if found.price.rates is None and found.replaces:
                shorter = found.shorter and (found.shorter.pattern, found.shorter.rates)
                assert {then[model] for model in changed} <= {shorter}
