"""How a user's figure comes about: the same as the rollup's, to the last digit, by arithmetic of its own."""

from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact import summary
from impact.billing import Terms, before_correction, statement
from impact.decimals import quotient
from impact.dynamodb import item_from_wire, to_wire
from impact.fx_rates import FxRate
from impact.ledger_event import events_of
from impact.price_book import NO_BOOK, Currency, DayBook, Only, Price, PriceBook, Rates, Revision
from impact.summary import MODELS_MAX, tallies_by_user
from impact_cli import explanation
from impact_cli.book_cost import Entries, price_of
from impact_cli.explanation import NOT_COMPARED, Explanation, Step, explain
from impact_cli.ledger_reader import shown
from tests.events import NOON, entry_builder, event
from tests.unit.cli.test_focus import FOOTPRINT, FOOTPRINTS, MONEY

Event = dict[str, Any]
RATE = FxRate("2026-11-20", Decimal("1.1172"))
TERMS = Terms(Decimal(10), Decimal(2), Decimal("0.7"), "a study")
BUILDER = entry_builder()
DAY = "2026-11-23"
KEYS = {"userId": "alice", "day": DAY, "dayShard": "2026-11-23#02"}
NO_ENTRIES = Entries(DAY)
STAMP = {"asOf": "2026-11-23T13:00:00.000000Z", "final": False, "revision": "0" * 16}


def wire(added: Event | None = None, **fields: Any) -> Event:
    """An event of the ledger, with what ingest added to it."""
    return to_wire(BUILDER.build(event(**fields), NOON).with_fields(added or {}).item)


def summary_of(
    events: list[Event], rate: FxRate | None = RATE, terms: Terms = TERMS, book: DayBook = NO_BOOK
) -> Event:
    """What the rollup stores, as it is read."""
    [(_, tally)] = tallies_by_user([events_of(events)], book)
    stated = statement(tally, rate, terms)
    stated |= before_correction(tally, stated, rate, terms)
    return item_from_wire(to_wire(KEYS | stated | STAMP))


def explained(
    events: list[Event],
    stored: Event,
    rate: FxRate | None = RATE,
    terms: Terms = TERMS,
    entries: Entries = NO_ENTRIES,
) -> Explanation:
    read = item_from_wire(to_wire(terms.as_fields()))
    return explain([shown(one) for one in events], stored, rate, read, entries)


def steps_of(
    events: list[Event], rate: FxRate | None = RATE, terms: Terms = TERMS
) -> list[tuple[str, str, str]]:
    stored = summary_of(events, rate, terms)
    result = explained(events, stored, rate, terms)
    assert not result.differences
    return [(title(step), step.how, f"{step.result:f} {step.unit}") for step in result.now.steps]


def title(step: Step) -> str:
    return f"{step.of}: {step.what}" if step.of else step.what


# --- examples ---

DOLLARS = [
    wire(FOOTPRINT, eventId="1", costUSD=Decimal("1.1172")),
    wire(FOOTPRINT, eventId="2", costUSD=Decimal("2.2344")),
]
CONVERTED = {"costEUR": Decimal("7.7"), "fxRate": Decimal("1.2"), "fxDate": "2026-11-19"}
"""What ingest adds by the rate that it knows then."""


def test_dollars_of_one_model_are_converted_by_one_division() -> None:
    assert steps_of(DOLLARS) == [
        ("openai/gpt-4o: dollars", "sum of 2 requests", "3.3516 USD"),
        ("openai/gpt-4o: in euros", "3.3516 USD / 1.1172, the ECB's rate of 2026-11-20", "3 EUR"),
        ("Markup", "10 % of 3 EUR", "0.3 EUR"),
        ("Restoration fee", "2 % of 3 EUR", "0.06 EUR"),
        ("Billed", "cost, markup and fee", "3.36 EUR"),
    ]


def test_several_models_have_a_division_each_and_the_whole_has_its_own() -> None:
    """1 / 1.1172, twice, differs from 2 / 1.1172 in the last digit: so a model's euros need not add up."""
    events = [wire(model=name, costUSD=1, eventId=name) for name in ("a", "b")]
    assert steps_of(events, terms=Terms())[:6] == [
        ("openai/a: dollars", "of 1 request", "1 USD"),
        (
            "openai/a: in euros",
            "1 USD / 1.1172, the ECB's rate of 2026-11-20",
            "0.89509488005728607232366630862871464375 EUR",
        ),
        ("openai/b: dollars", "of 1 request", "1 USD"),
        (
            "openai/b: in euros",
            "1 USD / 1.1172, the ECB's rate of 2026-11-20",
            "0.89509488005728607232366630862871464375 EUR",
        ),
        ("All models: dollars", "sum of 2 requests", "2 USD"),
        (
            "All models: in euros",
            "2 USD / 1.1172, the ECB's rate of 2026-11-20",
            "1.7901897601145721446473326172574292875 EUR",
        ),
    ]


