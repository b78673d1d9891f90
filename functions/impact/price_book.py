"""The price book: what models cost by the operator's own prices. Pure: no AWS.

Prices are appended and never edited. Each append makes a new *revision* of the book, numbered from 1, with
one price or a whole file of them. So a day's prices follow from the day and the number of a revision.

Which price a model has on a day:

- A price is for one model (`openai/gpt-6`) or for all whose name begins so (`openai/gpt-6*`). Of those that
  fit, the longest wins; a model's own name wins over each beginning. Names are compared exactly, case too.
- Of prices for the same name, the one with the latest first day wins; of those, the one appended last.
- A price that is ended fits no more from its last day on: a shorter beginning may.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, Literal

from impact.decimals import ZERO
from impact.ledger_event import LedgerEvent
from impact.types import Item
from request_events.limits import DIGITS_MAX

PRICES_MAX = 500
"""Most prices in one revision: they fit an item, unless their names and sources are very long."""
REVISION_BYTES_MAX = 390_000
"""Bytes of the prices of a revision. An item of DynamoDB has 400 KB."""
PATTERN_MAX = 321
"""Characters of `provider/model`, with the longest of both."""
SOURCE_MAX = 200
"""Characters."""
RATE_MAX = Decimal(10**9)
ANY = "*"  # ends a name that stands for all that begin so

Currency = Literal["USD", "EUR"]
Only = Literal["unpriced", "all"]


@dataclass(frozen=True)
class Rates:
    """What is charged, in the price's currency. A part without a rate of its own is charged as the whole."""

    input: Decimal | None = None
    """A million prompt tokens that were neither read from a cache nor written to one."""
    cached: Decimal | None = None
    """A million prompt tokens that were read from a cache. Without it: as `input`."""
    cacheWrite: Decimal | None = None
    """A million prompt tokens that were written to a cache. Without it: as `input`."""
    output: Decimal | None = None
    """A million completion tokens that were not spent on reasoning."""
    reasoning: Decimal | None = None
    """A million completion tokens that were spent on reasoning. Without it: as `output`."""
    perRequest: Decimal | None = None
    """A request."""
    perSecond: Decimal | None = None
    """A second of latency: for models on machines of one's own."""

    def as_fields(self) -> Item:
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    @classmethod
    def from_fields(cls, values: Item) -> "Rates":
        return cls(**{f.name: Decimal(values[f.name]) for f in fields(cls) if f.name in values})

    def by_kind(self) -> dict[str, Decimal]:
        """The rate of each kind, written out."""
        whole_in, whole_out = self.input or ZERO, self.output or ZERO
        return {
            "input": whole_in,
            "cached": whole_in if self.cached is None else self.cached,
            "cacheWrite": whole_in if self.cacheWrite is None else self.cacheWrite,
            "output": whole_out,
            "reasoning": whole_out if self.reasoning is None else self.reasoning,
            "perRequest": self.perRequest or ZERO,
            "perSecond": self.perSecond or ZERO,
        }


@dataclass(slots=True)
class Usage:
    """What a price is multiplied with, by the names of its rates. Each token is in one kind."""

    input: int = 0
    cached: int = 0
    cacheWrite: int = 0
    output: int = 0
    reasoning: int = 0
    perRequest: int = 0
    perSecond: Decimal = ZERO

    def add(self, event: LedgerEvent) -> None:
        """Add an event. One that the proxy's own cache answered uses nothing."""
        if event.cacheHit is not None and event.cacheHit.BOOL:
            return
        tokens_in, tokens_out = event.tokens_in.N, event.tokens_out.N
        # A sender may report parts that are larger than the whole: each token is charged once.
        cached = min(event.tokens_cached.N if event.tokens_cached else 0, tokens_in)
        written = event.tokens_cache_write.N if event.tokens_cache_write else 0
        written = min(written, tokens_in - cached)
        reasoning = min(event.tokens_reasoning.N if event.tokens_reasoning else 0, tokens_out)
        self.input += tokens_in - cached - written
        self.cached += cached
        self.cacheWrite += written
        self.output += tokens_out - reasoning
        self.reasoning += reasoning
        self.perRequest += 1
        self.perSecond += event.latency.N


