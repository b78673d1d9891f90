"""The footprint of a request: electricity, CO2e and water, as EcoLogits estimates them. Pure: no AWS.

EcoLogits (https://ecologits.ai, MPL-2.0) estimates by output tokens and model: see docs/methodology.md.
`ecologits_models.toml` maps LiteLLM's models to those of EcoLogits, by exact rules: nothing is guessed.
"""

import logging
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ecologits import __version__ as ecologits_version
from ecologits.electricity_mix_repository import electricity_mixes
from ecologits.model_repository import Model, models
from ecologits.tracers.utils import PROVIDER_CONFIG_MAP, llm_impacts
from ecologits.utils.range_value import RangeValue, ValueOrRange

from impact.decimals import stored
from impact.types import Item

# EcoLogits sets its own class for all new loggers, and warns of each model without a published architecture,
# which is most of them.
logging.setLoggerClass(logging.Logger)
logging.getLogger("ecologits").setLevel(logging.ERROR)

WORLD = "WOR"  # EcoLogits' zone for the average electricity mix of the world


@dataclass(frozen=True)
class ModelNames:
    """LiteLLM's model names in EcoLogits, from `ecologits_models.toml`."""

    same_names: Mapping[str, str]  # by LiteLLM provider: the EcoLogits provider with the same model names
    aliases: Mapping[str, str]  # by LiteLLM provider: the one whose entries it uses
    prefixes: Mapping[str, list[str]]  # by LiteLLM provider: prefixes of a name that do not change the model
    entries: Mapping[str, Mapping[str, str]]  # by LiteLLM provider and name: `<EcoLogits provider>/<name>`

    @classmethod
    def read(cls, path: Path) -> "ModelNames":
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return cls(data["same_names"], data["aliases"], data["prefixes"], data["models"])

    def find(self, provider: str, name: str) -> Model | None:
        """Return EcoLogits' model for a LiteLLM provider and name, or None without a rule."""
        host = self.host(provider)
        entry = self._entry(host, name)
        if entry is not None:
            provider, _, name = entry.partition("/")
            return models.find_model(provider, name)
        if host in self.same_names:
            return models.find_model(self.same_names[host], name)
        return None

    def host(self, provider: str) -> str:
        """Return the provider whose rules apply."""
        return self.aliases.get(provider, provider)

    def _entry(self, host: str, name: str) -> str | None:
        entries = self.entries.get(host, {})
        if name in entries:
            return entries[name]
        for prefix in self.prefixes.get(host, ()):
            if name.startswith(prefix):
                return entries.get(name.removeprefix(prefix))
        return None


MODEL_NAMES = ModelNames.read(Path(__file__).with_name("ecologits_models.toml"))


@dataclass(frozen=True)
class Footprints:
    """Estimates footprints by the stack's electricity zones."""

    zones: Mapping[str, str]
    """Electricity zone by LiteLLM provider: ISO 3166-1 alpha-3 (`SWE`), or `WOR`, as EcoLogits has them.
    A provider without one has the zone that EcoLogits assumes."""
    operator_zone: str | None
    """Zone of the operator, whose machines run Ollama. None: the world's average."""

    def unknown_zones(self) -> list[str]:
        """Return the configured zones that EcoLogits does not know: their requests are not estimated."""
        configured = {*self.zones.values(), self.operator_zone or WORLD}
        return sorted(zone for zone in configured if not _is_zone(zone))

    def of(self, item: Item) -> Item:
        """Estimate an event, by its fields or its item in the ledger.

        Returns `energyKWh` (kWh), `co2eKg` (kg CO2e) and `waterL` (litres), each with `low` and `high`, and
        `impactSource`, how they were estimated. Returns {} where nothing was generated, or the model or the
        electricity zone is unknown.
        """
        if not _has_output(item):
            return {}
        model = MODEL_NAMES.find(item["provider"], item["model"])
        if model is None:
            return {}
        zone = self._zone(item["provider"], model)
        if not _is_zone(zone):
            return {}
        figures = _figures(model, int(item["tokens_out"]), float(item["latency"]), zone)
        return figures | {"impactSource": _source(model, zone)} if figures else {}

    def _zone(self, provider: str, model: Model) -> str:
        host = MODEL_NAMES.host(provider)
        zone = self.zones.get(provider) or self.zones.get(host)
        if zone:
            return zone
        if host == "ollama":
            return self.operator_zone or WORLD
        return PROVIDER_CONFIG_MAP[model.provider.value].datacenter_location


def _has_output(item: Item) -> bool:
    """Tell whether tokens were generated. EcoLogits estimates nothing else, and zero would claim to know."""
    return item["status"] == "success" and not item.get("cacheHit") and item["tokens_out"] > 0


def _is_zone(zone: str) -> bool:
    return electricity_mixes.find_electricity_mix(zone) is not None


def _figures(model: Model, tokens_out: int, latency: float, zone: str) -> Item:
    """Ask EcoLogits. It must know the model and the zone: it logs and remembers unknown ones."""
    impacts = llm_impacts(model.provider.value, model.name, tokens_out, latency, zone)
    if impacts.energy is None or impacts.gwp is None or impacts.wcf is None:
        return {}
    values = {
        "energyKWh": impacts.energy.value,
        "co2eKg": impacts.gwp.value,
        "waterL": impacts.wcf.value,
    }
    ranges = {name: _low_and_high(value) for name, value in values.items()}
    if not all(math.isfinite(bound) for bounds in ranges.values() for bound in bounds):
        return {}
    return {name: {"low": _exact(low), "high": _exact(high)} for name, (low, high) in ranges.items()}


def _low_and_high(value: ValueOrRange) -> tuple[float, float]:
    if isinstance(value, RangeValue):
        return value.min, value.max
    return value, value


def _exact(number: float) -> Decimal:
    """Return a float with the digits that its repr shows."""
    return stored(Decimal(repr(number)))


def _source(model: Model, zone: str) -> str:
    """Say how the figures came about. Each event keeps it: a map would take half as much room again."""
    return f"EcoLogits {ecologits_version} {zone} {model.provider.value}/{model.name}"