def test_euros_of_the_sender_stay_and_those_of_ingest_are_converted_anew() -> None:
    events = [
        wire(CONVERTED, eventId="1", costUSD=Decimal("1.1172")),
        wire(eventId="2", costUSD=5, costEUR=4),
        wire(eventId="3", costUSD=None, costEUR=Decimal("0.5")),
        wire(eventId="4", costUSD=None),
    ]
    assert steps_of(events) == [
        ("openai/gpt-4o: dollars", "of 1 request", "1.1172 USD"),
        ("openai/gpt-4o: in euros", "1.1172 USD / 1.1172, the ECB's rate of 2026-11-20", "1 EUR"),
        ("openai/gpt-4o: sent as euros", "sum of 2 requests", "4.5 EUR"),
        ("openai/gpt-4o: together", "1 EUR + 4.5 EUR", "5.5 EUR"),
        ("Markup", "10 % of 5.5 EUR", "0.55 EUR"),
        ("Restoration fee", "2 % of 5.5 EUR", "0.11 EUR"),
        ("Billed", "cost, markup and fee", "6.16 EUR"),
    ]


def test_dollars_wait_while_the_rate_is_not_known() -> None:
    events = [*DOLLARS, wire(eventId="3", costUSD=None, costEUR=1)]
    assert steps_of(events, None, Terms()) == [
        ("openai/gpt-4o: dollars", "sum of 2 requests", "3.3516 USD"),
        ("openai/gpt-4o: sent as euros", "of 1 request", "1 EUR"),
        ("Markup", "0 % of 1 EUR", "0 EUR"),
        ("Restoration fee", "0 % of 1 EUR", "0 EUR"),
        ("Billed", "cost, markup and fee", "1 EUR"),
    ]


def test_requests_without_any_cost_have_no_step() -> None:
    assert [step[0] for step in steps_of([wire(costUSD=None)])] == ["Markup", "Restoration fee", "Billed"]


def test_failures_that_cost_nothing_needed_no_rate() -> None:
    events = [wire(status="failure", costUSD=0)]
    assert "fxRate" not in summary_of(events)
    assert not explained(events, summary_of(events)).differences


def test_the_models_beyond_the_most_are_together() -> None:
    events = [wire(model=f"m{n:03d}", eventId=f"{n:03d}", costUSD=1) for n in range(MODELS_MAX + 3)]
    assert ("other/other: dollars", "sum of 3 requests", "3 USD") in steps_of(events)


def test_a_day_without_events_has_no_figures() -> None:
    nothing = explain([], None, RATE, {}, NO_ENTRIES)
    assert (nothing.computed["requests"], nothing.computed["models"], nothing.differences) == (0, {}, {})
    assert set(explained([], summary_of(DOLLARS)).differences) >= {"requests", "costEUR", "models"}


def test_a_difference_has_both_figures() -> None:
    stored = summary_of(DOLLARS[:1])
    assert explained(DOLLARS, stored).differences["costUSD"] == (Decimal("1.1172"), Decimal("3.3516"))


@pytest.mark.parametrize(
    ("rate", "terms"),
    [
        (FxRate(RATE.date, Decimal("1.1173")), TERMS),
        (FxRate("2026-11-19", RATE.usd), TERMS),
        (None, TERMS),
        (RATE, Terms(Decimal("10.001"), TERMS.restoration_fee_percent, TERMS.restoration_kg_per_m2)),
        (RATE, Terms(TERMS.markup_percent, Decimal("2.001"), TERMS.restoration_kg_per_m2)),
        (RATE, Terms(TERMS.markup_percent, TERMS.restoration_fee_percent, Decimal("0.7001"))),
        (RATE, Terms(TERMS.markup_percent, TERMS.restoration_fee_percent)),
    ],
)
def test_a_summary_at_another_rate_or_at_other_terms_differs(rate: FxRate | None, terms: Terms) -> None:
    assert explained(DOLLARS, summary_of(DOLLARS), rate, terms).differences


# --- whatever the events are ---

COSTS = st.fixed_dictionaries({"costUSD": st.none() | MONEY, "costEUR": st.none() | MONEY})
YES_OR_NOTHING = st.sampled_from([None, True, False])