@dataclass(frozen=True)
class Price:
    """An entry of the book."""

    id: str
    """`7.3`: the third price of revision 7."""
    pattern: str
    first_day: str
    """It holds for requests of this day (in the reporting time zone) and later."""
    rates: Rates | None
    """None: the price of this name ends, and the first day has none any more."""
    currency: Currency = "USD"
    only: Only = "unpriced"
    """Which requests it prices: those that came without a cost, or `all`."""
    source: str = ""
    """Where the price is from, for people: `contract 17`."""

    def covers(self, event: LedgerEvent) -> bool:
        """Tell whether this is the price of an event of its model.

        A request that failed and used no token keeps the cost that was reported: its sender knew that it was
        not charged.
        """
        if event.costUSD is None and event.costEUR is None:
            return True
        has_used = event.status.S == "success" or event.tokens_in.N or event.tokens_out.N
        return self.only == "all" and bool(has_used)

    def cost(self, usage: Usage) -> Decimal:
        """Multiply, in the price's currency. Exact in a context that is."""
        cost = ZERO
        for kind, rate in self.rates.by_kind().items() if self.rates else ():
            amount = rate * getattr(usage, kind)
            cost += amount.scaleb(-6) if kind in TOKENS else amount
        return cost

    def as_fields(self) -> Item:
        what: Item = {"pattern": self.pattern, "from": self.first_day, "source": self.source}
        if self.rates is None:
            return what | {"ends": True}
        return what | {"currency": self.currency, "only": self.only, "rates": self.rates.as_fields()}

    @classmethod
    def from_fields(cls, price_id: str, values: Item) -> "Price":
        if values.get("ends"):
            return cls(price_id, values["pattern"], values["from"], None, source=values["source"])
        return cls(
            price_id,
            values["pattern"],
            values["from"],
            Rates.from_fields(values["rates"]),
            values["currency"],
            values["only"],
            values["source"],
        )


TOKENS = ("input", "cached", "cacheWrite", "output", "reasoning")  # rates for a million tokens


class InvalidPrice(ValueError):
    """A price that cannot be. `field` names what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field
        self.message = message


def check(price: Price) -> Price:
    """Return the price. Raises InvalidPrice."""
    for fault in faults(price):
        raise fault
    return price


def faults(price: Price) -> Iterator[InvalidPrice]:
    """Find all that is wrong with a price."""
    name = price.pattern.removesuffix(ANY)
    if len(price.pattern) > PATTERN_MAX or not ("/" in name or price.pattern == ANY):
        yield InvalidPrice("model", "must be provider/model as events have it, or begin so and end in *")
    elif not _is_text(price.pattern):
        yield InvalidPrice("model", "must be UTF-8")
    if len(price.source) > SOURCE_MAX or not _is_text(price.source):
        yield InvalidPrice("source", f"must be UTF-8 of at most {SOURCE_MAX} characters")
    if price.rates is None:
        return
    rates = price.rates.as_fields()
    if not rates:
        yield InvalidPrice("price", "has no rate: give input and output, per request or per second")
    for kind, rate in rates.items():
        if not (rate.is_finite() and 0 <= rate <= RATE_MAX):
            yield InvalidPrice(kind, f"must be a number from 0 to {RATE_MAX:,}")
        elif len(rate.as_tuple().digits) > DIGITS_MAX or rate.as_tuple().exponent < -DIGITS_MAX:
            yield InvalidPrice(kind, f"must have at most {DIGITS_MAX} digits")
    if rates.keys() & set(TOKENS):
        for kind in ("input", "output"):
            if kind not in rates:
                yield InvalidPrice(kind, "is missing: say 0 if it is free")


def check_revision(prices: Sequence[Price]) -> None:
    """Tell whether prices can be appended at once. Raises InvalidPrice."""
    if len(prices) > PRICES_MAX:
        raise InvalidPrice("file", f"has {len(prices):,} prices: at most {PRICES_MAX} are appended at once")
    # As JSON they are larger than in DynamoDB, which counts no punctuation.
    written = json.dumps([price.as_fields() for price in prices], ensure_ascii=False, default=str)
    if len(written.encode()) > REVISION_BYTES_MAX:
        raise InvalidPrice("file", "is too large to be appended at once: split it")


def _is_text(text: str) -> bool:
    """Tell whether DynamoDB can store a text: what a shell passes may be no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Revision:
    """What was appended at once."""

    number: int
    prices: tuple[Price, ...]
    recorded_at: str
    recorded_by: str

    @classmethod
    def of(cls, number: int, prices: Sequence[Item], recorded_at: str, recorded_by: str) -> "Revision":
        numbered = enumerate(prices, 1)
        made = tuple(Price.from_fields(f"{number}.{index}", fields) for index, fields in numbered)
        return cls(number, made, recorded_at, recorded_by)


