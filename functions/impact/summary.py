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
    *("userId", "ts", "provider", "model", "status", "latency", "costEUR", "costUSD"),
    *("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning"),
)
"""What a summary is made of."""


@dataclass(slots=True)
class ModelTally:
    """What one model did."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    costEUR: Decimal = ZERO
    costUSD: Decimal = ZERO


@dataclass(slots=True)
class Tally:
    """Sums over events. Field names and units are the contract's."""

    requests: int = 0
    failures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    costEUR: Decimal = ZERO
    costUSD: Decimal = ZERO
    unpriced: int = 0
    latencyTotal: Decimal = ZERO
    latencyMax: Decimal = ZERO
    models: dict[str, ModelTally] = field(default_factory=dict)
    firstTs: str | None = None
    lastTs: str | None = None

    def add(self, event: WireItem) -> None:
        """Count one event. Call it within `localcontext(EXACT)`: this is the rollup's inner loop."""
        tokens_in = int(event["tokens_in"]["N"])
        tokens_out = int(event["tokens_out"]["N"])
        model = self._model(event["provider"]["S"] + "/" + event["model"]["S"])
        self.requests += 1
        model.requests += 1
        self.tokens_in += tokens_in
        model.tokens_in += tokens_in
        self.tokens_out += tokens_out
        model.tokens_out += tokens_out
        if event["status"]["S"] == "failure":
            self.failures += 1
        if cached := event.get("tokens_cached"):
            self.tokens_cached += int(cached["N"])
        if reasoning := event.get("tokens_reasoning"):
            self.tokens_reasoning += int(reasoning["N"])
        usd = event.get("costUSD")
        eur = event.get("costEUR")
        if usd:
            cost = Decimal(usd["N"])
            self.costUSD += cost
            model.costUSD += cost
        if eur:
            cost = Decimal(eur["N"])
            self.costEUR += cost
            model.costEUR += cost
        if not usd and not eur:
            self.unpriced += 1
        latency = Decimal(event["latency"]["N"])
        self.latencyTotal += latency
        self.latencyMax = max(self.latencyMax, latency)
        ts = event["ts"]["S"]
        if self.firstTs is None or ts < self.firstTs:
            self.firstTs = ts
        if self.lastTs is None or ts > self.lastTs:
            self.lastTs = ts

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
            for name in _SUMS:
                setattr(self, name, getattr(self, name) + getattr(other, name))
            self.latencyMax = max(self.latencyMax, other.latencyMax)
            self.firstTs = min(filter(None, (self.firstTs, other.firstTs)), default=None)
            self.lastTs = max(filter(None, (self.lastTs, other.lastTs)), default=None)
            for model, theirs in other.models.items():
                ours = self._model(model)
                for name in _MODEL_SUMS:
                    setattr(ours, name, getattr(ours, name) + getattr(theirs, name))

    def as_fields(self) -> dict[str, Any]:
        """The sums under the contract's names, as they are stored and shown."""
        shown = {f.name: _shown(getattr(self, f.name)) for f in fields(self) if f.name != "models"}
        models = {
            name: {f.name: _shown(getattr(model, f.name)) for f in fields(model)}
            for name, model in self.models.items()
        }
        return {name: value for name, value in shown.items() if value is not None} | {"models": models}

    @classmethod
    def from_fields(cls, values: dict[str, Any]) -> "Tally":
        """Read back what `as_fields` wrote; other fields (userId, asOf ...) are left alone."""
        models = {name: ModelTally(**_known(ModelTally, of)) for name, of in values.get("models", {}).items()}
        return cls(**_known(cls, values) | {"models": models})


_SUMS = [f.name for f in fields(Tally) if f.name not in ("models", "latencyMax", "firstTs", "lastTs")]
_MODEL_SUMS = [f.name for f in fields(ModelTally)]


def _known(cls: type, values: dict[str, Any]) -> dict[str, Any]:
    """What a class knows of what was stored: another version of this code may have stored more, or less."""
    return {f.name: values[f.name] for f in fields(cls) if f.name in values}


def _shown(value: Any) -> Any:
    return stored(value) if isinstance(value, Decimal) else value


def tally(events: Iterable[WireItem]) -> Tally:
    """Sum events, whoever's they are."""
    result = Tally()
    with localcontext(EXACT):
        for event in events:
            result.add(event)
    return result


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
                        finished.append((user_id, current))
                    user_id, current = event["userId"]["S"], Tally()
                current.add(event)
        yield from finished
    if user_id is not None:
        yield user_id, current
