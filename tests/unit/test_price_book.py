"""The price book: which price a model has on a day, what it charges, and which prices there can be."""

from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.decimals import EXACT
from impact.dynamodb import item_from_wire, to_wire
from impact.ledger_event import LedgerEvent, events_of
from impact.price_book import (
    ANY,
    PRICES_MAX,
    TOKENS,
    DayBook,
    DayPrices,
    InvalidPrice,
    Price,
    PriceBook,
    Rates,
    Revision,
    Usage,
    as_listed,
    check,
    check_revision,
    faults,
    used,
)
from tests.events import NOON, entry_builder, event

DAY = "2026-11-23"
BUILDER = entry_builder()
CHEAP = Rates(input=Decimal(1), output=Decimal(2))


def price(pattern: str = "openai/gpt-6", first_day: str = "2026-11-01", **fields: Any) -> Price:
    return replace(Price("", pattern, first_day, CHEAP), **fields)


def ends(pattern: str = "openai/gpt-6", first_day: str = "2026-11-01") -> Price:
    return price(pattern, first_day, rates=None)


def book(*revisions: list[Price]) -> PriceBook:
    """A book of these revisions. Each is read back from what is stored of it."""
    return PriceBook(
        tuple(
            Revision.of(
                number, [item_from_wire(to_wire(each.as_fields())) for each in prices], "2026-11-23", "me"
            )
            for number, prices in enumerate(revisions, start=1)
        )
    )


def id_of(prices: PriceBook, model: str = "openai/gpt-6", day: str = DAY, revision: int = 99) -> str | None:
    found = prices.on(day, revision).of(model)
    return found.id if found else None


def an_event(**fields: Any) -> LedgerEvent:
    [read] = events_of([to_wire(BUILDER.build(event(**fields), NOON).item)])
    return read


# --- Which price a model has ---


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/gpt-6-mini", "1.4"),
        ("openai/gpt-6-min", "1.3"),
        ("openai/gpt-6-mini-2", "1.3"),
        ("openai/gpt-6", "1.3"),
        ("openai/gpt-", "1.2"),
        ("openai/GPT-6-mini", "1.2"),
        ("azure/gpt-6-mini", "1.1"),
        ("openai", "1.1"),
    ],
)
def test_the_longest_that_fits_wins_and_a_name_wins_over_each_beginning(model: str, expected: str) -> None:
    patterns = ["*", "openai/*", "openai/gpt-6*", "openai/gpt-6-mini"]
    assert id_of(book([price(pattern) for pattern in patterns]), model) == expected
    backwards = book([price(pattern) for pattern in reversed(patterns)])
    assert id_of(backwards, model) == f"1.{5 - int(expected[-1])}"


def test_without_a_price_that_fits_there_is_none() -> None:
    assert id_of(book([price("openai/gpt-6"), price("openai/gpt-6-*")]), "openai/gpt-6x") is None
    assert id_of(PriceBook()) is None
    assert not PriceBook().on(DAY, 0)


@given(st.lists(st.text("ab/", min_size=1, max_size=5), min_size=1, max_size=8), st.text("ab/", max_size=6))
def test_no_longer_pattern_would_fit(names: list[str], model: str) -> None:
    patterns = sorted({name + ANY for name in names[::2]} | set(names[1::2]))
    found = book([price(pattern) for pattern in patterns]).on(DAY, 1).of(model)
    fitting = [p for p in patterns if p == model or (p.endswith(ANY) and model.startswith(p[:-1]))]
    expected = model if model in fitting else max(fitting, key=len, default=None)
    assert (found.pattern if found else None) == expected


@pytest.mark.parametrize("name", ["a/b[c]?.+(", "a/$(id)`id`", "a/\x1b[2J\n", "a/b*c", "a/%s{0}", "a/日本"])
def test_a_pattern_is_text_and_nothing_else(name: str) -> None:
    prices = book([price(name), price(name + "*")])
    assert id_of(prices, name) == "1.1"
    assert id_of(prices, name + "x") == "1.2"
    for other in ("a/b", "a/bXc", "a/b[c]?.+", name[:-1]):
        assert id_of(prices, other) is None


