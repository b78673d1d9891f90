"""Usage by dimension: what each user, team, key, tag, model and provider did. Pure: no AWS.

A recompute adds up the same groups of events as for the summaries, so no event is read twice. The dearest
values of a dimension stand by themselves, and the others are one row together, the *rest*: the sum is always
the whole. Memory is bounded by HELD_MAX values, and storage by VALUES_MAX.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation, localcontext
from hashlib import blake2b
from heapq import nlargest
from operator import add
from typing import Any

from impact.billing import Terms, statement
from impact.decimals import EXACT, STORED, ZERO, stored
from impact.fx_rates import FxRate
from impact.summary import OTHER, Figures, Group, Sums, Tally
from impact.types import Item

DIMENSIONS = ("user", "team", "key", "tag", "model", "provider")
WHOLE = tuple(by for by in DIMENSIONS if by != "tag")
"""Dimensions whose rows add up to the whole. A request can have several tags, or one row of many."""

HELD_MAX = 10_000
"""Most values of a dimension that a recompute holds. If a (day, shard) has no more, the dearest are exact."""
VALUES_MAX = 1_000
"""Most values of a dimension that are stored for a (day, shard), or a day."""
STORED_BYTES_MAX = 256_000
"""Most bytes of all rows of a (day, shard): an item of DynamoDB has room for 400 KB."""

Value = str | None
"""A team, a key ...; None for requests that have none."""
Row = list[Any]
"""Sums by COLUMNS, or of a whole day by DAY_COLUMNS."""

COLUMNS = (
    *("requests", "failures", "tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning"),
    *("costEUR", "costUSD", "costReportedUSD", "unconverted", "unpriced", "repriced", "estimated"),
    *("rated", "unrated", "energyLow", "energyHigh", "co2eLow", "co2eHigh", "waterLow", "waterHigh"),
    *("latencyTotal", "latencyMax"),  # latencyMax last: it is not added
)
DAY_COLUMNS = ("markupEUR", "restorationFeeEUR", "billedEUR", "restoredM2", *COLUMNS)
_EUR, _UNCONVERTED = COLUMNS.index("costEUR"), COLUMNS.index("unconverted")


@dataclass
class Rows:
    """The sums of the values of one dimension."""

    values: dict[Value, Row] = field(default_factory=dict)
    rest: Row | None = None
    """The sums of all other values; None if there are none."""
    _folded: "_Seen | None" = None

    def add(self, value: Value, row: Row) -> None:
        """Add to a value, within `localcontext(EXACT)`."""
        held = self.values.get(value)
        if held is not None:
            _add(held, row)
        elif self._folded is not None and value in self._folded:
            self.add_rest(row)
        else:
            self.values[value] = row.copy()
            if len(self.values) > HELD_MAX:
                self._folded = self._folded or _Seen()
                self.fold(HELD_MAX // 2)

    def add_rest(self, row: Row) -> None:
        if self.rest is None:
            self.rest = row.copy()
        else:
            _add(self.rest, row)

    def fold(self, most: int) -> None:
        """Keep the dearest values, and the requests that have none. Add the others to the rest."""
        dearest = set(nlargest(most, self.values, key=self._dearness)) | {None}
        for value in [value for value in self.values if value not in dearest]:
            self.add_rest(self.values.pop(value))
            if self._folded is not None:
                self._folded.add(value)

    def _dearness(self, value: Value) -> tuple[Decimal, int, str]:
        row = self.values[value]
        return row[_EUR] + row[_UNCONVERTED], row[0], value or ""


class _Seen:
    """The values that were folded: a Bloom filter of 2 MB. What it mistakes for one goes to the rest too.

    So a value that stands by itself has all its requests. A million values are mistaken in 2 of 100 cases.
    """

    BITS = 1 << 24
    HASHES = 4

    def __init__(self) -> None:
        self._bits = bytearray(self.BITS >> 3)

    def add(self, value: Value) -> None:
        for bit in self._places(value):
            self._bits[bit >> 3] |= 1 << (bit & 7)

    def __contains__(self, value: Value) -> bool:
        return value is not None and all(
            self._bits[bit >> 3] & (1 << (bit & 7)) for bit in self._places(value)
        )

    def _places(self, value: Value) -> list[int]:
        digest = blake2b((value or "").encode("utf-8", "surrogatepass"), digest_size=4 * self.HASHES).digest()
        return [int.from_bytes(digest[n : n + 4]) % self.BITS for n in range(0, len(digest), 4)]


@dataclass
class Breakdown:
    """The sums of a (day, shard) by each dimension."""

    rows: dict[str, Rows] = field(default_factory=lambda: {by: Rows() for by in DIMENSIONS})

    def add(self, user: str, group: Group, sums: Sums, first: Sums | None = None) -> None:
        """Add some requests of one user and group, within `localcontext(EXACT)`. `first` is not kept."""
        row = [getattr(sums, name) for name in COLUMNS]
        rows = self.rows
        rows["user"].add(user, row)
        rows["team"].add(group.team, row)
        rows["key"].add(group.key, row)
        rows["model"].add(group.model_name, row)
        rows["provider"].add(group.provider, row)
        for tag in group.tags or (None,):
            rows["tag"].add(tag, row)

    def encoded(self) -> bytes:
        """Write the dearest values as compressed JSON: VALUES_MAX of each dimension, or as many as fit."""
        most = VALUES_MAX
        while True:
            with localcontext(EXACT):
                for rows in self.rows.values():
                    rows.fold(most)
            data = encode(COLUMNS, self.rows)
            if len(data) <= STORED_BYTES_MAX:
                return data
            most //= 2


def encode(columns: tuple[str, ...], rows: Mapping[str, Rows]) -> bytes:
    """Write rows as compressed JSON. Whole numbers are numbers, others are strings of all their digits."""
    content = {
        "columns": columns,
        "rows": {
            by: [[value, *map(_written, row)] for value, row in sorted(of.values.items(), key=_by_value)]
            for by, of in rows.items()
        },
        "rest": {by: [_written(number) for number in of.rest] for by, of in rows.items() if of.rest},
    }
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode())


class Encoded:
    """Rows as `encode` wrote them. Those of a dimension are decoded when they are asked for."""

    def __init__(self, data: bytes) -> None:
        self._content = json.loads(zlib.decompress(data))

    def without(self, by: str, value: str) -> bytes | None:
        """Write the rows again with one value's added to the rest: the value goes, the sums stay.

        None if the value has no row.
        """
        rows = {each: self.rows(each) for each in self._content["rows"]}
        row = rows[by].values.pop(value, None) if by in rows else None
        if row is None:
            return None
        rest = rows[by].rest
        rows[by].rest = row if rest is None else _together(rest, row)
        return encode(_columns(self._content["columns"]), rows)

    def rows(self, by: str) -> Rows:
        """The rows of one dimension, by the columns that this release knows."""
        read = _reader(self._content["columns"])
        rows = {value: read(numbers) for value, *numbers in self._content["rows"].get(by, [])}
        rest = self._content["rest"].get(by)
        return Rows(rows, None if rest is None else read(rest))


def _written(number: Decimal | int | None) -> int | str | None:
    if isinstance(number, Decimal):
        return int(number) if number == number.to_integral_value() else str(stored(number))
    return number


def _reader(written: list[str]) -> Callable[[list[Any]], Row]:
    """Return what reads the numbers of these columns, once for many rows: a year has 366,000 of them."""
    names = _columns(written)
    places = [written.index(name) if name in written else None for name in names]
    are_counts = [name in _COUNTS for name in names]

    def read(numbers: list[Any]) -> Row:
        known = [0 if place is None else numbers[place] for place in places]
        return [
            number if is_count or number is None else Decimal(number)
            for number, is_count in zip(known, are_counts, strict=True)
        ]

    return read


def _columns(written: list[str]) -> tuple[str, ...]:
    return DAY_COLUMNS if "billedEUR" in written else COLUMNS


_COUNTS = {f.name for f in fields(Sums) if f.type in (int, "int")}


def _by_value(pair: tuple[Value, Row]) -> tuple[bool, str]:
    return pair[0] is not None, pair[0] or ""


def _together(row: Row, other: Row) -> Row:
    """Add two rows. In those of days a sum may be None: not known."""
    with localcontext(EXACT):
        both = [b if a is None else a if b is None else a + b for a, b in zip(row, other, strict=True)]
    both[-1] = max(row[-1], other[-1])
    return both


def _add(to: Row, other: Row) -> None:
    longest = max(to[-1], other[-1])
    to[:] = map(add, to, other)
    to[-1] = longest


# Days


@dataclass(frozen=True)
class ShardRows:
    """The rows of a (day, shard), and the total that they add up to. Without rows, all of it is rest."""

    total: Item
    rows: Encoded | None = None


def shards_of_day(totals: Iterable[Item], breakdowns: Iterable[Item]) -> list[ShardRows]:
    """Put together the shards of a day, from totals and the breakdowns that were read after them.

    A breakdown has the total that its rows add up to. A total that names no breakdown is from an earlier
    release, which may have been deployed again: it has no rows, or those from before it.
    """
    with_rows = {item["total"]["shard"]: item for item in breakdowns}
    return [
        ShardRows(with_rows[total["shard"]]["total"], Encoded(with_rows[total["shard"]]["rows"]))
        if "breakdown" in total and total["shard"] in with_rows
        else ShardRows(total)
        for total in totals
    ]


@dataclass
class SumRows:
    """Rows as sums that can be shown: with euros, markup and fee."""

    values: dict[Value, Sums] = field(default_factory=dict)
    rest: Sums | None = None

    def add(self, other: "SumRows") -> None:
        """Add rows, within `localcontext(EXACT)`."""
        for value, sums in other.values.items():
            self.values.setdefault(value, Sums()).add(sums)
        if other.rest is not None:
            self.rest = self.rest or Sums()
            self.rest.add(other.rest)

    def fit(self, whole: Sums) -> None:
        """Make each amount add up to the whole's to the last digit.

        A division and a sum have 38 digits, so the last of them differ by their number at most. Each part is
        rounded to the whole's last digit, and the largest gets what is left. Raises ValueError where the
        difference is more than that.
        """
        parts = [*self.values.values(), *([self.rest] if self.rest is not None else [])]
        for name in _AMOUNTS:
            _fit(parts, whole, name)

    def folded(self, most: int) -> "SumRows":
        """Return the dearest values by themselves, and the others as the rest."""
        dearest = nlargest(most, self.values, key=lambda value: dearness(value, self.values[value]))
        alone = {*dearest, None}
        kept = SumRows({value: sums for value, sums in self.values.items() if value in alone})
        with localcontext(EXACT):
            kept.add(SumRows(rest=self.rest))
            for value, sums in self.values.items():
                if value not in kept.values:
                    kept.add(SumRows(rest=sums))
        return kept

    def encoded(self, by: str) -> bytes:
        """Write the dearest values as compressed JSON: VALUES_MAX, or as many as fit."""
        most = VALUES_MAX
        while True:
            folded = self.folded(most)
            rest = None if folded.rest is None else _as_row(folded.rest)
            rows = Rows({value: _as_row(sums) for value, sums in folded.values.items()}, rest)
            data = encode(DAY_COLUMNS, {by: rows})
            if len(data) <= STORED_BYTES_MAX:
                return data
            most //= 2

    @classmethod
    def of_rows(cls, rows: Rows) -> "SumRows":
        """Read the rows of a day."""
        rest = None if rows.rest is None else _of_row(rows.rest)
        return cls({value: _of_row(row) for value, row in rows.values.items()}, rest)


def day_rows(by: str, shards: Iterable[ShardRows]) -> SumRows:
    """Add up the shards of a day, and convert each value at the day's rate, by a division of its own."""
    alike: dict[tuple[FxRate | None, Terms], tuple[Rows, Tally]] = {}
    for shard in shards:
        total = shard.total
        rate = FxRate(total["fxDate"], Decimal(total["fxRate"])) if "fxRate" in total else None
        merged, whole = alike.setdefault((rate, Terms.from_fields(total.get("terms", {}))), (Rows(), Tally()))
        sums = Tally.from_fields(total)
        whole.merge(sums)
        with localcontext(EXACT):
            if shard.rows is None:
                if sums.requests:
                    merged.add_rest([getattr(sums, name) for name in COLUMNS])
                continue
            rows = shard.rows.rows(by)
            for value, row in rows.values.items():
                if value in merged.values:
                    _add(merged.values[value], row)
                else:
                    merged.values[value] = row
            if rows.rest is not None:
                merged.add_rest(rows.rest)
    day = SumRows()
    for (rate, terms), (merged, whole) in alike.items():
        rest = None if merged.rest is None else _stated(merged.rest, rate, terms)
        of_terms = SumRows({v: _stated(row, rate, terms) for v, row in merged.values.items()}, rest)
        if by in WHOLE:
            of_terms.fit(Tally.from_fields(statement(whole, rate, terms)))
        with localcontext(EXACT):
            day.add(of_terms)
    return day


