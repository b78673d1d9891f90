"""What a set of events adds up to. Pure: the same code counts a user's day, a shard and a whole platform."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from decimal import Decimal, localcontext
from typing import Any

from impact.decimals import EXACT, ZERO, stored
from impact.types import WireItem

MODELS_MAX = 200
"""Most models that one summary names; the rest is summed under OTHER. With names of 64 and 256 characters of
four bytes each, that many stay under the 400 KB of an item."""
OTHER = "other/other"

EVENT_FIELDS = (
    *("userId", "ts", "provider", "model", "status", "cacheHit", "latency", "costEUR", "costUSD", "fxRate"),
    *("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning", "energyKWh", "co2eKg", "waterL"),
    "estimated",
)
"""What a summary is made of."""

RANGES = {
    "energyKWh": ("energyLow", "energyHigh"),
    "co2eKg": ("co2eLow", "co2eHigh"),
    "waterL": ("waterLow", "waterHigh"),
}
"""The footprint: shown as `{"low", "high"}`, summed in attributes of their own."""


@dataclass(slots=True)
class Figures:
    """What a model did, and what all of them did together."""

    requests: int = 0
    """Failures included."""
    tokens_in: int = 0
    """Prompt tokens, cached ones included."""
    tokens_out: int = 0
    """Completion tokens."""
    costEUR: Decimal = ZERO
    """What came in euros."""
    costUSD: Decimal = ZERO
    """All that came in dollars."""
    unconverted: Decimal = ZERO
    """Dollars that no euros stand for yet: those of events that had no costEUR of their own."""
    rated: int = 0
    unrated: int = 0
    """Requests of which a footprint is known; and of which none is, though something was generated."""
    energyLow: Decimal = ZERO
    energyHigh: Decimal = ZERO
    co2eLow: Decimal = ZERO
    co2eHigh: Decimal = ZERO
    waterLow: Decimal = ZERO
    waterHigh: Decimal = ZERO
    restoredM2: Decimal | None = None
    """Square metres of ecosystem that the midpoint of the CO2e stands for, if the operator says what does."""


@dataclass(slots=True)
class ModelTally(Figures):
    """Sums over the events of one model."""

    def add(self, event: WireItem) -> None:
        """Count one event. Call it within `localcontext(EXACT)`: this is the rollup's inner loop."""
        self.requests += 1
        self.tokens_in += int(event["tokens_in"]["N"])
        self.tokens_out += int(event["tokens_out"]["N"])
        usd = event.get("costUSD")
        if usd:
            cost = Decimal(usd["N"])
            self.costUSD += cost
        if (eur := event.get("costEUR")) and "fxRate" not in event:
            self.costEUR += Decimal(eur["N"])
        elif usd:  # euros with an fxRate are these dollars, as ingest knew their rate then
            self.unconverted += cost
        if energy := event.get("energyKWh"):
            self._add_footprint(energy["M"], event["co2eKg"]["M"], event["waterL"]["M"])
        elif event["status"]["S"] == "success" and not event.get("cacheHit", _NO)["BOOL"]:
            self.unrated += 1

    def _add_footprint(self, energy: WireItem, co2e: WireItem, water: WireItem) -> None:
        self.rated += 1
        self.energyLow += Decimal(energy["low"]["N"])
        self.energyHigh += Decimal(energy["high"]["N"])
        self.co2eLow += Decimal(co2e["low"]["N"])
        self.co2eHigh += Decimal(co2e["high"]["N"])
        self.waterLow += Decimal(water["low"]["N"])
        self.waterHigh += Decimal(water["high"]["N"])


_NO = {"BOOL": False}


