"""The figures of a user's use, from three sources that must agree: the fake providers' journal, the ledger,
and the summaries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from local.demo.calls import Call
from local.demo.prices import PriceList, cost
from local.provider.script import Usage

Journal = Sequence[Mapping[str, Any]]

# LiteLLM's cost is a float: what it lost to rounding is all that may lie between it and the price list.
TOLERANCE = Decimal("1e-12")


@dataclass
class Figures:
    """What was used, in the contract's words. `models` counts the requests of each `provider/model`."""

    requests: int = 0
    failures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    unpriced: int = 0
    costUSD: Decimal = Decimal(0)
    models: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, item: Mapping[str, Any]) -> None:
        """Count one event as the contract says; without the service's own code, which is what is checked."""
        self.requests += 1
        self.failures += item["status"] == "failure"
        self.tokens_in += int(item["tokens_in"])
        self.tokens_out += int(item["tokens_out"])
        self.tokens_cached += int(item.get("tokens_cached", 0))
        self.tokens_reasoning += int(item.get("tokens_reasoning", 0))
        self.unpriced += item.get("costUSD") is None
        self.costUSD += item.get("costUSD") or 0
        self.models[f"{item['provider']}/{item['model']}"] += 1

    def merge(self, summary: Mapping[str, Any]) -> None:
        """Add one DailySummary."""
        for one in fields(self):
            if one.name != "models":
                setattr(self, one.name, getattr(self, one.name) + summary[one.name])
        for model, tally in summary["models"].items():
            self.models[model] += int(tally["requests"])


ByUser = Mapping[str, Figures]


def expected(calls: Iterable[Call], journal: Journal, prices: PriceList) -> ByUser:
    """What the ledger has to hold, from what the fake providers served for these calls."""
    return counted(event for call in calls for event in _events(call, journal, prices))


def _events(call: Call, journal: Journal, prices: PriceList) -> Iterator[Mapping[str, Any]]:
    """One failure where any try failed, however many; one success, whichever try or provider it came from.

    An answer out of LiteLLM's cache has the first answer's tokens, and no cost: no provider saw it.
    """
    entries = [entry for entry in journal if entry["call"] == (call.again or call.id)]
    failed = [entry for entry in entries if entry["status"] != 200]
    served = [entry for entry in entries if entry["status"] == 200]
    for entry in failed[:1]:
        yield {**entry, "userId": call.user, "status": "failure", "costUSD": Decimal(0)}
    for entry in served:
        usage = Usage(**{count.name: entry[count.name] for count in fields(Usage)})
        price = Decimal(0) if call.again else cost(prices, entry["provider"], entry["model"], usage)
        yield {**entry, "userId": call.user, "status": "success", "costUSD": price}


def counted(events: Iterable[Mapping[str, Any]]) -> ByUser:
    """Figures of events: the ledger's items, or those that are expected there."""
    users: dict[str, Figures] = defaultdict(Figures)
    for event in events:
        users[event["userId"]].add(event)
    return users


def summed(summaries: Iterable[Mapping[str, Any]]) -> ByUser:
    """Figures of daily summaries, all days together: a demo may run past midnight."""
    users: dict[str, Figures] = defaultdict(Figures)
    for summary in summaries:
        users[summary["userId"]].merge(summary)
    return users


def differences(name: str, found: ByUser, truth: ByUser, tolerance: Decimal = Decimal(0)) -> list[str]:
    """Every figure of `found` that is not the truth, each in a line of its own."""
    wrong = []
    for user in sorted(found.keys() | truth.keys()):
        ours, theirs = found.get(user, Figures()), truth.get(user, Figures())
        for one in fields(Figures):
            is_, should_be = getattr(ours, one.name), getattr(theirs, one.name)
            close = one.name == "costUSD" and abs(is_ - should_be) <= tolerance
            if is_ != should_be and not close:
                wrong.append(f"{name}: {user}: {one.name} is {_shown(is_)}, expected {_shown(should_be)}")
    return wrong


def _shown(value: object) -> object:
    return dict(value) if isinstance(value, dict) else value
