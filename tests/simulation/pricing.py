"""What events cost by the price book: the oracle's own arithmetic, with none of the code under test."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Event = dict[str, Any]
Entry = dict[str, Any]
"""A price as it is stored."""
MILLION = 10**6


@dataclass
class Cost:
    """What some events cost."""

    costUSD: Decimal = Decimal(0)
    euros: Decimal = Decimal(0)
    """By prices in euros."""
    unpriced: int = 0
    repriced: int = 0


@dataclass
class Book:
    """The revisions of the price book, and when each was appended."""

    revisions: list[list[Entry]] = field(default_factory=list)
    appended: list[float] = field(default_factory=list)

    def append(self, number: int, entries: list[Entry], now: float) -> None:
        assert number == len(self.revisions) + 1, f"revision {number} after {len(self.revisions)}"
        self.revisions.append(entries)
        self.appended.append(now)

    def newest_at(self, moment: float) -> int:
        return sum(appended <= moment for appended in self.appended)

    def cost(self, events: Iterable[Event], day: str, revision: int) -> Cost:
        """Price the events of a day, one by one."""
        cost = Cost()
        prices: dict[str, Entry | None] = {}
        for event in events:
            name = f"{event['provider']}/{event['model']}"
            if name not in prices:
                prices[name] = self._price(name, day, revision)
            price = prices[name]
            if price is not None and _is_covered(event, price):
                cost.repriced += 1
                if price["currency"] == "EUR":
                    cost.euros += _cost(event, price["rates"])
                else:
                    cost.costUSD += _cost(event, price["rates"])
            else:
                cost.costUSD += event.get("costUSD", 0)
                cost.unpriced += "costUSD" not in event
        return cost

    def _price(self, name: str, day: str, revision: int) -> Entry | None:
        """The longest pattern that fits and has not ended. Its latest day counts, then its latest entry."""
        entries = [entry for entries in self.revisions[:revision] for entry in entries]
        latest: dict[str, Entry] = {}
        for entry in sorted(entries, key=lambda entry: str(entry["from"])):  # a stable sort
            if entry["from"] <= day:
                latest[entry["pattern"]] = entry
        fitting = [
            entry
            for pattern, entry in latest.items()
            if not entry.get("ends")
            and (name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern)
        ]
        return max(fitting, key=lambda e: (e["pattern"] == name, len(e["pattern"])), default=None)


def _is_covered(event: Event, price: Entry) -> bool:
    if "costUSD" not in event:
        return True
    has_used = event["status"] != "failure" or event["tokens_in"] + event["tokens_out"] > 0
    return bool(price["only"] == "all" and has_used)


def _cost(event: Event, rates: dict[str, Any]) -> Decimal:
    if event.get("cacheHit"):
        return Decimal(0)
    asked, answered = event["tokens_in"], event["tokens_out"]
    cached = min(asked, event.get("tokens_cached", 0))
    written = min(asked - cached, event.get("tokens_cache_write", 0))
    reasoned = min(answered, event.get("tokens_reasoning", 0))
    tokens = Decimal(
        (asked - cached - written) * rates["input"]
        + cached * rates.get("cached", rates["input"])
        + written * rates.get("cacheWrite", rates["input"])
        + (answered - reasoned) * rates["output"]
        + reasoned * rates.get("reasoning", rates["output"])
    )
    return tokens / MILLION + Decimal(event["latency"] * rates.get("perSecond", 0))