def test_the_latest_first_day_wins_and_of_one_day_what_was_appended_last() -> None:
    of_november = price()
    prices = book([of_november], [price(first_day="2026-11-20")], [of_november], [of_november])
    assert id_of(prices, day="2026-10-31") is None
    assert id_of(prices, day="2026-11-01") == "4.1"
    assert id_of(prices, day="2026-11-19") == "4.1"
    assert id_of(prices, day="2026-11-20") == "2.1"
    assert id_of(book([of_november, of_november])) == "1.2"


def test_a_revision_that_comes_later_changes_nothing_of_an_earlier_one() -> None:
    prices = book([price()], [price()], [ends()])
    assert [id_of(prices, revision=revision) for revision in range(5)] == [None, "1.1", "2.1", None, None]
    assert prices.revision == 3
    assert PriceBook().revision == 0


def test_where_a_price_ends_a_shorter_beginning_may_fit() -> None:
    prices = book(
        [price("openai/*"), price("openai/gpt-6*"), price()],
        [ends(first_day="2026-11-10"), ends("openai/gpt-6*", "2026-11-20")],
        [price(first_day="2026-11-22")],
    )
    days = ["2026-11-09", "2026-11-10", "2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22"]
    assert [id_of(prices, day=day) for day in days] == ["1.3", "1.2", "1.2", "1.1", "1.1", "3.1"]


DAYS = st.sampled_from(["2026-11-01", "2026-11-02", "2026-11-03"])
ENTRIES = st.tuples(st.sampled_from(["a/b", "a/b*", "a/*"]), DAYS, st.booleans())


@given(st.lists(st.lists(ENTRIES, min_size=1, max_size=4), max_size=4), DAYS, st.integers(0, 4))
def test_the_price_of_a_day_is_that_of_the_rules_one_by_one(
    revisions: list[list[tuple[str, str, bool]]], day: str, revision: int
) -> None:
    prices = book(*([ends(p, d) if e else price(p, d) for p, d, e in entries] for entries in revisions))
    entries = [p for each in prices.revisions if each.number <= revision for p in each.prices]
    expected = None
    for pattern in ("a/b", "a/b*", "a/*"):
        of_name = [entry for entry in entries if entry.pattern == pattern and entry.first_day <= day]
        last = max(enumerate(of_name), key=lambda at: (at[1].first_day, at[0]), default=(0, None))[1]
        if last is not None and last.rates is not None:
            expected = last.id
            break
    assert id_of(prices, "a/b", day, revision) == expected


def test_a_corrected_day_has_the_prices_of_both_revisions() -> None:
    prices = book([price()], [price("openai/*")], [ends()])
    assert DayBook.of(prices, DAY, [1]) == DayBook(1, prices.on(DAY, 1))
    corrected = DayBook.of(prices, DAY, [1, 2, 3])
    assert (corrected.revision, corrected.first_revision) == (3, 1)
    assert (corrected.prices, corrected.first_prices) == (prices.on(DAY, 3), prices.on(DAY, 1))


# --- What is charged ---

EVERY_RATE = Rates(*map(Decimal, ("3", "0.3", "3.75", "15", "20", "0.01", "0.002")))
AMOUNTS = st.decimals(0, 10**6, places=9)
RATES = st.builds(
    Rates, AMOUNTS, st.none() | AMOUNTS, st.none() | AMOUNTS, AMOUNTS, *[st.none() | AMOUNTS] * 3
)
COUNTS = st.integers(0, 10**12)
PARTS = st.none() | COUNTS


def usage_of(*events: LedgerEvent) -> Usage:
    usage = Usage()
    with localcontext(EXACT):
        for each in events:
            usage.add(each)
    return usage


def cost(rates: Rates, *events: LedgerEvent) -> Decimal:
    with localcontext(EXACT):
        return price(rates=rates).cost(usage_of(*events))


def test_each_part_has_its_own_rate() -> None:
    used = an_event(
        tokens_in=1000,
        tokens_cached=600,
        tokens_cache_write=300,
        tokens_out=500,
        tokens_reasoning=200,
        latency=Decimal("1.5"),
    )
    assert usage_of(used) == Usage(100, 600, 300, 300, 200, 1, Decimal("1.5"))
    by_hand = (100 * 3 + 600 * Decimal("0.3") + 300 * Decimal("3.75") + 300 * 15 + 200 * 20) / 10**6
    assert cost(EVERY_RATE, used) == by_hand + Decimal("0.01") + Decimal("0.002") * Decimal("1.5")


