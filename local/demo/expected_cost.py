"""The expected cost of a request, from the price list in LiteLLM's package, without LiteLLM's code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from local.fake_providers.prompt_directives import Usage
from local.litellm_proxy import ENVIRONMENT

PriceList = Mapping[str, Mapping[str, Any]]

FREE = "ollama"
"""Models on your own machine cost nothing, whether the list has them or not."""


def price_list() -> PriceList:
    """Load the list that the proxy uses with LITELLM_LOCAL_MODEL_COST_MAP."""
    [path] = ENVIRONMENT.glob("lib/python*/site-packages/litellm/model_prices_and_context_window_backup.json")
    prices: PriceList = json.loads(path.read_text(), parse_float=Decimal, parse_int=Decimal)
    return prices


def cost(prices: PriceList, provider: str, model: str, usage: Usage) -> Decimal | None:
    """Compute the cost in US dollars; None for a model without a price."""
    if provider == FREE:
        return Decimal(0)
    price = prices.get(f"{provider}/{model}") or prices.get(model)
    if price is None:
        return None
    plain: Decimal = price["input_cost_per_token"]
    uncached = usage.tokens_in - usage.tokens_cached - usage.tokens_cache_write
    total: Decimal = (
        uncached * plain
        + usage.tokens_cached * price.get("cache_read_input_token_cost", plain)
        + usage.tokens_cache_write * price.get("cache_creation_input_token_cost", plain)
        + usage.tokens_out * price["output_cost_per_token"]
    )
    return total
