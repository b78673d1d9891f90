"""What a call cost in US dollars, by what LiteLLM reports of it."""

from itertools import repeat
from typing import Any

from request_events.limits import COST_MAX
from request_events.payload_values import as_dict, as_label, as_number, as_string, as_tokens

SUCCESS, FAILURE = "success", "failure"

COST_MIN = 1e-21  # a smaller float can have more decimal places than an event may, and is no price
VALUES_MAX = 1000  # how many values of a model's entry in LiteLLM's price map are read

CLIENT_CLOSED_REQUEST = "499"
STREAM_HAD_BEGUN = "stream_had_begun"
"""A field of the callback's own in a payload: the provider had answered before the stream ended."""
_TIME_OUTS = ("408", "504", CLIENT_CLOSED_REQUEST)


def cost_of(payload: dict[str, Any]) -> float | None:
    """US dollars, as LiteLLM's float: JSON holds its `repr`, which is exact. None where nobody knows."""
    if payload.get("cache_hit") is True:
        return 0
    known = payload.get("response_cost")
    cost = as_number(known)
    if known is None or cost == 0:
        return 0 if _is_free(payload) or _is_uncharged_failure(payload) else None
    return cost if cost is not None and COST_MIN <= cost <= COST_MAX else None


def status_of(payload: dict[str, Any]) -> str:
    return FAILURE if as_string(payload.get("status")) == FAILURE else SUCCESS


def has_usage(payload: dict[str, Any]) -> bool:
    """Whether a call has tokens or a cost."""
    counts = (as_tokens(payload.get(name)) or 0 for name in ("prompt_tokens", "completion_tokens"))
    return any(counts) or (as_number(payload.get("response_cost")) or 0) > 0


def _is_uncharged_failure(payload: dict[str, Any]) -> bool:
    """Whether no provider charges a failed call. After a time-out, or if the client left, it may."""
    error = as_dict(payload.get("error_information"))
    code, name = as_label(error.get("error_code")) or "", as_label(error.get("error_class")) or ""
    is_open = code in _TIME_OUTS or "timeout" in name.lower() or "cancelled" in name.lower()
    may_be_charged = is_open or payload.get(STREAM_HAD_BEGUN) is True
    return status_of(payload) == FAILURE and not has_usage(payload) and not may_be_charged


def _is_free(payload: dict[str, Any]) -> bool:
    """Whether somebody declared the model to be free: LiteLLM's cost is also 0 where it knows no price.

    In both cases the model's unit prices are 0. Those that LiteLLM makes up are the int 0; in its price map
    and in an operator's configuration they are floats (litellm 1.106.2 and 1.110.2).
    """
    if payload.get("response_cost_failure_debug_info"):
        return False
    model = as_dict(as_dict(payload.get("model_map_information")).get("model_map_value"))
    prices = _unit_prices(model, VALUES_MAX)
    return any(isinstance(price, float) for price in prices) and not any(prices)


def _unit_prices(model: dict[str, Any], budget: int) -> list[int | float]:
    """Every number under a name with `cost` in it, also within lists of tiers.

    An empty list where the model has more values than `budget`.
    """
    prices: list[int | float] = []
    inside: list[tuple[Any, bool]] = [(model, False)]
    for value, is_price in inside:  # the loop appends to it
        budget -= len(value)
        if budget < 0:
            return []
        for name, each in value.items() if isinstance(value, dict) else zip(repeat(""), value, strict=False):
            if each is None:  # most of them
                continue
            named = is_price or (isinstance(name, str) and "cost" in name)
            if isinstance(each, (dict, list)):
                inside.append((each, named))
            elif named and (price := as_number(each)) is not None:
                prices.append(price)
    return prices
