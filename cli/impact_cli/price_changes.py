"""What the price book would be with further prices: what each of them replaces, and where it does not hold.

Pure: no AWS.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from impact.calendar import day_before
from impact.price_book import ANY, TOKENS, DayPrices, Price, PriceBook, Revision
from impact_cli.records import text
from impact_cli.table import visible

LISTED_MAX = 5
"""Most names in a line."""
NAMES = {"cacheWrite": "cache write", "perRequest": "per request", "perSecond": "per second"}
ONLY = {"unpriced": "requests without a cost", "all": "all requests"}


@dataclass(frozen=True)
class Change:
    """A price that is to be appended, beside the book as it is without it."""

    price: Price
    replaces: Price | None
    """The price of the same name that would be in force on its first day."""
    shorter: Price | None
    """The price that would fit its name otherwise."""
    longer: tuple[Price, ...]
    """Prices of that day which win over it, for the models that they fit."""
    following: Price | None
    """The entry of the same name from whose first day on this one does not hold."""

    @property
    def is_same(self) -> bool:
        """Whether the same is in force already."""
        return self.replaces is not None and self.replaces == replace(
            self.price,
            id=self.replaces.id,
            first_day=self.replaces.first_day,
            source=self.replaces.source,
        )

    def lines(self) -> list[str]:
        """Say what would change. What is not so simple is indented."""
        price, name = self.price, visible(self.price.pattern)
        if price.rates is None:
            first = f"- {name} ends: its last day is {day_before(price.first_day)}"
        else:
            first = f"{'~' if self.replaces else '+'} {name} from {price.first_day}: {described(price)}"
        return [first, *(f"    {line}" for line in self._notes())]

    def _notes(self) -> Iterable[str]:
        price = self.price
        if self.replaces:
            verb = "ends" if price.rates is None else "replaces"
            yield f"{verb} {_entry(self.replaces)}: {described(self.replaces)}"
        if self.shorter:
            verb = "then" if price.rates is None else "wins over"
            yield f"{verb} {_name(self.shorter)}"
        elif price.rates is None:
            yield "then no price of the book fits it"
        if self.longer and price.rates is not None:
            names = [_name(longer) for longer in self.longer[:LISTED_MAX]]
            more = len(self.longer) - LISTED_MAX
            names += [f"{more:,} more"] if more > 0 else []
            yield f"not for what fits {', '.join(names)}: longer names win"
        if self.following:
            last = day_before(self.following.first_day)
            yield f"only until {last}: after that day {_entry(self.following)} holds"
        if ANY in price.pattern.removesuffix(ANY):
            yield "only a * at the end stands for all that follows: the other one is a character of the name"
        yield f"source: {visible(price.source)}"


def changes_of(book: PriceBook, prices: Sequence[Price]) -> list[Change]:
    """Compare prices that are to be appended at once with the book, in order of their first days.

    Each is compared with the book and the prices before it.
    """
    changes: list[Change] = []
    number = book.revision + 1
    for price in sorted(prices, key=lambda price: price.first_day):
        appended = tuple(change.price for change in changes if not change.is_same)
        trial = PriceBook((*book.revisions, Revision(number, appended, "", "")))
        changes.append(_change(trial, price))
    return changes


def _change(book: PriceBook, price: Price) -> Change:
    in_force = book.on(price.first_day, book.revision)
    others = [other for other in in_force_of(in_force) if other.pattern != price.pattern]
    begins = price.pattern.removesuffix(ANY)
    return Change(
        price,
        replaces=next((other for other in in_force_of(in_force) if other.pattern == price.pattern), None),
        shorter=DayPrices.of_prices([other for other in others if _is_shorter(other, price)]).of(begins),
        longer=tuple(other for other in others if price.pattern.endswith(ANY) and _is_shorter(price, other)),
        following=_following(book, price),
    )


def in_force_of(prices: DayPrices) -> list[Price]:
    """List the prices of a day by name."""
    found = [*prices.exact.values(), *(price for _, price in prices.beginnings)]
    return sorted(found, key=lambda price: price.pattern)


def _is_shorter(price: Price, other: Price) -> bool:
    """Whether a price fits all that another one fits, and loses against it."""
    return price.pattern.endswith(ANY) and other.pattern.removesuffix(ANY).startswith(price.pattern[:-1])


def _following(book: PriceBook, price: Price) -> Price | None:
    """The next entry of the same name by its first day; of those of one day, the last."""
    entries = [other for revision in book.revisions for other in revision.prices]
    later = [o for o in entries if o.pattern == price.pattern and o.first_day > price.first_day]
    return min(reversed(later), key=lambda other: other.first_day, default=None)


def described(price: Price) -> str:
    """Write the rates of a price on a line."""
    if price.rates is None:
        return "no price"
    rates = price.rates.as_fields()
    tokens = [f"{NAMES.get(kind, kind)} {text(rates[kind])}" for kind in TOKENS if kind in rates]
    parts = [f"{', '.join(tokens)} {price.currency} per million tokens"] if tokens else []
    parts += [
        f"{text(rates[kind])} {price.currency} {NAMES[kind]}"
        for kind in ("perRequest", "perSecond")
        if kind in rates
    ]
    return f"{', '.join(parts)}, for {ONLY[price.only]}"


def _name(price: Price) -> str:
    return f"{visible(price.pattern)}{f' ({price.id})' if price.id else ''}"


def _entry(price: Price) -> str:
    """An entry of the book, or one that is to be appended beside it."""
    return f"{price.id or 'the one'} from {price.first_day}"
