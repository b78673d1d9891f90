"""The demo's own checks: each number that does not agree is reported."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest

from impact.billing import Terms, statement
from impact.dynamodb import item_from_wire, to_wire
from impact.footprint import Footprints
from impact.fx_conversion import euro_fields
from impact.fx_rates import FxRate, FxRates
from impact.summary import tally
from impact_cli.table import rounded, table
from local.demo.calls import CALLS, CHAT, EMBEDDINGS, HEADER, METADATA, RESPONSES, UNFILLED, Call
from local.demo.check import Found, check
from local.demo.expected_cost import cost
from local.demo.expected_euros import (
    ADDED_UP,
    FEE_PERCENT,
    KG_PER_M2,
    MARKUP_PERCENT,
    SOURCE,
    STORED,
    compare_events,
)
from local.demo.report import COST, report
from local.demo.usage_totals import (
    EXACT,
    TOLERANCE,
    UsageTotals,
    differences,
    expected,
    totals_of_events,
    totals_of_summaries,
)
from local.fake_providers.prompt_directives import Usage
from tests.events import NOON, as_read, entry_builder, event

COUNTS = (
    *("requests", "failures", "unpriced", "estimated", "rated", "unrated"),
    *("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning"),
)
PRICES = {
    "gpt-4o": {
        "input_cost_per_token": Decimal("2.5e-06"),
        "output_cost_per_token": Decimal("1e-05"),
        "cache_read_input_token_cost": Decimal("1.25e-06"),
    },
    "claude": {
        "input_cost_per_token": Decimal("1e-06"),
        "output_cost_per_token": Decimal("5e-06"),
        "cache_read_input_token_cost": Decimal("1e-07"),
        "cache_creation_input_token_cost": Decimal("1.25e-06"),
    },
    "groq/fast": {"input_cost_per_token": Decimal("1e-07"), "output_cost_per_token": Decimal("2e-07")},
}


def entry(call: str, status: int = 200, provider: str = "openai", model: str = "gpt-4o") -> dict[str, Any]:
    usage = Usage(100, 20, tokens_cached=64, tokens_reasoning=3) if status == 200 else Usage(0, 0)
    return {"call": call, "provider": provider, "model": model, "status": status, **usage.to_dict()}


@pytest.mark.parametrize(
    ("provider", "model", "usage", "dollars"),
    [
        ("openai", "gpt-4o", Usage(1200, 300, tokens_cached=1000), "0.00475"),
        ("anthropic", "claude", Usage(1000, 200, tokens_cached=500, tokens_cache_write=300), "0.001625"),
        ("groq", "fast", Usage(10, 10, tokens_cached=5), "0.000003"),
        ("ollama", "whatever", Usage(1000, 1000), "0"),
    ],
)
def test_a_cost_is_computed_in_decimals(provider: str, model: str, usage: Usage, dollars: str) -> None:
    assert cost(PRICES, provider, model, usage) == Decimal(dollars)


def test_a_model_without_a_price_has_no_cost() -> None:
    assert cost(PRICES, "groq", "new", Usage(1, 1)) is None


def test_a_retry_is_one_failure_and_one_success() -> None:
    journal = [entry("c", 500), entry("c", 500), entry("c")]
    figures = expected([Call("c", "bob", "gpt-4o", "")], journal, PRICES)["bob"]
    assert (figures.requests, figures.failures, figures.tokens_in, figures.unpriced) == (2, 1, 100, 0)
    assert figures.models == {"openai/gpt-4o": {"requests": 2, "rated": 1}}


def test_a_fallback_is_a_failure_of_one_model_and_a_success_of_another() -> None:
    journal = [entry("c", 529, "anthropic", "claude"), entry("c")]
    figures = expected([Call("c", "bob", "claude", "")], journal, PRICES)["bob"]
    assert figures.models == {
        "anthropic/claude": {"requests": 1},
        "openai/gpt-4o": {"requests": 1, "rated": 1},
    }


def test_a_cached_answer_has_tokens_and_no_cost() -> None:
    calls = [
        Call("c", "eve", "gpt-4o", "", cached=True),
        Call("d", "eve", "gpt-4o", "", cached=True, again="c"),
    ]
    once = expected(calls[:1], [entry("c")], PRICES)["eve"]
    twice = expected(calls, [entry("c")], PRICES)["eve"]
    assert twice.tokens_in == 2 * once.tokens_in
    assert twice.costUSD == once.costUSD > 0


def test_a_second_serving_of_what_should_be_cached_shows() -> None:
    calls = [
        Call("c", "eve", "gpt-4o", "", cached=True),
        Call("d", "eve", "gpt-4o", "", cached=True, again="c"),
    ]
    ledger = totals_of_events(
        {**entry("c"), "userId": "eve", "status": "success", "costUSD": Decimal(1)} for _ in "cd"
    )
    assert differences("ledger", ledger, expected(calls, [entry("c"), entry("c")], PRICES))


def test_unpriced_is_not_free() -> None:
    journal = [entry("c", model="new", provider="groq")]
    assert expected([Call("c", "eve", "new", "")], journal, PRICES)["eve"].unpriced == 1


def test_summaries_of_several_days_add_up() -> None:
    day = {
        "userId": "eve",
        **dict.fromkeys(COUNTS, 1),
        "costUSD": Decimal("0.1"),
        "models": {"openai/gpt-4o": {"requests": Decimal(1)}},
    }
    figures = totals_of_summaries([day, day])["eve"]
    assert (figures.requests, figures.costUSD) == (2, Decimal("0.2"))
    assert figures.models == {"openai/gpt-4o": {"requests": 2}}


@pytest.mark.parametrize(
    "name",
    COUNTS,
)
def test_every_count_that_differs_is_named(name: str) -> None:
    found, truth = UsageTotals(), UsageTotals()
    setattr(found, name, 3)
    setattr(truth, name, 2)
    lines = differences("summaries", {"eve": found}, {"eve": truth})
    assert lines == [f"summaries: eve: {name} is 3, expected 2"]


def test_a_user_too_many_and_one_too_few_are_named() -> None:
    lines = differences("ledger", {"eve": UsageTotals(requests=1)}, {"bob": UsageTotals(requests=1)})
    assert lines == ["ledger: bob: requests is 0, expected 1", "ledger: eve: requests is 1, expected 0"]


def test_only_a_cost_has_a_tolerance_and_only_where_it_is_given() -> None:
    truth = {"eve": UsageTotals(costUSD=Decimal("0.1"))}
    near, far = ({"eve": UsageTotals(costUSD=Decimal("0.1") + off)} for off in (TOLERANCE, 2 * TOLERANCE))
    assert differences("x", near, truth, TOLERANCE) == []
    assert differences("x", near, truth) != []
    assert differences("x", far, truth, TOLERANCE) != []


def test_the_demo_shows_every_way_into_the_ledger() -> None:
    assert len({call.id for call in CALLS}) == len(CALLS)
    assert {call.path for call in CALLS} > {CHAT, EMBEDDINGS, RESPONSES}
    assert {call.named for call in CALLS} > {HEADER, METADATA, UNFILLED}
    assert any(call.fails for call in CALLS)
    assert any(call.again for call in CALLS)


CALLS_OF_EVE = [Call("c", "eve", "gpt-4o", ""), Call("d", "eve", "new", "")]
JOURNAL = [entry("c"), entry("d", provider="groq", model="new")]
RATES = {"2026-11-19": Decimal("1.2"), "2026-11-20": Decimal("1.1172"), "2026-11-23": Decimal("1.3")}


NIGHT = [("2026-11-23", "2026-11-20", Decimal("1.1172")), ("2026-11-24", "2026-11-23", Decimal("1.3"))]
"""Days, and their fx rates."""


def what_the_stack_says() -> Found:
    """The service's own results for JOURNAL, with prices and footprints, one request for each entry."""
    terms = Terms(MARKUP_PERCENT, FEE_PERCENT, KG_PER_M2, SOURCE)
    ledger = []
    for served, cost_ in zip(JOURNAL, (Decimal("0.00037"), None), strict=True):
        raw = {**served, "eventId": served["call"], "latency": Decimal("1.7"), "costUSD": cost_}
        laid = entry_builder().build(event(userId="eve", **raw | {"status": "success"}), NOON)
        euros = euro_fields(laid.item, FxRates(RATES))
        ledger.append(laid.with_fields(Footprints({}, None).of(laid.item)).with_fields(euros).item)
    stated = statement(tally(as_read(*ledger)), FxRate("2026-11-20", RATES["2026-11-20"]), terms)
    day = item_from_wire(to_wire(stated | {"userId": "eve", "day": "2026-11-23", "asOf": "now"}))
    row = {name: value for name, value in day.items() if name not in ("models", "terms", "userId")}
    ledger = [item_from_wire(to_wire(item)) for item in ledger]
    return Found(ledger, [day], {"days": [row | {"users": 1}], "total": row})


