"""Usage by dimension: what each user, team, key, tag, model and provider did. Pure: no AWS.

A recompute adds up the same groups of events as for the summaries, so no event is read twice. The dearest
values of a dimension stand by themselves, and the others are one row together, the *rest*: the sum is always
the whole. Memory is bounded by HELD_MAX values, and storage by VALUES_MAX.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation, localcontext
from hashlib import blake2b
from heapq import nlargest
from operator import add
from typing import Any

import msgspec

from impact.billing import Terms, bill, in_euros, square_metres, statement
from impact.breakdown_columns import COLUMNS, COUNTS, DAY_COLUMNS, Columns, ColumnSums, Row, Value
from impact.decimals import EXACT, STORED, ZERO
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

_EUR, _UNCONVERTED = COLUMNS.index("costEUR"), COLUMNS.index("unconverted")
_RATED, _UNRATED = COLUMNS.index("rated"), COLUMNS.index("unrated")
_CO2E_LOW, _CO2E_HIGH = COLUMNS.index("co2eLow"), COLUMNS.index("co2eHigh")
_DAY_EUR, _DAY_UNCONVERTED = DAY_COLUMNS.index("costEUR"), DAY_COLUMNS.index("unconverted")
_DAY_REQUESTS = DAY_COLUMNS.index("requests")


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


def encode(names: tuple[str, ...], rows: Mapping[str, Rows]) -> bytes:
    """Write rows by dimension as compressed JSON."""
    by = {by: Columns.of(names, of.values, of.rest).content() for by, of in rows.items()}
    return zlib.compress(msgspec.json.encode({"columns": names, "by": by}))


class Encoded:
    """Rows as `encode` wrote them."""

    def __init__(self, data: bytes) -> None:
        content = msgspec.json.decode(zlib.decompress(data))
        self._names: list[str] = content["columns"]
        self._by: dict[str, Any] = content["by"] if "by" in content else _of_rows(content)

    def without(self, by: str, value: str) -> bytes | None:
        """Write the rows again with one value's added to the rest: the value goes, the sums stay.

        None if the value has no row.
        """
        rows = {each: self.rows(each) for each in self._by}
        row = rows[by].values.pop(value, None) if by in rows else None
        if row is None:
            return None
        names = self.columns(by).names
        rest = rows[by].rest
        if rest is None:
            rows[by].rest = row
        else:
            with localcontext(EXACT):
                (_add_day if names == DAY_COLUMNS else _add)(rest, row)
        return encode(names, rows)

    def columns(self, by: str) -> Columns:
        """The rows of one dimension, column by column."""
        return Columns.from_content(self._names, self._by.get(by))

    def rows(self, by: str) -> Rows:
        """The rows of one dimension."""
        return Rows(*self.columns(by).rows())


def _of_rows(content: dict[str, Any]) -> dict[str, Any]:
    """Read what was written row by row, with decimals as strings, until November 2026."""

    def row(numbers: list[Any]) -> Row:
        return [Decimal(number) if isinstance(number, str) else number for number in numbers]

    names, rest = tuple(content["columns"]), content["rest"]
    return {
        by: Columns.of(
            names, {value: row(numbers) for value, *numbers in rows}, row(rest[by]) if by in rest else None
        ).content()
        for by, rows in content["rows"].items()
    }


def _add(to: Row, other: Row) -> None:
    longest = max(to[-1], other[-1])
    to[:] = map(add, to, other)
    to[-1] = longest


def _add_day(to: Row, other: Row) -> None:
    """Add a row of a whole day, within `localcontext(EXACT)`. What is not known in both stays None."""
    longest, metres = max(to[-1], other[-1]), other[0]
    if to[0] is not None:
        metres = to[0] if metres is None else to[0] + metres
    to[:] = metres, *map(add, to[1:], other[1:])
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
class DayRows:
    """Rows that can be shown, by DAY_COLUMNS: with euros, markup and fee."""

    values: dict[Value, Row] = field(default_factory=dict)
    rest: Row | None = None

    @property
    def has_rest(self) -> bool:
        return self.rest is not None

    def row(self, value: str) -> Row | None:
        """Return the row of one value, if it has one."""
        return self.values.get(value)

    def add(self, other: "DayRows") -> None:
        """Add rows, within `localcontext(EXACT)`."""
        for value, row in other.values.items():
            held = self.values.get(value)
            if held is None:
                self.values[value] = row.copy()
            else:
                _add_day(held, row)
        if other.rest is not None:
            self.add_rest(other.rest)

    def add_rest(self, row: Row) -> None:
        if self.rest is None:
            self.rest = row.copy()
        else:
            _add_day(self.rest, row)

    def fit(self, whole: Sums) -> None:
        """Make each amount add up to the whole's to the last digit.

        A division and a sum have 38 digits, so the last of them differ by their number at most. Each part is
        rounded to the whole's last digit, and the largest gets what is left. Raises ValueError where the
        difference is more than that.
        """
        rows = [*self.values.values(), *([self.rest] if self.rest is not None else [])]
        for name in _AMOUNTS:
            column = DAY_COLUMNS.index(name)
            for row, amount in _fitted([row[column] for row in rows], whole, name):
                rows[row][column] = amount

    def in_order(self) -> list[tuple[Value, Row]]:
        """The values and their rows, dearest first, without the rest."""
        return sorted(self.values.items(), key=_day_dearness, reverse=True)

    def folded(self, most: int) -> "DayRows":
        """Return the dearest values by themselves, and the others as the rest."""
        alone = {value for value, _ in nlargest(most, self.values.items(), key=_day_dearness)} | {None}
        kept = DayRows(rest=None if self.rest is None else self.rest.copy())
        with localcontext(EXACT):
            for value, row in self.values.items():
                if value in alone:
                    kept.values[value] = row
                else:
                    kept.add_rest(row)
        return kept

    def encoded(self, by: str) -> bytes:
        """Write the dearest values as compressed JSON: VALUES_MAX, or as many as fit."""
        most = VALUES_MAX
        while True:
            folded = self.folded(most)
            data = encode(DAY_COLUMNS, {by: Rows(folded.values, folded.rest)})
            if len(data) <= STORED_BYTES_MAX:
                return data
            most //= 2


def day_rows(by: str, shards: Iterable[ShardRows]) -> DayRows:
    """Add up the shards of a day, and convert each value at the day's rate, by a division of its own."""
    alike: dict[tuple[FxRate | None, Terms], tuple[ColumnSums, Tally]] = {}
    for shard in shards:
        total = shard.total
        rate = FxRate(total["fxDate"], Decimal(total["fxRate"])) if "fxRate" in total else None
        terms = Terms.from_fields(total.get("terms", {}))
        added, whole = alike.setdefault((rate, terms), (ColumnSums(COLUMNS), Tally()))
        sums = Tally.from_fields(total)
        whole.merge(sums)
        if shard.rows is not None:
            added.add(shard.rows.columns(by))
        elif sums.requests:
            added.add(Columns.of(COLUMNS, {}, [getattr(sums, name) for name in COLUMNS]))
    day = DayRows()
    for (rate, terms), (added, whole) in alike.items():
        rows, rest = added.rows()
        of_terms = DayRows(
            {value: _stated(row, rate, terms) for value, row in rows.items()},
            None if rest is None else _stated(rest, rate, terms),
        )
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
    figures_of = list(rows.values())
    for name in _MODEL_AMOUNTS:
        for place, amount in _fitted([getattr(figures, name) for figures in figures_of], total, name):
            setattr(figures_of[place], name, amount)
    ordered = sorted(rows.items(), key=lambda row: dearness(*row), reverse=True)
    return sorted(ordered, key=lambda row: row[0] is None)


