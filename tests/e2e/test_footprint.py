"""EcoLogits' own results, through the whole path: posted over HTTP, rolled up, read from the API."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from ecologits.tracers.utils import llm_impacts
from ecologits.utils.range_value import RangeValue

from local.stack import Stack
from tests.e2e.api import Api, a_user, an_event, count

MODELS = {
    ("openai", "gpt-4o"): ("openai", "gpt-4o"),
    ("azure", "gpt-4o-mini"): ("openai", "gpt-4o-mini"),
    ("openai", "gpt-5"): ("openai", "gpt-5"),
    ("anthropic", "claude-haiku-4-5"): ("anthropic", "claude-haiku-4-5"),
    ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"): ("anthropic", "claude-sonnet-4-5-20250929"),
    ("vertex_ai", "claude-opus-4-5@20251101"): ("anthropic", "claude-opus-4-5-20251101"),
    ("gemini", "gemini-2.5-pro"): ("google_genai", "gemini-2.5-pro"),
    ("mistral", "mistral-large-latest"): ("mistralai", "mistral-large-latest"),
    ("groq", "openai/gpt-oss-120b"): ("huggingface_hub", "openai/gpt-oss-120b"),
    ("ollama", "llama3.1"): ("huggingface_hub", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
}
"""LiteLLM's provider and model, and those of EcoLogits: matched by hand."""

REQUESTS = [(400, 5.0), (37, 0.81), (1200, 62.25)]
"""Output tokens and seconds of the requests to each model."""


@pytest.fixture(scope="module")
def stack_of_zones(stack: Stack) -> Iterator[Stack]:
    yield stack
    stack.deploy(ElectricityZones="")


@pytest.mark.parametrize(
    "zone", ["FRA", *(pytest.param(zone, marks=pytest.mark.long) for zone in ("DEU", "USA"))]
)
def test_ten_models_in_three_zones(stack_of_zones: Stack, api: Api, zone: str) -> None:
    stack, user = stack_of_zones, a_user()
    zones = ",".join(f"{provider}={zone}" for provider in sorted({provider for provider, _ in MODELS}))
    stack.deploy(ElectricityZones=zones)
    events = [
        an_event(user, provider=provider, model=model, tokens_out=tokens, latency=seconds)
        for provider, model in MODELS
        for tokens, seconds in REQUESTS
    ]
    assert api.post(events).body["created"] == len(events)
    count(stack, events[0]["ts"][:10])
    [summary] = api.impact.usage(user)["days"]
    day: Any = summary
    assert (day["rated"], day["unrated"]) == (len(MODELS) * len(REQUESTS), 0)
    of_all: dict[str, list[Decimal]] = {}
    for (provider, model), (theirs, name) in MODELS.items():
        found = day["models"][f"{provider}/{model}"]
        for field, bounds in own_figures(theirs, name, zone).items():
            assert [found[field]["low"], found[field]["high"]] == bounds
            of_all[field] = [a + b for a, b in zip(of_all.get(field, [Decimal(0)] * 2), bounds, strict=True)]
    for field, bounds in of_all.items():
        assert [day[field]["low"], day[field]["high"]] == bounds


def own_figures(provider: str, model: str, zone: str) -> dict[str, list[Decimal]]:
    """The sum of EcoLogits' own results: low and high of each unit."""
    sums: dict[str, list[Decimal]] = {}
    for tokens, seconds in REQUESTS:
        impacts: Any = llm_impacts(provider, model, tokens, seconds, zone)
        for field, impact in (("energyKWh", "energy"), ("co2eKg", "gwp"), ("waterL", "wcf")):
            value = getattr(impacts, impact).value
            low, high = (value.min, value.max) if isinstance(value, RangeValue) else (value, value)
            former = sums.get(field, [Decimal(0), Decimal(0)])
            sums[field] = [former[0] + Decimal(repr(low)), former[1] + Decimal(repr(high))]
    return sums
