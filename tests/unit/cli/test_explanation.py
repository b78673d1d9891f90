"""How a user's figure comes about: the same as the rollup's, to the last digit, by arithmetic of its own."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
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
from impact.price_book import DayBook, PriceBook
from impact.summary import MODELS_MAX, tallies_by_user
from impact_cli import explanation
from impact_cli.book_cost import Entries
from impact_cli.explanation import NOT_COMPARED, OF_THE_BOOK, Calculation, Explanation, Step, explain
from impact_cli.ledger_reader import shown
from tests.events import NOON, entry_builder, event
from tests.unit.cli.test_book_cost import book_of, books, price
from tests.unit.cli.test_focus import FOOTPRINT, FOOTPRINTS, MONEY

Event = dict[str, Any]
NO_PRICES = PriceBook()
RATE = FxRate("2026-11-20", Decimal("1.1172"))
TERMS = Terms(Decimal(10), Decimal(2), Decimal("0.7"), "a study")
BUILDER = entry_builder()
DAY = "2026-11-23"
KEYS = {"userId": "alice", "day": DAY, "dayShard": "2026-11-23#02"}
STAMP = {"asOf": "2026-11-23T13:00:00.000000Z", "final": False, "revision": "0" * 16}


def wire(added: Event | None = None, **fields: Any) -> Event:
    """An event of the ledger, with what ingest added to it."""
    return to_wire(BUILDER.build(event(**fields), NOON).with_fields(added or {}).item)


@dataclass(frozen=True)
class Day:
    """What a day is counted with, beside its events."""

    rate: FxRate | None = RATE
    terms: Terms = TERMS
    book: PriceBook = NO_PRICES
    revisions: Sequence[int] = (0,)


def summary_of(events: list[Event], day: Day = Day()) -> Event:
    """What the rollup stores, as it is read."""
    [(_, tally)] = tallies_by_user([events_of(events)], DayBook.of(day.book, DAY, day.revisions))
    stated = statement(tally, day.rate, day.terms)
    stated |= before_correction(tally, stated, day.rate, day.terms)
    return item_from_wire(to_wire(KEYS | stated | STAMP))


def explained(events: list[Event], stored: Event, day: Day = Day()) -> Explanation:
    terms = item_from_wire(to_wire(day.terms.as_fields()))
    entries = Entries.of(day.book, DAY, day.revisions)
    return explain([shown(one) for one in events], stored, day.rate, terms, entries)


def steps_of(events: list[Event], day: Day = Day()) -> list[tuple[str, str, str]]:
    result = explained(events, summary_of(events, day), day)
    assert not result.differences
    return written(result.now)


def written(calculation: Calculation) -> list[tuple[str, str, str]]:
    return [(named(step), step.how, f"{step.result:f} {step.unit}") for step in calculation.steps]


def named(step: Step) -> str:
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
    assert steps_of(events, Day(terms=Terms()))[:6] == [
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
    assert steps_of(events, Day(None, Terms())) == [
        ("openai/gpt-4o: dollars", "sum of 2 requests", "3.3516 USD"),
        ("openai/gpt-4o: sent as euros", "of 1 request", "1 EUR"),
        ("Markup", "0 % of 1 EUR", "0 EUR"),
        ("Restoration fee", "0 % of 1 EUR", "0 EUR"),
        ("Billed", "cost, markup and fee", "1 EUR"),
    ]


LLAMA: Event = {"provider": "vllm", "model": "llama", "costUSD": None}
TOKENS: Event = {"tokens_in": 1200, "tokens_cached": 200, "tokens_out": 300}
LLAMA_PRICE = price("vllm/*", input="0.5", cached="0.25", output=2, perRequest="0.01", source="contract 17")
BOOK = book_of([LLAMA_PRICE], [price("openai/gpt-4o", input=1, output=1, currency="EUR", only="all")])


def test_a_price_is_multiplied_kind_by_kind() -> None:
    events = [
        wire(eventId="1", **LLAMA, **TOKENS),
        wire(eventId="2", **LLAMA, **TOKENS, cacheHit=True),
        wire(eventId="3", **LLAMA | {"costUSD": Decimal("0.5")}, **TOKENS),
    ]
    day = Day(terms=Terms(), book=BOOK, revisions=[1])
    assert steps_of(events, day)[:-3] == [
        ("vllm/llama: input", "1,000 x 0.5 USD / 1,000,000", "0.0005 USD"),
        ("vllm/llama: cached", "200 x 0.25 USD / 1,000,000", "0.00005 USD"),
        ("vllm/llama: output", "300 x 2 USD / 1,000,000", "0.0006 USD"),
        ("vllm/llama: perRequest", "1 x 0.01 USD", "0.01 USD"),
        ("vllm/llama: by the book", "0.0005 + 0.00005 + 0.0006 + 0.01", "0.01115 USD"),
        ("vllm/llama: dollars", "of 1 request", "0.5 USD"),
        ("vllm/llama: all dollars", "0.5 USD + 0.01115 USD", "0.51115 USD"),
        (
            "vllm/llama: in euros",
            "0.51115 USD / 1.1172, the ECB's rate of 2026-11-20",
            "0.45752774794128177586824203365556749015 EUR",
        ),
    ]
    [priced] = explained(events, summary_of(events, day), day).now.priced
    assert [event["eventId"] for event in priced.requests] == ["1", "2"]
    assert priced.kept == {"a cost was reported": ["3"]}


def test_a_price_in_euros_needs_no_rate_and_what_was_reported_stands_beside() -> None:
    day = Day(None, Terms(), BOOK, [2])
    assert steps_of([wire(costUSD=7)], day) == [
        ("openai/gpt-4o: input", "1,200 x 1 EUR / 1,000,000", "0.0012 EUR"),
        ("openai/gpt-4o: output", "300 x 1 EUR / 1,000,000", "0.0003 EUR"),
        ("openai/gpt-4o: by the book", "0.0012 + 0.0003", "0.0015 EUR"),
        ("Reported", "of 1 request, before the price book", "7 USD"),
        ("Markup", "0 % of 0.0015 EUR", "0 EUR"),
        ("Restoration fee", "0 % of 0.0015 EUR", "0 EUR"),
        ("Billed", "cost, markup and fee", "0.0015 EUR"),
    ]


def test_a_corrected_day_has_the_steps_of_both_prices() -> None:
    """Of docs/prices.md, "A month with a wrong price"."""
    gpt_6: Event = {"model": "gpt-6", "costUSD": None}
    events = [
        wire(eventId="A", **gpt_6, tokens_in=1_200_000, tokens_cached=200_000, tokens_out=100_000),
        wire(eventId="B", **gpt_6, tokens_in=800_000, tokens_out=50_000),
    ]
    wrong = price("openai/gpt-6", "2026-11-01", input="2.5", cached="0.25", output=10)
    right = price("openai/gpt-6", "2026-11-01", input="1.25", cached="0.125", output=10)
    day = Day(None, Terms(), book_of([wrong], [right]), [1, 2])
    stored = summary_of(events, day)
    result = explained(events, stored, day)
    assert not result.differences
    assert result.first is not None
    assert (stored["costUSD"], stored["before"]["costUSD"]) == (Decimal("3.775"), Decimal("6.05"))
    assert written(result.first)[:4] == [
        ("openai/gpt-6: input", "1,800,000 x 2.5 USD / 1,000,000", "4.5 USD"),
        ("openai/gpt-6: cached", "200,000 x 0.25 USD / 1,000,000", "0.05 USD"),
        ("openai/gpt-6: output", "150,000 x 10 USD / 1,000,000", "1.5 USD"),
        ("openai/gpt-6: by the book", "4.5 + 0.05 + 1.5", "6.05 USD"),
    ]
    assert written(result.now)[3][1:] == ("2.25 + 0.025 + 1.5", "3.775 USD")


def test_a_correction_that_prices_what_was_unpriced_has_both_counts() -> None:
    events = [wire(eventId="1", **LLAMA, **TOKENS), wire(eventId="2", costUSD=Decimal("1.1172"))]
    day = Day(terms=Terms(), book=BOOK, revisions=[0, 2])
    stored = summary_of(events, day)
    assert (stored["unpriced"], stored["prices"], stored["repriced"]) == (0, ["1.1", "2.1"], 2)
    assert (stored["before"]["unpriced"], stored["before"]["billedEUR"]) == (1, 1)
    assert not explained(events, stored, day).differences


def test_prices_of_models_beyond_the_most_have_their_own_steps() -> None:
    events = [wire(model=f"m{n:03d}", eventId=f"{n:03d}", costUSD=1) for n in range(MODELS_MAX)]
    events += [wire(eventId=f"9{name}", **LLAMA | {"model": name}, **TOKENS) for name in "ab"]
    steps = steps_of(events, Day(book=BOOK, revisions=[1]))
    for name in "ab":
        assert (f"vllm/{name}: perRequest", "1 x 0.01 USD", "0.01 USD") in steps
    assert ("other/other: by the book", "sum of 2 requests", "0.0223 USD") in steps
    assert ("All models: all dollars", "200 USD + 0.0223 USD", "200.0223 USD") in steps


def test_a_summary_from_before_the_price_book_lacks_its_fields_and_differs_in_nothing() -> None:
    stored = {name: value for name, value in summary_of(DOLLARS).items() if name not in OF_THE_BOOK}
    assert explained(DOLLARS, stored).differences == {}
    assert set(explained(DOLLARS, stored | {"repriced": 0}).differences) == {"costReportedUSD"}


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
    nothing = explain([], None, RATE, {}, Entries(DAY))
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
    assert explained(DOLLARS, summary_of(DOLLARS), Day(rate, terms)).differences


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
        tokens_cache_write=draw(st.none() | tokens),
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


@st.composite
def days(draw: st.DrawFn) -> Day:
    book = draw(books("openai", "other", "gpt-4o", "a/b", "other"))
    revisions = draw(st.lists(st.integers(0, book.revision), min_size=1, max_size=3).map(sorted))
    return Day(draw(RATES), draw(ALL_TERMS), book, revisions)


@pytest.mark.usefixtures("models_max")
@settings(deadline=None, max_examples=200)
@given(DAYS_EVENTS, days())
def test_what_is_computed_is_what_the_rollup_stores(events: list[Event], day: Day) -> None:
    stored = summary_of(events, day)
    result = explained(events, stored, day)
    assert result.differences == {}
    assert (result.first is None) == ("before" not in stored)


@settings(deadline=None)
@given(DAYS_EVENTS, days())
def test_the_steps_lead_to_the_figures(events: list[Event], day: Day) -> None:
    stored = summary_of(events, day)
    calculation = explained(events, stored, day).now
    steps = {(step.of, step.what, step.unit): step.result for step in calculation.steps}
    assert steps["", "Billed", "EUR"] == stored["billedEUR"]
    assert steps["", "Markup", "EUR"] == stored["markupEUR"]
    assert steps["", "Restoration fee", "EUR"] == stored["restorationFeeEUR"]
    rows = {"All models": stored, **stored["models"]} if len(stored["models"]) > 1 else stored["models"]
    for name, row in rows.items():
        last = [(name, what, "EUR") for what in ("together", "by the book", "sent as euros", "in euros")]
        assert next((steps[step] for step in last if step in steps), Decimal(0)) == row["costEUR"]
    for step in calculation.steps:
        follow(step)
    assert sum(len(one.requests) for one in calculation.priced) == stored["repriced"]


def follow(step: Step) -> None:
    """Do what a person does with a calculator, where a step says how."""
    if " x " in step.how:
        amount, rate = step.how.replace(",", "").split(" x ")
        rate, _, million = rate.partition(" / ")
        product = Fraction(amount) * Fraction(rate.split()[0]) / int(million or 1)
        assert nearly(product, step.result)
    elif " USD / " in step.how:
        dollars, by = step.how.split(" USD / ")
        assert quotient(Decimal(dollars), Decimal(by.split(",")[0])) == step.result
    elif " + " in step.how:
        assert nearly(sum(Fraction(part.split()[0]) for part in step.how.split(" + ")), step.result)


def nearly(exact: Fraction | int, rounded: Decimal) -> bool:
    """Equal but for what rounding the numbers to 38 digits leaves."""
    return abs(exact - Fraction(rounded)) * 10**36 <= exact


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
    if isinstance(value, list):
        return [*value, "9.9"]
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
@given(st.lists(wire_events(), min_size=1, max_size=4), days())
def test_every_figure_that_is_wrong_or_missing_is_named(events: list[Event], day: Day) -> None:
    stored = summary_of(events, day)
    paths = [path for path in leaves(stored) if path[0] not in NOT_COMPARED]
    assert {path[0] for path in paths} == stored.keys() - set(NOT_COMPARED)
    for path in paths:
        for change in (set_changed, remove):
            wrong = with_figure(stored, path, change)
            assert set(explained(events, wrong, day).differences) == {path[0]}, path
    for name in ("energyKWh", "restoredM2", "fxRate", "prices", "before", "unheardOf"):
        if name not in stored:
            assert set(explained(events, stored | {name: 0}, day).differences) == {name}
    without_a_model = stored | {"models": dict(list(stored["models"].items())[1:])}
    assert set(explained(events, without_a_model, day).differences) == {"models"}
