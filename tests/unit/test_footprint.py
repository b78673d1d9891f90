import logging
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ecologits.electricity_mix_repository import electricity_mixes
from ecologits.model_repository import Providers, models
from ecologits.tracers.utils import PROVIDER_CONFIG_MAP, llm_impacts
from ecologits.utils.range_value import RangeValue
from hypothesis import given
from hypothesis import strategies as st

from impact.footprint import MODEL_NAMES, Footprints
from impact.types import Item
from tests.events import NOON, entry_builder, event

DEFAULT = Footprints({}, None)
FIGURES = ("energyKWh", "co2eKg", "waterL")
HOSTS = ("azure", "azure_ai", "bedrock", "vertex_ai", "groq", "ollama")
ENTRIES = [
    (provider, name, entry)
    for provider, entries in MODEL_NAMES.entries.items()
    for name, entry in entries.items()
]
ECOLOGITS_PROVIDERS = {provider.value for provider in Providers}
KNOWN = [(provider, name) for provider, name, _ in ENTRIES] + [
    (provider, model.name)
    for provider, theirs in MODEL_NAMES.same_names.items()
    for model in models.list_models()
    if model.provider.value == theirs
]


def item(provider: str = "openai", model: str = "gpt-4o", **fields: Any) -> Item:
    """The ledger's item of an event: 400 output tokens in 5 s, unless the fields say otherwise."""
    base: dict[str, Any] = {"provider": provider, "model": model, "tokens_out": 400, "latency": 5}
    return entry_builder().build(event(**base | fields), NOON).item


def everywhere(zone: str) -> Footprints:
    providers = {provider for provider, _ in KNOWN}
    return Footprints(dict.fromkeys(providers, zone), zone)


# The rules


@pytest.mark.parametrize(("provider", "name", "entry"), ENTRIES)
def test_an_entry_leads_to_a_model_of_ecologits(provider: str, name: str, entry: str) -> None:
    model = MODEL_NAMES.find(provider, name)
    assert model is not None, f"EcoLogits has no {entry}: delete the entry"
    assert f"{model.provider.value}/{model.name}" == entry


@pytest.mark.parametrize(("provider", "name", "entry"), ENTRIES)
def test_an_entry_says_what_no_other_rule_says(provider: str, name: str, entry: str) -> None:
    theirs = MODEL_NAMES.same_names.get(provider, "")
    assert models.find_model(theirs, name) is None, "EcoLogits has the same name: delete the entry"
    prefixes = [prefix for prefix in MODEL_NAMES.prefixes.get(provider, ()) if name.startswith(prefix)]
    assert not prefixes, f"write it without the prefix {prefixes}"
    assert provider not in MODEL_NAMES.aliases


@pytest.mark.parametrize(("provider", "name", "entry"), ENTRIES)
def test_what_somebody_else_hosts_is_not_in_the_data_centre_of_mistral(
    provider: str, name: str, entry: str
) -> None:
    assert provider not in HOSTS or not entry.startswith("mistralai/")


def test_same_names_are_those_of_a_provider_of_ecologits() -> None:
    assert set(MODEL_NAMES.same_names.values()) == ECOLOGITS_PROVIDERS == set(PROVIDER_CONFIG_MAP)
    assert not any(MODEL_NAMES.same_names.get(host) == "mistralai" for host in HOSTS)


def test_shared_entries_and_prefixes_are_of_providers_that_have_entries() -> None:
    assert {*MODEL_NAMES.aliases.values(), *MODEL_NAMES.prefixes} <= MODEL_NAMES.entries.keys()
    assert not MODEL_NAMES.aliases.keys() & MODEL_NAMES.same_names.keys()


def test_a_prefix_ends_where_a_name_begins_and_starts_no_other_prefix() -> None:
    for prefixes in MODEL_NAMES.prefixes.values():
        assert all(re.fullmatch(r"[a-z-]+\.", prefix) for prefix in prefixes)
        assert len(set(prefixes)) == len(prefixes)
        assert not any(a != b and a.startswith(b) for a in prefixes for b in prefixes)


