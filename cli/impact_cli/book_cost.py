"""What requests cost by the price book, for `impact explain`: the book's rules, written a second time. Pure.

It uses neither the choice of a price nor the multiplication of `impact.price_book`. So it also checks them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from impact.decimals import ZERO
from impact.price_book import ANY, Price, PriceBook
from impact.types import Item

MILLION = 1_000_000
TOKENS = {
    "input": "input",
    "cached": "input",
    "cacheWrite": "input",
    "output": "output",
    "reasoning": "output",
}
"""Kinds of tokens, each with the kind whose rate it has without one of its own."""


@dataclass(frozen=True)
class Entries:
    """The entries of the price book that a day is counted with, in the order in which they were appended."""

    day: str
    now: Sequence[Price] = ()
    at_first: Sequence[Price] | None = None
    """Of a final day that was corrected: the entries that it was final with at first."""

    @classmethod
    def of(cls, book: PriceBook, day: str, revisions: Sequence[int]) -> "Entries":
        """`revisions`: the one that the day was final with at first, then that of each correction."""
        first, *corrected = revisions
        if not corrected:
            return cls(day, _until(book, first))
        return cls(day, _until(book, corrected[-1]), _until(book, first))


def _until(book: PriceBook, number: int) -> list[Price]:
    return [price for revision in book.revisions if revision.number <= number for price in revision.prices]


def price_of(model: str, day: str, entries: Sequence[Price]) -> Price | None:
    """The longest pattern; of those of one pattern the latest first day; of those the last appended."""
    of_patterns = {}
    for price in sorted(entries, key=lambda price: price.first_day):  # stable
        if price.first_day <= day:
            of_patterns[price.pattern] = price
    fitting = [price for price in of_patterns.values() if price.rates is not None and _fits(price, model)]
    return max(fitting, key=lambda p: (not p.pattern.endswith(ANY), len(p.pattern)), default=None)


def _fits(price: Price, model: str) -> bool:
    if price.pattern.endswith(ANY):
        return model.startswith(price.pattern[: -len(ANY)])
    return model == price.pattern


def why_kept(event: Item, price: Price) -> str | None:
    """Why a request keeps the cost that was reported. None: it costs what the price says."""
    if "costUSD" not in event and "costEUR" not in event:
        return None
    if price.only == "unpriced":
        return "a cost was reported"
    has_failed = event["status"] != "success"
    return "failed without tokens" if has_failed and not event["tokens_in"] + event["tokens_out"] else None


@dataclass(frozen=True)
class Part:
    """One multiplication."""

    kind: str
    """A name of the price's rates: `input`."""
    amount: Decimal
    rate: Decimal
    unit: str
    """`USD` or `EUR`."""

    @property
    def cost(self) -> Decimal:
        """Exact in a context that is."""
        product = self.amount * self.rate
        return product / MILLION if self.kind in TOKENS else product

    def __str__(self) -> str:
        by = f" / {MILLION:,}" if self.kind in TOKENS else ""
        return f"{self.amount:,f} x {self.rate:f} {self.unit}{by}"


def parts(events: Sequence[Item], price: Price) -> Iterator[Part]:
    """Multiply what requests of one model used with the rates that the price has."""
    assert price.rates is not None
    rates = price.rates.as_fields()
    used = [_used(event) for event in events if not event.get("cacheHit")]
    for kind in (*TOKENS, "perRequest", "perSecond"):
        amount = sum((one[kind] for one in used), ZERO)
        rate = rates.get(kind, rates.get(TOKENS.get(kind, kind)))
        if amount and rate is not None:
            yield Part(kind, amount, rate, price.currency)


def cost_of(event: Item, price: Price) -> Decimal:
    """A request's cost, in the price's currency. Exact in a context that is."""
    return sum((part.cost for part in parts([event], price)), ZERO)


def _used(event: Item) -> dict[str, Decimal]:
    """Each token is of one kind, also where a sender reports parts that are larger than the whole."""
    tokens_in, tokens_out = Decimal(event["tokens_in"]), Decimal(event["tokens_out"])
    cached = min(tokens_in, Decimal(event.get("tokens_cached", 0)))
    written = min(tokens_in - cached, Decimal(event.get("tokens_cache_write", 0)))
    reasoning = min(tokens_out, Decimal(event.get("tokens_reasoning", 0)))
    return {
        "input": tokens_in - cached - written,
        "cached": cached,
        "cacheWrite": written,
        "output": tokens_out - reasoning,
        "reasoning": reasoning,
        "perRequest": Decimal(1),
        "perSecond": Decimal(event["latency"]),
    }
