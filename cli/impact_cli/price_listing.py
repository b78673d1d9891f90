"""Entries of the price book as rows: those in force, those that fit a model, and all that ever were. Pure."""

from collections.abc import Iterable, Sequence

from impact.price_book import ANY, Price, PriceBook, Revision, as_listed
from impact.types import Item

RATES = ("input", "cached", "cacheWrite", "output", "reasoning", "perRequest", "perSecond")
COLUMNS = (
    *("id", "pattern", "from", "ends", *(f"rates.{name}" for name in RATES), "currency", "only", "source"),
    *("recordedAt", "recordedBy"),
)
FITS = (*COLUMNS, "used")
HISTORY = (*COLUMNS, "replacedBy", "endedBy", "until")


def in_force(book: PriceBook, day: str) -> list[Item]:
    """The prices of a day, by name."""
    prices = book.on(day, book.revision)
    ids = {price.id for price in (*prices.exact.values(), *(price for _, price in prices.beginnings))}
    rows = [as_listed(revision, price) for revision, price in _entries(book) if price.id in ids]
    return sorted(rows, key=lambda row: str(row["pattern"]))


def fitting(book: PriceBook, day: str, model: str) -> list[Item]:
    """The prices of a day that fit a model, the one that it has first. `used` tells it from the others."""
    rows = [row for row in in_force(book, day) if fits(row["pattern"], model)]
    rows.sort(key=lambda row: (row["pattern"] != model, -len(row["pattern"])))
    return [row | {"used": number == 0} for number, row in enumerate(rows)]


def history(book: PriceBook, model: str | None = None) -> list[Item]:
    """All entries in order, or those that fit a model, each with the entry that replaced or ended it.

    `until` is the first day on which the entry does not hold any more.
    """
    entries = [(r, price) for r, price in _entries(book) if model is None or fits(price.pattern, model)]
    by_name: dict[str, list[Price]] = {}
    for _, price in entries:
        by_name.setdefault(price.pattern, []).append(price)
    return [
        as_listed(revision, price) | _successor(price, by_name[price.pattern]) for revision, price in entries
    ]


def fits(pattern: str, model: str) -> bool:
    return pattern == model or (pattern.endswith(ANY) and model.startswith(pattern.removesuffix(ANY)))


def _entries(book: PriceBook) -> Iterable[tuple[Revision, Price]]:
    return ((revision, price) for revision in book.revisions for price in revision.prices)


def _successor(price: Price, of_name: Sequence[Price]) -> Item:
    """Which entry took the place of one: of the same first day the last, else the next by first day."""
    after = of_name[of_name.index(price) + 1 :]
    same_day = [other for other in after if other.first_day == price.first_day]
    later = [other for other in of_name if other.first_day > price.first_day]
    found = same_day[-1] if same_day else min(reversed(later), key=lambda o: o.first_day, default=None)
    if found is None:
        return {}
    return {"endedBy" if found.rates is None else "replacedBy": found.id, "until": found.first_day}