def problems(found: Found, journal: list[dict[str, Any]] = JOURNAL) -> list[str]:
    return check(expected(CALLS_OF_EVE, journal, PRICES, found.ledger), found, RATES)


def test_the_check_passes_on_the_truth() -> None:
    found = what_the_stack_says()
    assert problems(found) == []
    assert (found.summaries[0]["rated"], found.summaries[0]["unrated"], found.summaries[0]["unpriced"]) == (
        1,
        1,
        1,
    )


@pytest.mark.parametrize(
    "lie", [{"tokens_in": 101}, {"status": 500}, {"model": "other"}, {"call": "another"}]
)
def test_it_fails_on_a_false_journal(lie: dict[str, Any]) -> None:
    assert problems(what_the_stack_says(), [JOURNAL[0] | lie, JOURNAL[1]])


TINY = Decimal("1e-20")


@pytest.mark.parametrize(
    "name",
    [
        *("requests", "tokens_in", "rated", "unrated", "unpriced", "costUSD", "costEUR", "unconverted"),
        *("fxRate", "markupEUR", "restorationFeeEUR", "billedEUR", "restoredM2"),
    ],
)
@pytest.mark.parametrize("where", ["summary", "platform"])
def test_a_false_figure_is_found(where: str, name: str) -> None:
    found = what_the_stack_says()
    row: Any = found.summaries[0] if where == "summary" else found.totals["days"][0]
    if where == "platform" and name not in ADDED_UP and name != "fxRate":
        row = found.totals["total"]  # these are compared in the sum of the days
    with localcontext(EXACT):
        row[name] += TINY
    assert problems(found)


