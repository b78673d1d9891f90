"""The expected footprint of a request: EcoLogits' own result, for models that were looked up by hand."""

from __future__ import annotations

import logging
from decimal import Decimal

from ecologits.tracers.utils import llm_impacts

OPERATOR_COUNTRY = "FRA"
"""Country of the demo's own machines, which run Ollama."""

MODELS = {
    "openai/gpt-4o": ("openai", "gpt-4o", "USA"),
    "openai/gpt-4o-mini": ("openai", "gpt-4o-mini", "USA"),
    "openai/gpt-5-mini": ("openai", "gpt-5-mini", "USA"),
    "anthropic/claude-haiku-4-5": ("anthropic", "claude-haiku-4-5", "USA"),
    "groq/openai/gpt-oss-20b": ("huggingface_hub", "openai/gpt-oss-20b", "USA"),
    "ollama/llama3.1": ("huggingface_hub", "meta-llama/Meta-Llama-3.1-8B-Instruct", OPERATOR_COUNTRY),
}
"""EcoLogits' provider, model and electricity zone, by `provider/model` of an event. Others are unrated."""

UNITS = {"energyKWh": "energy", "co2eKg": "gwp", "waterL": "wcf"}
"""EcoLogits' names, by the contract's."""

# EcoLogits warns about each model whose parameters are not published.
logging.getLogger("ecologits").setLevel(logging.ERROR)


def footprint(model: str, tokens_out: int, latency: Decimal) -> dict[str, dict[str, Decimal]]:
    """Low and high of each unit, unrounded; empty for a model that is not in MODELS."""
    if model not in MODELS:
        return {}
    provider, name, zone = MODELS[model]
    impacts = llm_impacts(provider, name, tokens_out, float(latency), zone)
    values = {unit: getattr(impacts, its_name).value for unit, its_name in UNITS.items()}
    return {
        unit: {"low": _digits(getattr(value, "min", value)), "high": _digits(getattr(value, "max", value))}
        for unit, value in values.items()
    }


def _digits(value: float) -> Decimal:
    return Decimal(repr(value))