@pytest.mark.parametrize(
    ("provider", "name", "model"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("azure", "gpt-4o", "openai/gpt-4o"),
        ("azure", "gpt-35-turbo", "openai/gpt-35-turbo"),
        ("azure", "gpt-5.6-sol-2026-07-09", "openai/gpt-5.6-sol"),
        ("azure_ai", "gpt-oss-120b", "huggingface_hub/openai/gpt-oss-120b"),
        ("anthropic", "claude-opus-4-6-20260205", "anthropic/claude-opus-4-6"),
        ("mistral", "mistral-large-latest", "mistralai/mistral-large-latest"),
        ("gemini", "gemini-2.5-pro", "google_genai/gemini-2.5-pro"),
        ("vertex_ai", "gemini-2.5-pro", "google_genai/gemini-2.5-pro"),
        ("vertex_ai", "claude-sonnet-4-5@20250929", "anthropic/claude-sonnet-4-5-20250929"),
        ("cohere_chat", "command-a-03-2025", "cohere/command-a-03-2025"),
        ("bedrock", "anthropic.claude-opus-4-6-v1", "anthropic/claude-opus-4-6"),
        ("bedrock", "eu.anthropic.claude-opus-4-6-v1", "anthropic/claude-opus-4-6"),
        ("bedrock", "us-gov.openai.gpt-oss-20b-1:0", "huggingface_hub/openai/gpt-oss-20b"),
        ("groq", "openai/gpt-oss-120b", "huggingface_hub/openai/gpt-oss-120b"),
        ("ollama", "llama3.1", "huggingface_hub/meta-llama/Meta-Llama-3.1-8B-Instruct"),
        ("ollama_chat", "llama3.1", "huggingface_hub/meta-llama/Meta-Llama-3.1-8B-Instruct"),
    ],
)
def test_the_model_that_a_name_stands_for(provider: str, name: str, model: str) -> None:
    assert DEFAULT.of(item(provider, name))["impactSource"].split(" ", 3)[3] == model


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("openai", "no-such-model"),
        ("no-such-provider", "gpt-4o"),
        ("unknown", "unknown"),
        ("openai", "gpt-4o-"),
        ("openai", "GPT-4o"),
        ("openai", "gpt-4o "),
        ("openai", "my-gpt-4o"),
        ("openai", "openai/gpt-4o"),
        ("OpenAI", "gpt-4o"),
        ("mistralai", "mistral-large-latest"),
        ("groq", "gpt-4o"),
        ("azure", "mistral-large-latest"),
        ("bedrock", "us.us.anthropic.claude-opus-4-6-v1"),
        ("bedrock", "ca.anthropic.claude-opus-4-6-v1"),
        ("bedrock", "us."),
        ("anthropic", "us.claude-opus-4-6"),
        ("ollama", "gpt-oss:120b-cloud"),
    ],
)
def test_no_other_name_is_rated(provider: str, name: str) -> None:
    assert DEFAULT.of(item(provider, name)) == {}


# The figures

GRAMS_AND_MILLILITRES = Decimal(1000)


@pytest.mark.parametrize(
    ("provider", "model", "zone", "figure", "low", "high"),
    [
        ("openai", "gpt-4o", "WOR", "energyKWh", "0.566", "0.951"),
        ("openai", "gpt-4o", "WOR", "co2eKg", "0.272", "0.449"),
        ("openai", "gpt-4o", "WOR", "waterL", "2.48", "4.17"),
        ("openai", "gpt-4o", "FRA", "co2eKg", "0.036", "0.052"),
        ("openai", "gpt-4o", "DEU", "co2eKg", "0.200", "0.327"),
        ("openai", "gpt-4o", "USA", "co2eKg", "0.231", "0.379"),
        ("openai", "gpt-4o-mini", "WOR", "energyKWh", "0.0255", "0.0310"),
        ("mistral", "mistral-large-latest", "WOR", "energyKWh", "1.069", "1.069"),
        ("mistral", "mistral-large-latest", "WOR", "co2eKg", "0.516", "0.516"),
        ("bedrock", "meta.llama3-8b-instruct-v1:0", "WOR", "energyKWh", "0.0232", "0.0243"),
    ],
)
def test_figures_of_400_tokens_in_5_seconds(
    provider: str, model: str, zone: str, figure: str, low: str, high: str
) -> None:
    """In Wh, g and mL, as a person has read them from EcoLogits."""
    value = Footprints({provider: zone}, None).of(item(provider, model))[figure]
    assert (value["low"] * GRAMS_AND_MILLILITRES).quantize(Decimal(low)) == Decimal(low)
    assert (value["high"] * GRAMS_AND_MILLILITRES).quantize(Decimal(high)) == Decimal(high)