def dearness(value: Value, sums: Figures) -> tuple[Decimal, Decimal, int, str]:
    """What rows are ordered by: what they cost, then dollars without a rate, then requests."""
    return sums.costEUR, sums.unconverted, sums.requests, value or ""


def model_rows(by: str, total: Tally) -> list[tuple[Value, Figures]]:
    """Add up the models of a user's days by model or provider, dearest first; the rest, None, is last.

    The euros of each model are a division of their own, so each amount is fitted to the total's last digit.
    """
    rows: dict[Value, Figures] = {}
    with localcontext(EXACT):
        for name, figures in total.models.items():
            value = None if name == OTHER else name if by == "model" else name.partition("/")[0]
            rows.setdefault(value, Figures()).add_figures(figures)
    for name in _MODEL_AMOUNTS:
        _fit(list(rows.values()), total, name)
    ordered = sorted(rows.items(), key=lambda row: dearness(*row), reverse=True)
    return sorted(ordered, key=lambda row: row[0] is None)


def _stated(row: Row, rate: FxRate | None, terms: Terms) -> Sums:
    sums = Tally(**dict(zip(COLUMNS, row, strict=True)))
    return Tally.from_fields(statement(sums, rate, terms))


def _as_row(sums: Sums) -> Row:
    return [getattr(sums, name) for name in DAY_COLUMNS]


