"""Prices in State: revisions of the book, which of them a final day has, and corrections. None is edited."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b

from impact import keys
from impact.calendar import timestamp
from impact.dynamodb import Table, item_from_wire, to_wire
from impact.price_book import Price, PriceBook, Revision
from impact.types import Item

UNPRICED_MAX = 1_000
"""Most models that are noted: a sender could make up any number of names."""


@dataclass(frozen=True)
class Correction:
    """A correction of final days: from then on they are counted with a later revision of the book."""

    number: int
    revision: int
    days: tuple[str, ...]
    """The days that it changes."""
    reason: str
    recorded_at: str
    recorded_by: str
    before: dict[str, Item]
    """By day, the platform's total as it was (costUSD, costEUR, billedEUR, unpriced, repriced ...)."""

    def as_fields(self) -> Item:
        return {
            "number": self.number,
            "revision": self.revision,
            "days": list(self.days),
            "reason": self.reason,
            "recordedAt": self.recorded_at,
            "recordedBy": self.recorded_by,
            "before": self.before,
        }

    @classmethod
    def from_fields(cls, item: Item) -> "Correction":
        return cls(
            item["number"],
            item["revision"],
            tuple(item["days"]),
            item["reason"],
            item["recordedAt"],
            item["recordedBy"],
            item["before"],
        )


@dataclass(frozen=True)
class PriceStore(Table):
    """The price book, and what final days are counted with."""

    _noted: set[str] = field(default_factory=set, compare=False, repr=False)
    _revisions: list[Revision] = field(default_factory=list, compare=False, repr=False)
    """Those read so far. They never change, so only later ones are asked for."""

    def book(self) -> PriceBook:
        """Read the price book."""
        last = self._revisions[-1].number if self._revisions else 0
        for item in self._items(keys.PRICE, after=_number(last)):
            prices, at, by = item["prices"], item["recordedAt"], item["recordedBy"]
            self._revisions.append(Revision.of(item["number"], prices, at, by))
        return PriceBook(tuple(self._revisions))

    def append(self, number: int, prices: Sequence[Price], *, by: str, now: datetime) -> bool:
        """Append prices as revision `number`: one more than the last. Return False if that one is there."""
        item: Item = {
            "kind": keys.PRICE,
            "key": _number(number),
            "number": number,
            "prices": [price.as_fields() for price in prices],
            "recordedAt": timestamp(now),
            "recordedBy": by,
        }
        return self.put_once("attribute_not_exists(prices)", item)

    # Which revisions a final day is counted with: the first stays; those of its corrections lie beside it.

    def revisions_of(self, day: str) -> list[int]:
        """Return the revision that a day is final with, then that of each correction. []: it is not final."""
        return [item["revision"] for item in self._items(keys.DAY_PRICES, begins=day)]

    def fix_revision(self, day: str, revision: int, now: datetime) -> None:
        """Fix the revision that a final day is counted with, unless it has one: that stays."""
        item = _day_prices(day, 0, {"revision": revision, "recordedAt": timestamp(now)})
        self.put_if("attribute_not_exists(revision)", item)

    def correct_revision(self, day: str, number: int, correction: Correction) -> bool:
        """Count a final day with a correction's revision. `number` counts the day's corrections from 1.

        Return False if the day has that correction already: it stays.
        """
        what = {"revision": correction.revision, "correction": correction.number}
        item = _day_prices(day, number, what | {"recordedAt": correction.recorded_at})
        return self.put_once("attribute_not_exists(revision)", item)

    # Corrections

    def corrections(self) -> list[Correction]:
        """Read all corrections, in order."""
        return [Correction.from_fields(item) for item in self._items(keys.CORRECTION) if "days" in item]

    def unfinished(self) -> list[Correction]:
        """Read the corrections that were begun, and of which nobody knows that they were finished."""
        items = self._items(keys.CORRECTION)
        finished = {item["number"] for item in items if "finishedAt" in item}
        begun = (Correction.from_fields(item) for item in items if "days" in item)
        return [correction for correction in begun if correction.number not in finished]

    def put_finished(self, number: int, now: datetime) -> None:
        """Record that all days of a correction are to be recomputed."""
        what = {"number": number, "finishedAt": timestamp(now)}
        item = {"kind": keys.CORRECTION, "key": f"{_number(number)}#finished"} | what
        self.put_if("attribute_not_exists(finishedAt)", item)

    def put_correction(self, correction: Correction) -> bool:
        """Append a correction: its number is one more than the last. Return False if that one is there."""
        item = {"kind": keys.CORRECTION, "key": _number(correction.number)} | correction.as_fields()
        return self.put_once("attribute_not_exists(revision)", item)

    # Models without a price

    def unpriced(self) -> list[Item]:
        """Models that had a request without a known cost: `model`, and the `day` where it was found first."""
        return self._items(keys.UNPRICED)

    def note_unpriced(self, models: Iterable[str], day: str, now: datetime) -> list[str]:
        """Note models that had a request of which no cost was known. Return those that are new."""
        if set(models) <= self._noted:
            return []
        self._noted.update(item["model"] for item in self.unpriced())
        new = sorted(set(models) - self._noted)[: max(0, UNPRICED_MAX - len(self._noted))]
        for model in new:
            key = blake2b(model.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
            item = {"kind": keys.UNPRICED, "key": key, "model": model, "day": day}
            self.put_if("attribute_not_exists(model)", item | {"recordedAt": timestamp(now)})
        self._noted.update(new)
        return new

    def _items(self, kind: str, *, after: str = "", begins: str = "") -> list[Item]:
        condition, names, values = "kind = :k", {}, {":k": kind}
        if after or begins:
            condition += " AND begins_with(#key, :b)" if begins else " AND #key > :b"
            names, values = {"ExpressionAttributeNames": {"#key": "key"}}, values | {":b": begins or after}
        pages = self.pages(
            KeyConditionExpression=condition,
            ExpressionAttributeValues=to_wire(values),
            ConsistentRead=True,
            **names,
        )
        return [item_from_wire(item) for page in pages for item in page]


def _day_prices(day: str, correction: int, what: Item) -> Item:
    key = f"{day}#{correction:04d}" if correction else day
    return {"kind": keys.DAY_PRICES, "key": key} | what


def _number(number: int) -> str:
    return f"{number:06d}"