@pytest.mark.parametrize("zone", ["WOR", "FRA", "USA"])
@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o"),
        ("openai", "gpt-4o-mini"),
        ("openai", "gpt-5-pro"),
        ("anthropic", "claude-sonnet-4-5"),
        ("anthropic", "claude-opus-5-5"),
        ("gemini", "gemini-2.5-pro"),
        ("mistral", "mistral-large-latest"),
        ("cohere", "command-r-08-2024"),
        ("groq", "openai/gpt-oss-120b"),
        ("ollama", "llama3:70b"),
    ],
)
def test_every_digit_is_that_of_ecologits(provider: str, model: str, zone: str) -> None:
    footprint = Footprints({provider: zone}, None).of(
        item(provider, model, tokens_out=1234, latency=Decimal("17.25"))
    )
    theirs, _, name = footprint["impactSource"].split(" ", 3)[3].partition("/")
    impacts = llm_impacts(theirs, name, 1234, 17.25, zone)
    for figure, impact in zip(FIGURES, (impacts.energy, impacts.gwp, impacts.wcf), strict=True):
        assert impact
        value = impact.value
        low, high = (value.min, value.max) if isinstance(value, RangeValue) else (value, value)
        assert (float(footprint[figure]["low"]), float(footprint[figure]["high"])) == (low, high)
        assert footprint[figure] == {"low": Decimal(repr(low)), "high": Decimal(repr(high))}


def test_a_figure_says_how_it_came_about() -> None:
    footprint = DEFAULT.of(item())
    assert footprint.keys() == {*FIGURES, "impactSource"}
    assert footprint["impactSource"] == "EcoLogits 0.11.3 USA openai/gpt-4o"


@pytest.mark.parametrize("fields", [{"status": "failure"}, {"cacheHit": True}, {"tokens_out": 0}])
def test_where_nothing_was_generated_nothing_is_rated(fields: dict[str, Any]) -> None:
    assert DEFAULT.of(item(**fields)) == {}
    assert DEFAULT.of(item(cacheHit=False)) != {}


# The zones


def zone_of(footprints: Footprints, provider: str, model: str) -> str | None:
    source = footprints.of(item(provider, model)).get("impactSource")
    return source and source.split(" ")[2]


def test_the_zone_is_the_one_set_for_the_provider() -> None:
    footprints = Footprints({"azure": "SWE"}, "FRA")
    assert zone_of(footprints, "azure", "gpt-4o") == "SWE"
    assert zone_of(footprints, "openai", "gpt-4o") == "USA"


@pytest.mark.parametrize("provider", MODEL_NAMES.same_names)
def test_without_one_it_is_that_of_ecologits(provider: str) -> None:
    theirs = MODEL_NAMES.same_names[provider]
    name = next(model.name for model in models.list_models() if model.provider.value == theirs)
    footprint = DEFAULT.of(item(provider, name))
    impacts = llm_impacts(theirs, name, 400, 5.0)
    assert footprint["impactSource"].split(" ")[2] == ("SWE" if provider == "mistral" else "USA")
    assert impacts.gwp
    value = impacts.gwp.value
    assert float(footprint["co2eKg"]["low"]) == (value.min if isinstance(value, RangeValue) else value)


@pytest.mark.parametrize("provider", ["ollama", "ollama_chat"])
def test_ollama_runs_where_the_operator_is(provider: str) -> None:
    assert zone_of(Footprints({}, None), provider, "llama3.1") == "WOR"
    assert zone_of(Footprints({}, "FRA"), provider, "llama3.1") == "FRA"
    assert zone_of(Footprints({"ollama": "DEU"}, "FRA"), provider, "llama3.1") == "DEU"


def test_ollama_chat_may_have_a_zone_of_its_own() -> None:
    footprints = Footprints({"ollama": "DEU", "ollama_chat": "SWE"}, "FRA")
    assert zone_of(footprints, "ollama_chat", "llama3.1") == "SWE"
    assert zone_of(footprints, "ollama", "llama3.1") == "DEU"