@st.composite
def wire_events(draw: st.DrawFn) -> Event:
    costs = draw(COSTS)
    added = dict(draw(FOOTPRINTS))
    if costs["costEUR"] is None and costs["costUSD"] is not None and draw(st.booleans()):
        added |= {"costEUR": draw(MONEY), "fxRate": Decimal("1.2"), "fxDate": "2026-11-19"}
    tokens = st.integers(0, 10**12)
    return wire(
        added,
        **costs,
        model=draw(st.sampled_from(["gpt-4o", "a/b", " ", "other"])),
        provider=draw(st.sampled_from(["openai", "other"])),
        status=draw(st.sampled_from(["success", "failure"])),
        cacheHit=draw(YES_OR_NOTHING),
        estimated=draw(YES_OR_NOTHING),
        tokens_in=draw(tokens),
        tokens_out=draw(tokens),
        tokens_cached=draw(st.none() | tokens),
        tokens_reasoning=draw(st.none() | tokens),
        latency=draw(st.decimals(0, 10_000, places=6)),
        ts=draw(
            st.sampled_from(["2026-11-23T08:00:00Z", "2026-11-23T09:00:00.000001Z", "2026-11-23T07:59:00Z"])
        ),
    )


DAYS_EVENTS = st.lists(wire_events(), min_size=1, max_size=12)
RATES = st.none() | st.decimals("0.5", 2, places=5).map(lambda usd: FxRate("2026-11-20", usd))
PERCENT = st.sampled_from([Decimal(0), Decimal("7.5"), Decimal("33.3333")])
ALL_TERMS = st.builds(Terms, PERCENT, PERCENT, st.sampled_from([None, Decimal("0.7"), Decimal(3)]))


