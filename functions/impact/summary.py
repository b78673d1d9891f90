"""Sums over events: of a user's day, a shard, or the whole platform. Pure: no AWS."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal, localcontext
from typing import Any

from impact.decimals import EXACT, ZERO, stored
from impact.types import WireItem

MODELS_MAX = 200
"""Most models in a summary; the rest is summed under OTHER. With the longest names, in characters of four
bytes, so many fit into the 400 KB of an item."""
OTHER = "other/other"

EVENT_FIELDS = (
    *("userId", "ts", "provider", "model", "status", "cacheHit", "latency", "costEUR", "costUSD", "fxRate"),
    *("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning", "energyKWh", "co2eKg", "waterL"),
    "estimated",
)
"""The fields of an event that a summary needs."""

RANGES = {
    "energyKWh": ("energyLow", "energyHigh"),
    "co2eKg": ("co2eLow", "co2eHigh"),
    "waterL": ("waterLow", "waterHigh"),
}
"""The footprint: stored as `{"low", "high"}`, summed in fields of their own."""


@dataclass(slots=True)
class Figures:
    """The sums of a model, and of all models together."""

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
        """Add an event. Call it within `localcontext(EXACT)`: this is the rollup's inner loop."""
        self.requests += 1
        self.tokens_in += int(event["tokens_in"]["N"])
        self.tokens_out += int(event["tokens_out"]["N"])
        usd = event.get("costUSD")
        if usd:
            cost = Decimal(usd["N"])
            self.costUSD += cost
        if (eur := event.get("costEUR")) and "fxRate" not in event:
            self.costEUR += Decimal(eur["N"])
        elif usd:  # costEUR with an fxRate is ingest's own conversion of these dollars
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
    """Sums over events or summaries, with the contract's field names and units."""

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

    def _model(self, name: str) -> ModelTally:
        if name not in self.models and len(self.models) >= MODELS_MAX:
            name = OTHER
        try:
            return self.models[name]
        except KeyError:
            return self.models.setdefault(name, ModelTally())

    def merge(self, other: "Tally") -> None:
        """Add the sums of another tally."""
        with localcontext(EXACT):
            _add(self, other, _SUMS)
            self.latencyMax = max(self.latencyMax, other.latencyMax)
            self.firstTs = min(filter(None, (self.firstTs, other.firstTs)), default=None)
            self.lastTs = max(filter(None, (self.lastTs, other.lastTs)), default=None)
            for name, model in other.models.items():
                _add(self._model(name), model, _FIGURES)

    def as_fields(self) -> dict[str, Any]:
        """The sums under the contract's names."""
        return _shown(self) | {"models": {name: _shown(model) for name, model in self.models.items()}}

    @classmethod
    def from_fields(cls, values: dict[str, Any]) -> "Tally":
        """Read what `as_fields` wrote. Other fields (userId, asOf ...) are ignored."""
        models = {name: ModelTally(**_read(ModelTally, of)) for name, of in values.get("models", {}).items()}
        return cls(**_read(cls, values) | {"models": models})


_FIGURES = tuple(f.name for f in fields(Figures))
_SUMS = tuple(f.name for f in fields(Tally) if f.name not in ("models", "latencyMax", "firstTs", "lastTs"))
_BOUNDS = {name for bounds in RANGES.values() for name in bounds}


def _add(target: Figures, other: Figures, names: tuple[str, ...]) -> None:
    """Add sums, exactly if the context is EXACT. None and None stay None: not known."""
    for name in names:
        mine, theirs = getattr(target, name), getattr(other, name)
        if theirs is not None:
            setattr(target, name, theirs if mine is None else mine + theirs)


def _shown(figures: Figures) -> dict[str, Any]:
    shown = {f.name: getattr(figures, f.name) for f in fields(figures) if f.name not in _BOUNDS}
    if figures.rated or not figures.unrated:  # else nothing is known, which differs from zero
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
    """Read the fields that a class has: another release may have stored more, or fewer."""
    known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
    for name, (low, high) in RANGES.items():
        if name in values:
            known |= {low: values[name]["low"], high: values[name]["high"]}
    if "unconverted" not in values:  # stored before there were fx rates and footprints
        known["unconverted"] = values.get("costUSD", ZERO)
        known["unrated"] = values.get("requests", 0) - values.get("failures", 0)
    return known


class _EventSums:
    """Adds up events. The models are added up in the end: that costs less than for each event."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums = Tally()

    def add(self, event: WireItem) -> None:
        """Add an event, within `localcontext(EXACT)`."""
        sums = self._sums
        sums._model(event["provider"]["S"] + "/" + event["model"]["S"]).add(event)
        if event["status"]["S"] == "failure":
            sums.failures += 1
        if cached := event.get("tokens_cached"):
            sums.tokens_cached += int(cached["N"])
        if reasoning := event.get("tokens_reasoning"):
            sums.tokens_reasoning += int(reasoning["N"])
        if "costUSD" not in event and "costEUR" not in event:
            sums.unpriced += 1
        if event.get("estimated", _NO)["BOOL"]:
            sums.estimated += 1
        latency = Decimal(event["latency"]["N"])
        sums.latencyTotal += latency
        sums.latencyMax = max(sums.latencyMax, latency)
        ts = event["ts"]["S"]
        if sums.firstTs is None or ts < sums.firstTs:
            sums.firstTs = ts
        if sums.lastTs is None or ts > sums.lastTs:
            sums.lastTs = ts

    def tally(self) -> Tally:
        """Return the sums of the events so far, within `localcontext(EXACT)`."""
        figures = Figures()
        for model in self._sums.models.values():
            _add(figures, model, _FIGURES)
        return replace(self._sums, **{name: getattr(figures, name) for name in _FIGURES})


def tally(events: Iterable[WireItem]) -> Tally:
    """Sum events of any users."""
    sums = _EventSums()
    with localcontext(EXACT):
        for event in events:
            sums.add(event)
        return sums.tally()


def tallies_by_user(pages: Iterable[list[WireItem]]) -> Iterator[tuple[str, Tally]]:
    """Sum events user by user, in constant memory. The events of a user must follow each other."""
    user_id: str | None = None
    sums = _EventSums()
    for page in pages:
        finished = []
        with localcontext(EXACT):
            for event in page:
                if event["userId"]["S"] != user_id:
                    if user_id is not None:
                        finished.append((user_id, sums.tally()))
                    user_id, sums = event["userId"]["S"], _EventSums()
                sums.add(event)
        yield from finished
    if user_id is not None:
        with localcontext(EXACT):
            last = sums.tally()
        yield user_id, last
