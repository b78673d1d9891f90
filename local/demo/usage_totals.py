"""Totals of each user's usage, from sources that must agree: the providers' journal, ledger and summaries.

Nothing here uses the service's own code, because that is what is checked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Context, Decimal, Inexact, localcontext
from typing import Any

from local.demo.calls import Call
from local.demo.expected_cost import PriceList, cost
from local.demo.expected_footprint import UNITS, footprint
from local.fake_providers.prompt_directives import Usage

Items = Sequence[Mapping[str, Any]]

EXACT = Context(prec=100, traps=[Inexact])
"""Sums are exact: a rounded one raises Inexact."""

TOLERANCE = Decimal("1e-12")
"""Dollars. LiteLLM's cost is a float, and may differ from the price list by its rounding."""

PER_MODEL = ("requests", "rated", "unrated")


@dataclass
class UsageTotals:
    """Totals, with the contract's names. `models` has the counts of each `provider/model`."""

    requests: int = 0
    failures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    unpriced: int = 0
    estimated: int = 0
    rated: int = 0
    unrated: int = 0
    costUSD: Decimal = Decimal(0)
    footprint: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    """By `energyKWh low`, `energyKWh high` and so on."""
    models: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, item: Mapping[str, Any]) -> None:
        """Add one event, by the contract's rules."""
        rated = "energyKWh" in item
        unrated = not rated and item["status"] == "success" and not item.get("cacheHit")
        self.requests += 1
        self.failures += item["status"] == "failure"
        self.tokens_in += int(item["tokens_in"])
        self.tokens_out += int(item["tokens_out"])
        self.tokens_cached += int(item.get("tokens_cached", 0))
        self.tokens_reasoning += int(item.get("tokens_reasoning", 0))
        self.unpriced += item.get("costUSD") is None
        self.estimated += bool(item.get("estimated"))
        self.rated += rated
        self.unrated += unrated
        self.costUSD += item.get("costUSD") or 0
        self._add_footprint(item)
        self.models[_model(item)] += Counter(requests=1, rated=rated, unrated=unrated)

    def merge(self, summary: Mapping[str, Any]) -> None:
        """Add one DailySummary, or a row of the platform, which has no models."""
        for one in fields(self):
            if one.name not in ("models", "footprint"):
                setattr(self, one.name, getattr(self, one.name) + summary[one.name])
        self._add_footprint(summary)
        for model, tally in summary.get("models", {}).items():
            self.models[model] += Counter({name: int(tally.get(name, 0)) for name in PER_MODEL})

    def _add_footprint(self, item: Mapping[str, Any]) -> None:
        for unit in UNITS:
            for bound, value in item.get(unit, {}).items():
                if value:
                    self.footprint[f"{unit} {bound}"] += value


ByUser = Mapping[str, UsageTotals]


def expected(calls: Iterable[Call], journal: Items, prices: PriceList, ledger: Items = ()) -> ByUser:
    """The totals that the ledger must have, from what the fake providers served for these calls.

    Only latencies are taken from the ledger: a provider cannot know how long the proxy took.
    """
    latencies = {_served(item): item["latency"] for item in ledger if not item.get("cacheHit")}
    return totals_of_events(event for call in calls for event in _events(call, journal, prices, latencies))


def _events(
    call: Call, journal: Items, prices: PriceList, latencies: Mapping[object, Decimal]
) -> Iterator[Mapping[str, Any]]:
    """The events of a call: one failure if any tries failed, and one success, from whichever provider.

    A response from LiteLLM's cache has the first response's tokens, no cost and no footprint: no provider saw
    it.
    """
    entries = [entry for entry in journal if entry["call"] == (call.again or call.id)]
    failed = [entry for entry in entries if entry["status"] != 200]
    served = [entry for entry in entries if entry["status"] == 200]
    for entry in failed[:1]:
        yield {**entry, "userId": call.user, "status": "failure", "costUSD": Decimal(0)}
    for entry in served:
        event = {**entry, "userId": call.user, "status": "success"}
        if call.again:
            yield event | {"cacheHit": True, "costUSD": Decimal(0)}
        else:
            usage = Usage(**{count.name: entry[count.name] for count in fields(Usage)})
            latency = latencies.get(_served(event), Decimal(0))
            price = {"costUSD": cost(prices, entry["provider"], entry["model"], usage)}
            yield event | price | footprint(_model(entry), usage.tokens_out, latency)


def _served(event: Mapping[str, Any]) -> object:
    """The key of a served request, the same in the journal and in the ledger."""
    names = ("userId", "provider", "model", "status", "tokens_in", "tokens_out")
    return tuple(event[name] for name in names)


def _model(event: Mapping[str, Any]) -> str:
    return f"{event['provider']}/{event['model']}"


def totals_of_events(events: Iterable[Mapping[str, Any]]) -> ByUser:
    """Add up events by user: the ledger's items, or those that are expected there."""
    users: dict[str, UsageTotals] = defaultdict(UsageTotals)
    with localcontext(EXACT):
        for event in events:
            users[event["userId"]].add(event)
    return users


def totals_of_summaries(summaries: Iterable[Mapping[str, Any]], name: str | None = None) -> ByUser:
    """Add up daily summaries, by user, or of all users under `name`. A demo may run past midnight."""
    users: dict[str, UsageTotals] = defaultdict(UsageTotals)
    with localcontext(EXACT):
        for summary in summaries:
            users[name or summary["userId"]].merge(summary)
    return users


def differences(name: str, found: ByUser, truth: ByUser, tolerance: Decimal = Decimal(0)) -> list[str]:
    """Return a line for each total in `found` that differs from `truth`."""
    wrong = []
    for user in sorted(found.keys() | truth.keys()):
        ours, theirs = found.get(user, UsageTotals()), truth.get(user, UsageTotals())
        for one in fields(UsageTotals):
            is_, should_be = getattr(ours, one.name), getattr(theirs, one.name)
            close = one.name == "costUSD" and abs(is_ - should_be) <= tolerance
            if is_ != should_be and not close:
                wrong.append(f"{name}: {user}: {one.name} is {_shown(is_)}, expected {_shown(should_be)}")
    return wrong


def _shown(value: object) -> object:
    return {key: _shown(of) for key, of in value.items()} if isinstance(value, dict) else str(value)