@dataclass(frozen=True)
class DayPrices:
    """The prices in force on a day."""

    exact: dict[str, Price] = field(default_factory=dict)
    beginnings: tuple[tuple[str, Price], ...] = ()
    """The longest first."""

    @classmethod
    def of_prices(cls, prices: Iterable[Price]) -> "DayPrices":
        of_names = {price.pattern: price for price in prices if not price.pattern.endswith(ANY)}
        patterns = [price for price in prices if price.pattern.endswith(ANY)]
        patterns.sort(key=lambda price: len(price.pattern), reverse=True)
        return cls(of_names, tuple((price.pattern.removesuffix(ANY), price) for price in patterns))

    def __bool__(self) -> bool:
        return bool(self.exact or self.beginnings)

    def of(self, model: str) -> Price | None:
        """Return the price of `provider/model`, or None if the book has none."""
        if model in self.exact:
            return self.exact[model]
        return next((price for begins, price in self.beginnings if model.startswith(begins)), None)


NO_PRICES = DayPrices()


@dataclass(frozen=True)
class PriceBook:
    """All prices that were ever appended, by revision, in order."""

    revisions: tuple[Revision, ...] = ()

    @property
    def revision(self) -> int:
        """The number of the last revision; 0 for an empty book."""
        return self.revisions[-1].number if self.revisions else 0

    def on(self, day: str, revision: int) -> DayPrices:
        """Return the prices of a day, by the book as it was at a revision."""
        in_force: dict[str, Price] = {}
        for each in self.revisions:
            if each.number > revision:
                break
            for price in each.prices:
                former = in_force.get(price.pattern)
                if price.first_day <= day and (former is None or former.first_day <= price.first_day):
                    in_force[price.pattern] = price
        return DayPrices.of_prices([price for price in in_force.values() if price.rates is not None])

    def price(self, price_id: str) -> Price | None:
        """Find an entry by its id."""
        return next((p for revision in self.revisions for p in revision.prices if p.id == price_id), None)


@dataclass(frozen=True)
class DayBook:
    """Which prices a day is counted with."""

    revision: int
    prices: DayPrices = NO_PRICES
    first_revision: int | None = None
    """Of a final day that was corrected: the revision that it was final with at first."""
    first_prices: DayPrices | None = None

    @classmethod
    def of(cls, book: PriceBook, day: str, revisions: Sequence[int]) -> "DayBook":
        """`revisions`: the one that the day was final with at first, then that of each correction."""
        first, current = revisions[0], revisions[-1]
        if first == current:
            return cls(current, book.on(day, current))
        return cls(current, book.on(day, current), first, book.on(day, first))


NO_BOOK = DayBook(0)


def used(prices: Iterable[str]) -> tuple[str, ...]:
    """Order the ids of entries, each of them once."""
    return tuple(sorted(set(prices), key=lambda price_id: tuple(map(int, price_id.split(".")))))


def as_listed(revision: Revision, price: Price) -> dict[str, Any]:
    """An entry with who appended it and when."""
    return {
        "id": price.id,
        **price.as_fields(),
        "recordedAt": revision.recorded_at,
        "recordedBy": revision.recorded_by,
    }