def test_what_has_an_unknown_zone_is_not_rated_and_the_rest_is() -> None:
    footprints = Footprints({"azure": "SE", "bedrock": "DEU"}, "fra")
    assert footprints.unknown_zones() == ["SE", "fra"]
    assert footprints.of(item("azure", "gpt-4o")) == {}
    assert footprints.of(item("ollama", "llama3.1")) == {}
    assert zone_of(footprints, "openai", "gpt-4o") == "USA"
    assert zone_of(footprints, "bedrock", "openai.gpt-5.5") == "DEU"
    assert DEFAULT.unknown_zones() == []


# Any event

TOKENS = st.integers(0, 10**12)
SECONDS = st.integers(0, 10**13).map(lambda microseconds: Decimal(microseconds) / 10**6)
NAMED = st.tuples(st.text(min_size=1, max_size=64), st.text(min_size=1, max_size=256))
ZONES = st.sampled_from([mix.zone for mix in electricity_mixes.list_electricity_mixes()])


@given(st.sampled_from(KNOWN), TOKENS, SECONDS, ZONES)
def test_a_known_model_has_figures_that_hold(
    model: tuple[str, str], tokens_out: int, latency: Decimal, zone: str
) -> None:
    footprint = everywhere(zone).of(
        {
            "provider": model[0],
            "model": model[1],
            "status": "success",
            "tokens_out": tokens_out,
            "latency": latency,
        }
    )
    assert bool(footprint) == (tokens_out > 0)
    for figure in FIGURES if footprint else ():
        low, high = footprint[figure]["low"], footprint[figure]["high"]
        assert 0 < low <= high < Decimal("Infinity")


@given(st.sampled_from(KNOWN), TOKENS, TOKENS, SECONDS)
def test_more_tokens_never_take_less(model: tuple[str, str], one: int, other: int, latency: Decimal) -> None:
    base = {"provider": model[0], "model": model[1], "status": "success", "latency": latency}
    fewer = DEFAULT.of(base | {"tokens_out": min(one, other)})
    more = DEFAULT.of(base | {"tokens_out": max(one, other)})
    for figure in FIGURES if fewer else ():
        assert fewer[figure]["low"] <= more[figure]["low"]
        assert fewer[figure]["high"] <= more[figure]["high"]


@given(
    NAMED,
    TOKENS,
    SECONDS,
    st.dictionaries(st.text(), st.text()),
    st.none() | st.text(),
    st.sampled_from(["success", "failure"]),
)
def test_no_event_and_no_zone_raises(
    model: tuple[str, str],
    tokens_out: int,
    latency: Decimal,
    zones: dict[str, str],
    operator_zone: str | None,
    status: str,
) -> None:
    base = {"model": model[1], "status": status, "tokens_out": tokens_out, "latency": latency}
    footprints = Footprints(zones, operator_zone)
    for provider in (model[0], "bedrock", "openai", "ollama"):
        assert footprints.of(base | {"provider": provider}).keys() in (set(), {*FIGURES, "impactSource"})
    footprints.unknown_zones()


def test_a_figure_that_is_no_number_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    impacts = llm_impacts("openai", "gpt-4o", 400, 5.0)
    assert impacts.wcf
    impacts.wcf.value = float("inf")
    monkeypatch.setattr("impact.footprint.llm_impacts", lambda *_: impacts)
    assert DEFAULT.of(item()) == {}
    impacts.wcf = None
    assert DEFAULT.of(item()) == {}


# EcoLogits within a service


def test_ecologits_changes_no_logger_and_logs_nothing() -> None:
    """In a process of its own: the import is what is tested."""
    script = """
import logging
logging.basicConfig(level=logging.DEBUG)
from impact.footprint import Footprints
base = {"status": "success", "tokens_out": 400, "latency": 5, "provider": "openai"}
assert Footprints({}, None).of(base | {"model": "gpt-4o"})
assert not Footprints({}, None).of(base | {"model": "no-such-model"})
assert not Footprints({"openai": "SE"}, None).of(base | {"model": "gpt-4o"})
assert logging.getLoggerClass() is logging.Logger
assert type(logging.getLogger("of.the.service")) is logging.Logger
"""
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env={"PYTHONPATH": f"{root / 'functions'}:{root / 'layers/callback'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_an_unknown_model_or_zone_is_never_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """EcoLogits would remember its name for ever."""

    def remember(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(logging.getLogger("ecologits"), "warning_once", remember)
    assert DEFAULT.of(item("openai", "no-such-model")) == {}
    assert Footprints({"openai": "SE"}, None).of(item()) == {}