@pytest.fixture(params=[2, MODELS_MAX])
def models_max(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (summary, explanation):
            patch.setattr(module, "MODELS_MAX", request.param)
        yield


@pytest.mark.usefixtures("models_max")
@settings(deadline=None)
@given(DAYS_EVENTS, RATES, ALL_TERMS)
def test_what_is_computed_is_what_the_rollup_stores(
    events: list[Event], rate: FxRate | None, terms: Terms
) -> None:
    stored = summary_of(events, rate, terms)
    assert explained(events, stored, rate, terms).differences == {}


@settings(deadline=None)
@given(DAYS_EVENTS, RATES, ALL_TERMS)
def test_the_steps_lead_to_the_figures(events: list[Event], rate: FxRate | None, terms: Terms) -> None:
    stored = summary_of(events, rate, terms)
    steps = {title(step): step for step in explained(events, stored, rate, terms).now.steps}
    assert steps["Billed"].result == stored["billedEUR"]
    assert steps["Markup"].result == stored["markupEUR"]
    assert steps["Restoration fee"].result == stored["restorationFeeEUR"]
    rows = {"All models": stored, **stored["models"]} if len(stored["models"]) > 1 else stored["models"]
    for name, row in rows.items():
        last = [f"{name}: together", f"{name}: sent as euros", f"{name}: in euros"]
        cost = next((steps[what].result for what in last if what in steps), Decimal(0))
        assert cost == row["costEUR"]
    for step in steps.values():
        if " USD / " in step.how:
            dollars, rest = step.how.split(" USD / ")
            assert quotient(Decimal(dollars), Decimal(rest.split(",")[0])) == step.result


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all figures."""
    if isinstance(value, dict):
        for name, of in value.items():
            yield from leaves(of, (*path, name))
    else:
        yield path


def changed(value: Any) -> Any:
    """A figure with its last digit changed."""
    if isinstance(value, str):
        return value[:-2] + ("1" if value[-2] == "0" else "0") + value[-1]
    if isinstance(value, int):
        return value + 1
    digits = f"{value:f}"
    return Decimal(digits[:-1] + str((int(digits[-1]) + 1) % 10))


def with_figure(stored: Event, path: tuple[str, ...], change: Any) -> Event:
    copy = deepcopy(stored)
    place = copy
    for name in path[:-1]:
        place = place[name]
    change(place, path[-1])
    return copy


def set_changed(place: Event, name: str) -> None:
    place[name] = changed(place[name])


def remove(place: Event, name: str) -> None:
    del place[name]


@settings(max_examples=25, deadline=None)  # of each, a hundred wrong summaries
@given(st.lists(wire_events(), min_size=1, max_size=4), RATES, ALL_TERMS)
def test_every_figure_that_is_wrong_or_missing_is_named(
    events: list[Event], rate: FxRate | None, terms: Terms
) -> None:
    stored = summary_of(events, rate, terms)
    paths = [path for path in leaves(stored) if path[0] not in NOT_COMPARED]
    assert {path[0] for path in paths} == stored.keys() - set(NOT_COMPARED)
    for path in paths:
        for change in (set_changed, remove):
            wrong = with_figure(stored, path, change)
            assert set(explained(events, wrong, rate, terms).differences) == {path[0]}, path
    for name in ("energyKWh", "restoredM2", "fxRate", "unheardOf"):
        if name not in stored:
            assert set(explained(events, stored | {name: 0}, rate, terms).differences) == {name}
    without_a_model = stored | {"models": dict(list(stored["models"].items())[1:])}
    assert set(explained(events, without_a_model, rate, terms).differences) == {"models"}


# --- the price book ---

WRONG = Price("1.1", "openai/gpt-6", "2026-11-01", Rates(Decimal("2.50"), Decimal("0.25"), None, Decimal(10)))
RIGHT = Price(
    "2.1", "openai/gpt-6", "2026-11-01", Rates(Decimal("1.25"), Decimal("0.125"), None, Decimal(10))
)
BOOK = PriceBook((Revision(1, (WRONG,), "", ""), Revision(2, (RIGHT,), "", "")))
OF_ALICE = [
    wire(
        eventId="A",
        model="gpt-6",
        costUSD=None,
        tokens_in=1_200_000,
        tokens_cached=200_000,
        tokens_out=100_000,
    ),
    wire(eventId="B", model="gpt-6", costUSD=None, tokens_in=800_000, tokens_out=50_000),
]
"""Of docs/prices.md, "A month with a wrong price"."""


def test_the_multiplications_of_a_price_are_steps() -> None:
    book = DayBook.of(BOOK, DAY, [1])
    stored = summary_of(OF_ALICE, None, Terms(), book)
    result = explained(OF_ALICE, stored, None, Terms(), Entries(DAY, [WRONG]))
    assert not result.differences
    assert [(title(step), step.how, f"{step.result:f}") for step in result.now.steps][:4] == [
        ("openai/gpt-6: input", "1,800,000 x 2.50 USD / 1,000,000", "4.5"),
        ("openai/gpt-6: cached", "200,000 x 0.25 USD / 1,000,000", "0.05"),
        ("openai/gpt-6: output", "150,000 x 10 USD / 1,000,000", "1.5"),
        ("openai/gpt-6: by the book", "4.5 + 0.05 + 1.5", "6.05"),
    ]


def test_a_corrected_day_has_the_steps_of_both_prices() -> None:
    book = DayBook.of(BOOK, DAY, [1, 2])
    stored = summary_of(OF_ALICE, None, Terms(), book)
    result = explained(OF_ALICE, stored, None, Terms(), Entries(DAY, [WRONG, RIGHT], [WRONG]))
    assert not result.differences
    assert result.first is not None
    assert (result.now.figures["costUSD"], result.first.figures["costUSD"]) == (
        Decimal("3.775"),
        Decimal("6.05"),
    )


AMOUNTS = st.none() | st.decimals(0, 100, places=6)
PATTERNS = st.sampled_from(
    ["openai/gpt-4o", "openai/*", "*", "o*", "openai/gpt-4o*", "other/a/b", "other/other"]
)
DAYS = st.sampled_from(["2026-11-01", DAY, "2026-11-24"])


@st.composite
def prices(draw: st.DrawFn) -> Price:
    pattern, day = draw(PATTERNS), draw(DAYS)
    if draw(st.integers(0, 5)) == 0:
        return Price("", pattern, day, None)
    both = st.decimals(0, 100, places=6)
    rates: dict[str, Any] = {"input": draw(both), "output": draw(both)}
    for kind in ("cached", "cacheWrite", "reasoning", "perRequest", "perSecond"):
        rates[kind] = draw(AMOUNTS)
    currency: Currency = draw(st.sampled_from(["USD", "EUR"]))
    only: Only = draw(st.sampled_from(["unpriced", "all"]))
    return Price("", pattern, day, Rates(**rates), currency, only, "a test")


BOOKS = st.lists(st.lists(prices(), min_size=1, max_size=3), min_size=1, max_size=4).map(
    lambda each: PriceBook(
        tuple(Revision.of(n, [price.as_fields() for price in of], "", "") for n, of in enumerate(each, 1))
    )
)


def until(book: PriceBook, revision: int) -> list[Price]:
    return [price for each in book.revisions if each.number <= revision for price in each.prices]


@settings(deadline=None)
@given(DAYS_EVENTS, BOOKS, RATES, ALL_TERMS, st.data())
def test_any_prices_give_what_the_rollup_stores(
    events: list[Event], book: PriceBook, rate: FxRate | None, terms: Terms, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, book.revision))
    last = data.draw(st.integers(first, book.revision))
    stored = summary_of(events, rate, terms, DayBook.of(book, DAY, [first, last]))
    at_first = until(book, first) if first != last else None
    entries = Entries(DAY, until(book, last), at_first)
    assert explained(events, stored, rate, terms, entries).differences == {}


@given(BOOKS, st.sampled_from(["openai/gpt-4o", "openai/gpt-4o-mini", "other/a/b", "other/other", "x"]), DAYS)
def test_the_choice_of_a_price_is_the_books(book: PriceBook, model: str, day: str) -> None:
    for revision in range(book.revision + 1):
        assert price_of(model, day, until(book, revision)) == book.on(day, revision).of(model)
