"""The price book's rules, written a second time: the same price and the same cost as the rollup's."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from impact.decimals import EXACT, stored
from impact.dynamodb import to_wire
from impact.ledger_event import events_of
from impact.price_book import Price, PriceBook, Rates, Revision, Usage, check
from impact_cli.book_cost import Entries, cost_of, parts, price_of, why_kept
from impact_cli.ledger_reader import shown
from tests.events import NOON, entry_builder, event

DAYS = ("2026-11-22", "2026-11-23", "2026-11-24")
BUILDER = entry_builder()


def price(pattern: str, first_day: str = DAYS[0], **fields: Any) -> dict[str, Any]:
    """The fields of an entry. Rates stand by their names; without any, the price ends."""
    others = {name: fields.pop(name) for name in ("currency", "only", "source") if name in fields}
    rates = Rates(**{name: Decimal(rate) for name, rate in fields.items()}) if fields else None
    return Price("", pattern, first_day, rates, **others).as_fields()


def book_of(*revisions: Sequence[dict[str, Any]]) -> PriceBook:
    return PriceBook(
        tuple(
            Revision.of(number, of, "2026-11-23T08:00:00Z", "ops") for number, of in enumerate(revisions, 1)
        )
    )


# --- strategies ---

A_RATE = st.one_of(
    st.sampled_from([Decimal(0), Decimal("2.5"), Decimal("0.01"), Decimal(10**9)]),
    st.decimals(0, 10**9, places=29),
    st.decimals(0, 1, places=38),
).map(stored)


def rates() -> st.SearchStrategy[Rates]:
    some = st.none() | A_RATE
    of_tokens = {"input": A_RATE, "output": A_RATE, "cached": some, "cacheWrite": some, "reasoning": some}
    others = {"perRequest": some, "perSecond": some}
    return st.builds(Rates, **of_tokens, **others) | st.builds(Rates, perRequest=A_RATE, perSecond=some)


@st.composite
def books(draw: st.DrawFn, *names: str) -> PriceBook:
    """Books with prices for these models and providers, and for all whose name begins like one of them."""
    parts_of_names = st.sampled_from(names)
    models = st.tuples(parts_of_names, parts_of_names).map("/".join)
    beginnings = models.flatmap(lambda name: st.integers(0, len(name)).map(lambda end: f"{name[:end]}*"))
    prices = st.builds(
        Price,
        st.just(""),
        models | beginnings,
        st.sampled_from(DAYS),
        st.none() | rates(),
        currency=st.sampled_from(["USD", "EUR"]),
        only=st.sampled_from(["unpriced", "all"]),
    ).map(lambda price: price.as_fields())
    return book_of(*draw(st.lists(st.lists(prices, min_size=1, max_size=4), max_size=4)))


# --- which price ---


NAMES = ("openai", "gpt-6", "gpt-6-mini", "o", "*")


@settings(max_examples=400)
@given(books(*NAMES), st.data())
def test_the_price_is_the_one_that_the_rollup_takes(book: PriceBook, data: st.DataObject) -> None:
    day = data.draw(st.sampled_from(DAYS))
    revision = data.draw(st.integers(0, book.revision))
    model = "/".join(data.draw(st.tuples(*[st.sampled_from(NAMES)] * 2)))
    entries = Entries.of(book, day, [revision]).now
    assert price_of(model, day, entries) == book.on(day, revision).of(model)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("openai/gpt-6", "2.1"),  # its own name, and the latest first day
        ("openai/gpt-6-mini", "1.3"),  # the longest beginning
        ("openai/gpt-4o", "1.1"),
        ("openai/o9", "1.1"),  # its own price has ended
        ("groq/llama", "3.2"),  # appended last
        ("ollama/llama", None),
    ],
)
def test_a_price_by_hand(model: str, found: str | None) -> None:
    book = book_of(
        [
            price("openai/*", input=1, output=1),
            price("openai/gpt-6", input=1, output=1),
            price("openai/gpt-6*", input=1, output=1),
            price("openai/o9", input=1, output=1),
        ],
        [price("openai/gpt-6", DAYS[1], input=2, output=2), price("openai/o9", DAYS[1])],
        [
            price("openai/gpt-6", DAYS[0], input=3, output=3),
            price("groq/llama", input=3, output=3),
            price("ollama/*", DAYS[2], input=3, output=3),
        ],
    )
    last = [price("groq/llama", input=4, output=4)]
    book = book_of(*[list(map(Price.as_fields, r.prices)) for r in book.revisions], last)
    entries = Entries.of(book, DAYS[1], [3]).now
    chosen = price_of(model, DAYS[1], entries)
    assert (chosen.id if chosen else None) == found


def test_the_entries_of_a_corrected_day_are_those_of_its_first_and_of_its_last_revision() -> None:
    book = book_of(*[[price(f"openai/{name}", input=1, output=1)] for name in "abc"])

    def ids(prices: Sequence[Price] | None) -> list[str] | None:
        return None if prices is None else [price.id for price in prices]

    fixed, corrected = (Entries.of(book, DAYS[1], revisions) for revisions in ([1], [1, 2, 3]))
    assert (ids(fixed.now), ids(fixed.at_first)) == (["1.1"], None)
    assert (ids(corrected.now), ids(corrected.at_first)) == (["1.1", "2.1", "3.1"], ["1.1"])


# --- what it costs ---

TOKENS = st.integers(0, 10**12)
MAYBE = st.none() | TOKENS
EVENTS = st.fixed_dictionaries(
    {
        "tokens_in": TOKENS,
        "tokens_out": TOKENS,
        "tokens_cached": MAYBE,
        "tokens_cache_write": MAYBE,
        "tokens_reasoning": MAYBE,
        "latency": st.decimals(0, 10_000, places=6),
        "cacheHit": st.sampled_from([None, True, False]),
        "status": st.sampled_from(["success", "failure"]),
        "costUSD": st.sampled_from([None, Decimal(0), Decimal(1)]),
        "costEUR": st.sampled_from([None, Decimal(1)]),
    }
)


@given(EVENTS, rates(), st.sampled_from(["unpriced", "all"]))
@example({"tokens_in": 5, "tokens_cached": 9, "tokens_cache_write": 9}, Rates(Decimal(1)), "all")
def test_a_request_costs_what_the_rollup_computes(fields: dict[str, Any], of: Rates, only: Any) -> None:
    item = to_wire(BUILDER.build(event(**fields), NOON).item)
    price = Price("1.1", "openai/gpt-4o", DAYS[0], of, only=only)
    [read], written = events_of([item]), shown(item)
    assert (why_kept(written, price) is None) == price.covers(read)
    usage = Usage()
    usage.add(read)
    with localcontext(EXACT):
        assert cost_of(written, price) == price.cost(usage)


def test_multiplications_by_hand() -> None:
    made = event(
        tokens_in=1200,
        tokens_cached=200,
        tokens_cache_write=100,
        tokens_out=300,
        tokens_reasoning=50,
        latency=Decimal("1.5"),
    )
    item = shown(to_wire(BUILDER.build(made, NOON).item))
    of = Rates(
        Decimal("2.5"), Decimal("1.25"), None, Decimal(10), Decimal(0), Decimal("0.01"), Decimal("0.002")
    )
    price = check(Price("1.1", "openai/*", DAYS[0], of))
    with localcontext(EXACT):
        assert [(part.kind, str(part), part.cost) for part in parts([item, item], price)] == [
            ("input", "1,800 x 2.5 USD / 1,000,000", Decimal("0.0045")),
            ("cached", "400 x 1.25 USD / 1,000,000", Decimal("0.0005")),
            ("cacheWrite", "200 x 2.5 USD / 1,000,000", Decimal("0.0005")),
            ("output", "500 x 10 USD / 1,000,000", Decimal("0.005")),
            ("reasoning", "100 x 0 USD / 1,000,000", 0),
            ("perRequest", "2 x 0.01 USD", Decimal("0.02")),
            ("perSecond", "3.0 x 0.002 USD", Decimal("0.006")),
        ]


@pytest.mark.parametrize(
    ("fields", "only", "reason"),
    [
        ({"costUSD": None}, "unpriced", None),
        ({"costUSD": 0}, "unpriced", "a cost was reported"),
        ({"costUSD": None, "costEUR": 1}, "unpriced", "a cost was reported"),
        ({"costUSD": 1}, "all", None),
        ({"status": "failure", "costUSD": 0}, "all", None),
        (
            {"status": "failure", "costUSD": 0, "tokens_in": 0, "tokens_out": 0},
            "all",
            "failed without tokens",
        ),
        ({"status": "failure", "costUSD": None, "tokens_in": 0, "tokens_out": 0}, "all", None),
    ],
)
def test_who_keeps_the_cost_that_was_reported(fields: dict[str, Any], only: Any, reason: str | None) -> None:
    item = shown(to_wire(BUILDER.build(event(**fields), NOON).item))
    assert why_kept(item, Price("1.1", "openai/*", DAYS[0], Rates(Decimal(1)), only=only)) == reason
