"""The demo's self-check can fail: each figure that does not agree is named."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from local.demo.calls import CALLS, CHAT, EMBEDDINGS, HEADER, METADATA, RESPONSES, UNFILLED, Call
from local.demo.figures import TOLERANCE, Figures, counted, differences, expected, summed
from local.demo.prices import cost
from local.demo.report import table
from local.demo.run import check
from local.provider.script import Usage

COUNTS = (
    *("requests", "failures", "unpriced"),
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
    assert figures.models == {"openai/gpt-4o": 2}


def test_a_fallback_is_a_failure_of_one_model_and_a_success_of_another() -> None:
    journal = [entry("c", 529, "anthropic", "claude"), entry("c")]
    figures = expected([Call("c", "bob", "claude", "")], journal, PRICES)["bob"]
    assert figures.models == {"anthropic/claude": 1, "openai/gpt-4o": 1}


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
    ledger = counted(
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
    figures = summed([day, day])["eve"]
    assert (figures.requests, figures.costUSD, figures.models) == (2, Decimal("0.2"), {"openai/gpt-4o": 2})


@pytest.mark.parametrize(
    "name",
    ["requests", "failures", "tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning", "unpriced"],
)
def test_every_count_that_differs_is_named(name: str) -> None:
    found, truth = Figures(), Figures()
    setattr(found, name, 3)
    setattr(truth, name, 2)
    lines = differences("summaries", {"eve": found}, {"eve": truth})
    assert lines == [f"summaries: eve: {name} is 3, expected 2"]


def test_a_user_too_many_and_one_too_few_are_named() -> None:
    lines = differences("ledger", {"eve": Figures(requests=1)}, {"bob": Figures(requests=1)})
    assert lines == ["ledger: bob: requests is 0, expected 1", "ledger: eve: requests is 1, expected 0"]


def test_only_a_cost_has_a_tolerance_and_only_where_it_is_given() -> None:
    truth = {"eve": Figures(costUSD=Decimal("0.1"))}
    near, far = ({"eve": Figures(costUSD=Decimal("0.1") + off)} for off in (TOLERANCE, 2 * TOLERANCE))
    assert differences("x", near, truth, TOLERANCE) == []
    assert differences("x", near, truth) != []
    assert differences("x", far, truth, TOLERANCE) != []


def test_the_demo_shows_every_way_into_the_ledger() -> None:
    assert len({call.id for call in CALLS}) == len(CALLS)
    assert {call.path for call in CALLS} > {CHAT, EMBEDDINGS, RESPONSES}
    assert {call.named for call in CALLS} > {HEADER, METADATA, UNFILLED}
    assert any(call.fails for call in CALLS)
    assert any(call.again for call in CALLS)


def a_summary(user: str, day: str, **figures: Any) -> dict[str, Any]:
    nothing = {"costUSD": Decimal(0), **dict.fromkeys(COUNTS, Decimal(0)), "models": {}}
    return {"userId": user, "day": day, **nothing, **figures}


def test_the_check_passes_on_the_truth_and_fails_on_a_false_journal() -> None:
    calls = [Call("c", "eve", "gpt-4o", "")]
    ledger = [
        {**entry("c"), "eventId": "1", "userId": "eve", "status": "success", "costUSD": Decimal("0.00037")}
    ]
    tokens = {"tokens_in": 100, "tokens_out": 20, "tokens_cached": 64, "tokens_reasoning": 3}
    models = {"openai/gpt-4o": {"requests": Decimal(1)}}
    summaries = [a_summary("eve", "d", requests=1, costUSD=Decimal("0.00037"), models=models, **tokens)]
    assert check(expected(calls, [entry("c")], PRICES), ledger, summaries) == []
    for lie in ({"tokens_in": 101}, {"status": 500}, {"model": "other"}, {"call": "another"}):
        assert check(expected(calls, [{**entry("c"), **lie}], PRICES), ledger, summaries), lie


def test_a_prompt_in_the_ledger_is_found() -> None:
    ledger = [{**entry("c"), "eventId": "1", "userId": "eve", "status": "failure", "tags": ["Hi #call=c"]}]
    assert "ledger: 1 holds a prompt" in check({}, ledger, [])


def test_the_table_has_a_line_for_each_day_with_every_digit_of_its_cost() -> None:
    days = [a_summary("zoë", "2026-11-24"), a_summary("eve", "2026-11-23", costUSD=Decimal("5.25E-7"))]
    header, first, second = table(days).splitlines()
    assert header.split()[:2] == ["user", "day"]
    assert first.split() == ["eve", "2026-11-23", "0", "0", "0", "0", "0", "0", "0.000000525", "0"]
    assert second.startswith("zoë   2026-11-24")
    assert len(header) == len(first) == len(second)