@pytest.mark.parametrize("unit", ["energyKWh", "co2eKg", "waterL"])
@pytest.mark.parametrize("bound", ["low", "high"])
def test_a_false_footprint_is_found(unit: str, bound: str) -> None:
    for where in ("ledger", "summaries"):
        found = what_the_stack_says()
        row: Any = getattr(found, where)[0]
        with localcontext(EXACT):
            row[unit][bound] += TINY
        assert problems(found)


def test_an_event_with_false_euros_is_found() -> None:
    found = what_the_stack_says()
    row: Any = found.ledger[0]
    row["fxDate"] = "2026-11-19"
    assert [problem for problem in problems(found) if "fxDate" in problem]


def test_each_day_has_its_own_rate_past_midnight_too() -> None:
    ledger = [
        {"eventId": str(n), "userId": "eve", "day": day, "costUSD": Decimal(1)}
        | {"costEUR": STORED.divide(Decimal(1), usd), "fxRate": usd, "fxDate": date}
        for n, (day, date, usd) in enumerate(NIGHT)
    ]
    assert compare_events(ledger, RATES) == []
    ledger[1] |= {"fxDate": ledger[0]["fxDate"]}
    assert compare_events(ledger, RATES) == ["ledger: 1: fxDate is 2026-11-20, expected 2026-11-23"]


def test_a_prompt_in_the_ledger_is_found() -> None:
    found = what_the_stack_says()
    row: Any = found.ledger[0]
    row["tags"] = ["Hi #call=c"]
    assert "ledger: c holds a prompt" in problems(found)


def test_the_report_shows_users_and_the_platform() -> None:
    found = what_the_stack_says()
    shown = report(found.summaries, found.totals)
    assert max(map(len, shown.splitlines())) <= 100
    header, eve, platform = table([found.summaries[0], found.totals["days"][0]], COST).splitlines()
    assert header.split() == ["user", "day", "EUR", "g", "CO2e", "L", "water", "unrated", "unpriced"]
    assert eve.split()[:3] == ["eve", "2026-11-23", "0.000331"]
    assert platform.split()[2:] == eve.split()[2:]
    assert "EUR billed" in shown
    assert f"({SOURCE})" in shown


def test_a_missing_estimate_is_shown_as_a_dash_not_as_zero() -> None:
    row = {"userId": "eve", "day": "d", "costEUR": Decimal(0), "unrated": 1, "unpriced": 0}
    assert table([row], COST).splitlines()[1].split() == ["eve", "d", "0.000000", "-", "-", "1", "0"]


def test_numbers_are_rounded_to_two_significant_digits() -> None:
    assert (rounded(Decimal("0.000123")), rounded(Decimal("5.678")), rounded(Decimal(1234))) == (
        "0.00012",
        "5.7",
        "1200",
    )