@dataclass(slots=True)
class Tally(Figures):
    """Sums over events, or over summaries. Field names and units are the contract's."""

    failures: int = 0
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    unpriced: int = 0
    """Requests that came without any cost."""
    estimated: int = 0
    """Requests of which the sender guessed the tokens."""
    latencyTotal: Decimal = ZERO
    """Seconds."""
    latencyMax: Decimal = ZERO
    """Seconds."""
    firstTs: str | None = None
    """Start of the first request."""
    lastTs: str | None = None
    """Start of the last request."""
    markupEUR: Decimal | None = None
    """What the operator adds to the cost."""
    restorationFeeEUR: Decimal | None = None
    """What the operator adds for the restoration of ecosystems."""
    billedEUR: Decimal | None = None
    """The cost with both."""
    models: dict[str, ModelTally] = field(default_factory=dict)

    def add(self, event: WireItem) -> None:
        """Count one event within `localcontext(EXACT)`; after the last one, `close`."""
        self._model(event["provider"]["S"] + "/" + event["model"]["S"]).add(event)
        if event["status"]["S"] == "failure":
            self.failures += 1
        if cached := event.get("tokens_cached"):
            self.tokens_cached += int(cached["N"])
        if reasoning := event.get("tokens_reasoning"):
            self.tokens_reasoning += int(reasoning["N"])
        if "costUSD" not in event and "costEUR" not in event:
            self.unpriced += 1
        if event.get("estimated", _NO)["BOOL"]:
            self.estimated += 1
        latency = Decimal(event["latency"]["N"])
        self.latencyTotal += latency
        self.latencyMax = max(self.latencyMax, latency)
        ts = event["ts"]["S"]
        if self.firstTs is None or ts < self.firstTs:
            self.firstTs = ts
        if self.lastTs is None or ts > self.lastTs:
            self.lastTs = ts

    def close(self) -> "Tally":
        """Sum up the models: once for all events of a model costs less than for each."""
        for model in self.models.values():
            _add(self, model, _FIGURES)
        return self

    def _model(self, name: str) -> ModelTally:
        if name not in self.models and len(self.models) >= MODELS_MAX:
            name = OTHER
        try:
            return self.models[name]
        except KeyError:
            return self.models.setdefault(name, ModelTally())

    def merge(self, other: "Tally") -> None:
        """Count what another tally has counted."""
        with localcontext(EXACT):
            _add(self, other, _SUMS)
            self.latencyMax = max(self.latencyMax, other.latencyMax)
            self.firstTs = min(filter(None, (self.firstTs, other.firstTs)), default=None)
            self.lastTs = max(filter(None, (self.lastTs, other.lastTs)), default=None)
            for name, model in other.models.items():
                _add(self._model(name), model, _FIGURES)

    def as_fields(self) -> dict[str, Any]:
        """The sums under the contract's names, as they are stored and shown."""
        return _shown(self) | {"models": {name: _shown(model) for name, model in self.models.items()}}

    @classmethod
    def from_fields(cls, values: dict[str, Any]) -> "Tally":
        """Read back what `as_fields` wrote; other fields (userId, asOf ...) are left alone."""
        models = {name: ModelTally(**_read(ModelTally, of)) for name, of in values.get("models", {}).items()}
        return cls(**_read(cls, values) | {"models": models})


_FIGURES = tuple(f.name for f in fields(Figures))
_SUMS = tuple(f.name for f in fields(Tally) if f.name not in ("models", "latencyMax", "firstTs", "lastTs"))
_BOUNDS = {name for bounds in RANGES.values() for name in bounds}


def _add(target: Figures, other: Figures, names: tuple[str, ...]) -> None:
    """Add sums to sums, exactly where the context is. What neither knows (None) stays unknown."""
    for name in names:
        mine, theirs = getattr(target, name), getattr(other, name)
        if theirs is not None:
            setattr(target, name, theirs if mine is None else mine + theirs)


def _shown(figures: Figures) -> dict[str, Any]:
    shown = {f.name: getattr(figures, f.name) for f in fields(figures) if f.name not in _BOUNDS}
    if figures.rated or not figures.unrated:  # else nothing is known, which is not the same as zero
        shown |= {
            name: {"low": stored(getattr(figures, low)), "high": stored(getattr(figures, high))}
            for name, (low, high) in RANGES.items()
        }
    return {
        name: stored(value) if isinstance(value, Decimal) else value
        for name, value in shown.items()
        if value is not None and name != "models"
    }


def _read(cls: type[Figures], values: dict[str, Any]) -> dict[str, Any]:
    """What a class knows of what was stored: another version of this code may have stored more, or less."""
    known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
    for name, (low, high) in RANGES.items():
        if name in values:
            known |= {low: values[name]["low"], high: values[name]["high"]}
    if "unconverted" not in values:  # written before there were rates, and footprints
        known["unconverted"] = values.get("costUSD", ZERO)
        known["unrated"] = values.get("requests", 0) - values.get("failures", 0)
    return known


def tally(events: Iterable[WireItem]) -> Tally:
    """Sum events, whoever's they are."""
    result = Tally()
    with localcontext(EXACT):
        for event in events:
            result.add(event)
        return result.close()


def tallies_by_user(pages: Iterable[list[WireItem]]) -> Iterator[tuple[str, Tally]]:
    """Sum events user by user, in constant memory: those of one user must follow each other."""
    user_id: str | None = None
    current = Tally()
    for page in pages:
        finished = []
        with localcontext(EXACT):
            for event in page:
                if event["userId"]["S"] != user_id:
                    if user_id is not None:
                        finished.append((user_id, current.close()))
                    user_id, current = event["userId"]["S"], Tally()
                current.add(event)
        yield from finished
    if user_id is not None:
        with localcontext(EXACT):
            current.close()
        yield user_id, current