def test_a_part_without_a_rate_is_charged_as_the_whole() -> None:
    used = an_event(tokens_in=10, tokens_cached=4, tokens_cache_write=3, tokens_out=6, tokens_reasoning=5)
    assert cost(CHEAP, used) * 10**6 == 10 * 1 + 6 * 2
    assert cost(replace(CHEAP, cached=Decimal(0)), used) * 10**6 == 6 * 1 + 6 * 2
    assert cost(replace(CHEAP, cacheWrite=Decimal(9)), used) * 10**6 == 7 * 1 + 3 * 9 + 6 * 2
    assert cost(replace(CHEAP, reasoning=Decimal(7)), used) * 10**6 == 10 * 1 + 1 * 2 + 5 * 7
    assert cost(Rates(perRequest=Decimal("0.5")), used, used) == 1


@given(COUNTS, PARTS, PARTS, COUNTS, PARTS)
def test_each_token_is_charged_once_whatever_a_sender_says_of_parts(
    tokens_in: int, cached: int | None, written: int | None, tokens_out: int, reasoning: int | None
) -> None:
    usage = usage_of(
        an_event(
            tokens_in=tokens_in,
            tokens_cached=cached,
            tokens_cache_write=written,
            tokens_out=tokens_out,
            tokens_reasoning=reasoning,
        )
    )
    assert usage.input + usage.cached + usage.cacheWrite == tokens_in
    assert usage.output + usage.reasoning == tokens_out
    assert min(getattr(usage, kind) for kind in TOKENS) >= 0
    assert (usage.cached, usage.reasoning) == (min(cached or 0, tokens_in), min(reasoning or 0, tokens_out))


@given(
    RATES,
    st.lists(st.tuples(COUNTS, PARTS, PARTS, COUNTS, PARTS, st.decimals(0, 10**6, places=6)), max_size=5),
)
def test_a_cost_is_the_sum_by_hand(rates: Rates, events: list[tuple[Any, ...]]) -> None:
    names = ("tokens_in", "tokens_cached", "tokens_cache_write", "tokens_out", "tokens_reasoning", "latency")
    total = Fraction(0)
    assert rates.input is not None
    assert rates.output is not None
    for tokens_in, cached, written, tokens_out, reasoning, latency in events:
        left = tokens_in
        for count, rate in ((cached, rates.cached), (written, rates.cacheWrite)):
            part = min(count or 0, left)
            total += Fraction(part, 10**6) * Fraction(rates.input if rate is None else rate)
            left -= part
        part = min(reasoning or 0, tokens_out)
        total += Fraction(left, 10**6) * Fraction(rates.input)
        total += Fraction(part, 10**6) * Fraction(
            rates.output if rates.reasoning is None else rates.reasoning
        )
        total += Fraction(tokens_out - part, 10**6) * Fraction(rates.output)
        total += Fraction(rates.perRequest or 0) + Fraction(rates.perSecond or 0) * Fraction(latency)
    given_events = [an_event(**dict(zip(names, values, strict=True))) for values in events]
    assert Fraction(cost(rates, *given_events)) == total


def test_what_the_proxys_cache_answered_costs_nothing() -> None:
    assert cost(EVERY_RATE, an_event(cacheHit=True)) == 0
    assert cost(EVERY_RATE, an_event(cacheHit=False)) == cost(EVERY_RATE, an_event()) > 0


@pytest.mark.parametrize(
    ("fields", "unpriced", "all_"),
    [
        ({"costUSD": None}, True, True),
        ({"costUSD": None, "status": "failure", "tokens_in": 0, "tokens_out": 0}, True, True),
        ({}, False, True),
        ({"costUSD": None, "costEUR": Decimal(1)}, False, True),
        ({"costUSD": Decimal(0)}, False, True),
        ({"costUSD": Decimal(0), "tokens_in": 0, "tokens_out": 0}, False, True),
        ({"costUSD": Decimal(0), "status": "failure", "tokens_in": 0, "tokens_out": 0}, False, False),
        ({"costUSD": Decimal(0), "status": "failure", "tokens_in": 1, "tokens_out": 0}, False, True),
        ({"costUSD": Decimal(0), "status": "failure", "tokens_in": 0, "tokens_out": 1}, False, True),
    ],
)
def test_which_requests_a_price_is_for(fields: dict[str, Any], unpriced: bool, all_: bool) -> None:
    request = an_event(**fields)
    assert (price().covers(request), price(only="all").covers(request)) == (unpriced, all_)


