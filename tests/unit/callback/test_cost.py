"""What a call cost, from what LiteLLM reports: exact, free only where somebody said so, else unpriced."""

import copy
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.callback.recorded import PAYLOADS
from tests.unit.callback.test_capture import on_the_wire


@pytest.mark.parametrize("cost", [0.1 + 0.2, 1e-06, 5.551115123125783e-17, 3, 123456.789])
def test_a_cost_is_exactly_what_litellm_says(
    kwargs: dict[str, Any], payload: dict[str, Any], cost: float
) -> None:
    payload["response_cost"] = cost
    assert on_the_wire(kwargs)["costUSD"] == Decimal(repr(cost))


@pytest.mark.parametrize(
    "cost", [None, 0, 0.0, -0.0, -1.0, float("nan"), float("inf"), 1e-300, 1e12, "1", True]
)
def test_tokens_without_a_usable_cost_are_unpriced(
    kwargs: dict[str, Any], payload: dict[str, Any], cost: Any
) -> None:
    payload["response_cost"] = cost
    assert "costUSD" not in on_the_wire(kwargs)


FREE: dict[str, Any] = {"mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0}


MADE_UP: dict[str, Any] = {"mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0}
"""What LiteLLM invents for a name that it does not know: its zeros are ints."""


@pytest.mark.parametrize(
    ("model", "is_free"),
    [
        (FREE, True),
        (MADE_UP, False),
        (FREE | {"tiered_pricing": [{"range": [0, 32000], "input_cost_per_token": 0}]}, True),
        (FREE | {"tiered_pricing": [{"range": [0, 32000], "input_cost_per_token": 1e-06}]}, False),
        (FREE | {"search_context_cost_per_query": {"search_context_size_low": 0.03}}, False),
        (FREE | {"cache_read_input_token_cost": 1e-09}, False),
        (FREE | {"mode": None}, True),
        (FREE | {f"{number}_cost": 0.0 for number in range(900)}, True),
        (FREE | {f"{number}_cost": 0.0 for number in range(1000)}, False),  # more than is read
        ({"mode": "chat", "max_tokens": 0}, False),
        ({}, False),
        (None, False),
    ],
)
@pytest.mark.parametrize("cost", [0.0, None])
def test_tokens_at_no_cost_are_free_only_where_all_rates_are_known_to_be_zero(
    kwargs: dict[str, Any], payload: dict[str, Any], model: Any, is_free: bool, cost: float | None
) -> None:
    payload["response_cost"] = cost
    payload["model_map_information"] = {"model_map_value": model}
    assert on_the_wire(kwargs).get("costUSD") == (0 if is_free else None)


@pytest.mark.parametrize("cost", [None, 0.0])
@pytest.mark.parametrize(("model", "expected"), [(MADE_UP, None), (None, None), (FREE, 0)])
def test_a_call_without_tokens_is_free_only_where_somebody_said_so(
    kwargs: dict[str, Any], payload: dict[str, Any], cost: float | None, model: Any, expected: int | None
) -> None:
    payload |= {"prompt_tokens": 0, "completion_tokens": 0, "response_cost": cost}
    payload["model_map_information"] = {"model_map_value": model}
    assert on_the_wire(kwargs).get("costUSD") == expected


def test_a_price_that_litellm_could_not_apply_is_no_price_of_zero(
    kwargs: dict[str, Any], payload: dict[str, Any]
) -> None:
    payload |= {"response_cost": 0.0, "response_cost_failure_debug_info": {"error_str": "no price"}}
    payload["model_map_information"] = {"model_map_value": FREE}
    assert "costUSD" not in on_the_wire(kwargs)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"error_code": "429", "error_class": "RateLimitError"}, 0),
        ({"error_code": "500", "error_class": "InternalServerError"}, 0),
        ({"error_code": "408", "error_class": "Timeout"}, None),
        ({"error_code": "", "error_class": "ReadTimeout"}, None),
        ({"error_code": "499", "error_class": "CancelledError"}, None),
    ],
)
def test_a_failure_without_tokens_costs_nothing_unless_the_provider_may_have_worked(
    error: dict[str, str], expected: int | None
) -> None:
    kwargs = copy.deepcopy(PAYLOADS["flaky_retry_async_failure"])
    kwargs["standard_logging_object"]["error_information"] |= error
    assert on_the_wire(kwargs).get("costUSD") == expected


def test_what_is_not_priced_by_tokens_still_costs(kwargs: dict[str, Any], payload: dict[str, Any]) -> None:
    payload |= {"prompt_tokens": 0, "completion_tokens": 0, "response_cost": 0.04}
    assert on_the_wire(kwargs)["costUSD"] == Decimal("0.04")


def test_a_cache_hit_costs_nothing(kwargs: dict[str, Any], payload: dict[str, Any]) -> None:
    payload |= {"cache_hit": True, "response_cost": 0.00475}
    assert on_the_wire(kwargs)["costUSD"] == 0