def _of_row(row: Row) -> Sums:
    return Sums(**dict(zip(DAY_COLUMNS, row, strict=True)))


DIGITS_OFF_MAX = 100  # in the last digit, for each part: a markup is rounded after its cost is
_AMOUNTS = tuple(f.name for f in fields(Sums) if f.name not in (*_COUNTS, "latencyMax", "firstTs", "lastTs"))
_MODEL_AMOUNTS = tuple(f.name for f in fields(Figures) if f.name in _AMOUNTS)
_ROUNDING = Context(prec=EXACT.prec, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation])


def _fit(parts: Sequence[Figures], whole: Figures, name: str) -> None:
    amount = getattr(whole, name) or ZERO
    having = [part for part in parts if getattr(part, name)]
    with localcontext(EXACT):
        difference = amount - _sum(having, name)
        place = amount.adjusted() - STORED.prec + 1
        digit = Decimal(1).scaleb(place)
        if difference and (not amount or abs(difference) > digit * DIGITS_OFF_MAX * len(having)):
            raise ValueError(f"the rows' {name} differs from the whole's by {difference}")
        # Also where they add up: a sum of several days may have more digits than are kept.
        for part in having:
            if _place(getattr(part, name)) < place:
                setattr(part, name, getattr(part, name).quantize(digit, context=_ROUNDING))
        if difference := amount - _sum(having, name):
            largest = max(having, key=lambda part: getattr(part, name))
            setattr(largest, name, getattr(largest, name) + difference)


def _place(number: Decimal) -> int:
    """The place of the last digit: -2 for 0.25."""
    return int(number.as_tuple().exponent)


def _sum(parts: Iterable[Figures], name: str) -> Decimal:
    return sum((getattr(part, name) for part in parts), ZERO)