# --- Which prices there can be ---


@given(RATES, st.sampled_from(["USD", "EUR"]), st.sampled_from(["unpriced", "all"]), st.text(max_size=20))
def test_what_was_stored_is_what_was_appended(rates: Rates, currency: Any, only: Any, source: str) -> None:
    given_price = price(rates=rates, currency=currency, only=only, source=source)
    ended = replace(ends(), source=source)
    [revision] = book([given_price, ended]).revisions
    assert revision.prices == (replace(given_price, id="1.1"), replace(ended, id="1.2"))
    listed = as_listed(revision, revision.prices[0])
    assert (listed["id"], listed["source"], listed["recordedBy"]) == ("1.1", source, "me")
    assert Rates.from_fields(listed["rates"]) == rates


def test_an_entry_is_found_by_its_id_and_ids_are_in_order_of_numbers() -> None:
    prices = book([price("a/b"), price("c/d")], [price("e/f")])
    assert [found and found.pattern for found in map(prices.price, ("1.2", "2.1", "2.2"))] == [
        "c/d",
        "e/f",
        None,
    ]
    assert used(["10.1", "9.2", "9.10", "9.2", "9.1"]) == ("9.1", "9.2", "9.10", "10.1")


@pytest.mark.parametrize(
    "fits",
    [
        price("*"),
        price("openai/*"),
        price("a/" + "x" * 319),
        price(rates=Rates(Decimal(0), output=Decimal(0))),
        price(rates=Rates(perRequest=Decimal("1E-38"))),
        price(rates=Rates(perSecond=Decimal(10**9))),
        ends(),
    ],
)
def test_a_price_that_can_be(fits: Price) -> None:
    assert check(fits) is fits


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        (price(""), ["model"]),
        (price("gpt-6"), ["model"]),
        (price("gpt*"), ["model"]),
        (price("a/" + "x" * 320), ["model"]),
        (price("a/\udcff"), ["model"]),
        (replace(ends(), pattern="gpt-6"), ["model"]),
        (price(source="x" * 201), ["source"]),
        (price(rates=Rates()), ["price"]),
        (price(rates=Rates(Decimal(1))), ["output"]),
        (price(rates=Rates(cached=Decimal(1))), ["input", "output"]),
        (price(rates=Rates(Decimal(-1), output=Decimal("NaN"))), ["input", "output"]),
        (price(rates=Rates(Decimal("Infinity"), output=Decimal(10**9 + 1))), ["input", "output"]),
        (price(rates=Rates(perRequest=Decimal("1E-39"))), ["perRequest"]),
        (price(rates=Rates(perSecond=Decimal("1." + "1" * 38))), ["perSecond"]),
        (price("x", rates=Rates(perSecond=Decimal(-1))), ["model", "perSecond"]),
    ],
)
def test_all_that_is_wrong_with_a_price_is_named(wrong: Price, fields: list[str]) -> None:
    assert [fault.field for fault in faults(wrong)] == fields
    with pytest.raises(InvalidPrice) as raised:
        check(wrong)
    assert raised.value.field == fields[0]
    assert str(raised.value).startswith(fields[0])


def test_a_revision_fits_an_item() -> None:
    check_revision([price()] * PRICES_MAX)
    with pytest.raises(InvalidPrice, match=r"has 501 prices: at most 500"):
        check_revision([price()] * (PRICES_MAX + 1))
    with pytest.raises(InvalidPrice, match="too large"):
        check_revision([price("a/" + "日" * 300)] * PRICES_MAX)


def test_of_prices_takes_the_prices_of_one_day() -> None:
    assert DayPrices.of_prices([price("a/*"), price("a/b")]).exact.keys() == {"a/b"}