def sums_of_row(row: Row) -> Sums:
    """The sums of a row by DAY_COLUMNS."""
    return Sums(**dict(zip(DAY_COLUMNS, row, strict=True)))


def _stated(row: Row, rate: FxRate | None, terms: Terms) -> Row:
    """Make a row of a day of one by COLUMNS, as `billing.statement` does."""
    row = row.copy()
    if rate is not None:
        row[_EUR], row[_UNCONVERTED] = in_euros(row[_EUR], row[_UNCONVERTED], rate), ZERO
    is_known = row[_RATED] or not row[_UNRATED]
    metres = square_metres(row[_CO2E_LOW], row[_CO2E_HIGH], terms) if is_known else None
    return [metres, *bill(row[_EUR], terms).values(), *row]


def _day_dearness(of_value: tuple[Value, Row]) -> tuple[Decimal, Decimal, int, str]:
    """The same as `dearness`."""
    value, row = of_value
    return row[_DAY_EUR], row[_DAY_UNCONVERTED], row[_DAY_REQUESTS], value or ""


DIGITS_OFF_MAX = 100  # in the last digit, for each part: a markup is rounded after its cost is
_AMOUNTS = tuple(f.name for f in fields(Sums) if f.name not in (*COUNTS, "latencyMax", "firstTs", "lastTs"))
_MODEL_AMOUNTS = tuple(f.name for f in fields(Figures) if f.name in _AMOUNTS)
_ROUNDING = Context(prec=EXACT.prec, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation])


def _fitted(parts: Sequence[Decimal | None], whole: Figures, name: str) -> list[tuple[int, Decimal]]:
    """Return the parts that must change to add up to the whole's amount: their places, and new amounts."""
    amount = getattr(whole, name) or ZERO
    with localcontext(EXACT):
        added = sum(filter(None, parts), ZERO)
        last_place = amount.adjusted() - STORED.prec + 1
        # A sum has the most decimal places of its parts. Where they add up, they may still have more digits
        # than are kept: those of several days.
        if added == amount and _place(added) >= last_place:
            return []
        having = [(place, part) for place, part in enumerate(parts) if part]
        digit = Decimal(1).scaleb(last_place)
        if added != amount and (not amount or abs(amount - added) > digit * DIGITS_OFF_MAX * len(having)):
            raise ValueError(f"the rows' {name} differs from the whole's by {amount - added}")
        fitted = {place: part.quantize(digit, context=_ROUNDING) for place, part in having}
        largest = max(fitted, key=fitted.__getitem__)
        fitted[largest] += amount - sum(fitted.values(), ZERO)
    return list(fitted.items())


def _place(number: Decimal) -> int:
    """The place of the last digit: -2 for 0.25."""
    return int(number.as_tuple().exponent)
