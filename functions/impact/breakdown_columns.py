"""Rows of usage by dimension, column by column: as they are stored, and added up over days. Pure: no AWS.

The numbers of a column are whole, in units of its last decimal place: 12.5 and 3 are 125 and 30 of one place.
Whole numbers are read and added up in a third of the time that decimals take, and as exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal, localcontext
from typing import Any

from impact.decimals import EXACT, STORED, ZERO
from impact.summary import Sums

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
DAY_COLUMNS = (
    "restoredM2",  # first: it may be None, not known
    *("markupEUR", "restorationFeeEUR", "billedEUR", *COLUMNS),
)
COUNTS = {f.name for f in fields(Sums) if f.type in (int, "int")}

Numbers = list[int | None]
"""A column: None where a number is not known. An empty list stands for zeros alone."""


@dataclass(frozen=True)
class Columns:
    """The rows of one dimension. The last row is the rest, if there is one."""

    names: tuple[str, ...]
    values: list[Value]
    has_rest: bool
    numbers: list[Numbers]
    places: list[int]
    """Decimal places of each column."""

    @classmethod
    def of(cls, names: tuple[str, ...], values: Mapping[Value, Row], rest: Row | None) -> "Columns":
        """Take rows in any order. Numbers of more than 38 digits are rounded here, once."""
        in_order = sorted(values, key=lambda value: (value is not None, value or ""))
        rows = [values[value] for value in in_order] + ([] if rest is None else [rest])
        whole = [_whole(column) for column in zip(*rows, strict=True)] if rows else [([], 0) for _ in names]
        return cls(names, in_order, rest is not None, [n for n, _ in whole], [p for _, p in whole])

    @classmethod
    def from_content(cls, names: Sequence[str], content: Mapping[str, Any] | None) -> "Columns":
        """Read what `content` returned, by the columns that this release knows. None has no rows."""
        known = DAY_COLUMNS if "billedEUR" in names else COLUMNS
        if content is None:
            return cls.of(known, {}, None)
        found = dict(zip(names, zip(content["numbers"], content["places"], strict=True), strict=True))
        columns = [found.get(name, ([], 0)) for name in known]
        return cls(
            known, content["values"], content["rest"], [n for n, _ in columns], [p for _, p in columns]
        )

    def content(self) -> dict[str, Any]:
        """What is stored of it, in JSON, beside the columns' names."""
        numbers, places = self.numbers, self.places
        return {"values": self.values, "rest": self.has_rest, "numbers": numbers, "places": places}

    def rows(self) -> tuple[dict[Value, Row], Row | None]:
        """Return the row of each value, and the rest."""
        size = len(self.values) + self.has_rest
        columns = [
            _numbers(name, numbers, places, size)
            for name, numbers, places in zip(self.names, self.numbers, self.places, strict=True)
        ]
        rows = [list(row) for row in zip(*columns, strict=True)]
        rest = rows.pop() if self.has_rest else None
        return dict(zip(self.values, rows, strict=True)), rest

    def row(self, value: str) -> Row | None:
        """Return the row of one value, if it has one."""
        try:
            place = self.values.index(value)
        except ValueError:
            return None
        one = [numbers[place : place + 1] for numbers in self.numbers]
        return Columns(self.names, [value], False, one, self.places).rows()[0][value]


def _whole(column: Sequence[Any]) -> tuple[Numbers, int]:
    if all(type(number) is int for number in column):
        return list(column) if any(column) else [], 0
    decimals = [None if number is None else STORED.normalize(Decimal(number)) for number in column]
    known = [number for number in decimals if number is not None]
    if not any(known) and len(known) == len(column):
        return [], 0
    with localcontext(EXACT):  # a sum has the most decimal places of its parts
        places = max(0, -int(sum(known, ZERO).as_tuple().exponent))
    return [None if number is None else int(number.scaleb(places, EXACT)) for number in decimals], places


def _numbers(name: str, numbers: Numbers, places: int, size: int) -> Sequence[Any]:
    if name in COUNTS:
        return numbers or [0] * size
    if not numbers:
        return [ZERO] * size
    return [None if n is None else Decimal(n).scaleb(-places, EXACT) if n else ZERO for n in numbers]


_REST = object()  # stands for the rest, among the values


class ColumnSums:
    """Sums of rows by value, and of the rest. They are exact, and None plus None stays None: not known."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._row_of: dict[Any, int] = {}
        self._columns = [_KINDS.get(name, _Sum)() for name in names]

    def __len__(self) -> int:
        return len(self._row_of)

    def add(self, rows: Columns) -> None:
        """Add rows that have the same columns."""
        row_of = self._row_of
        keys = [*rows.values, *([_REST] if rows.has_rest else [])]
        where = [row_of.setdefault(key, len(row_of)) for key in keys]
        for column, numbers, places in zip(self._columns, rows.numbers, rows.places, strict=True):
            column.add(where, numbers, places, len(row_of))

    def rows(self) -> tuple[dict[Value, Row], Row | None]:
        """Return the sums of each value, and of the rest."""
        size = len(self._row_of)
        columns = Columns(
            self._names,
            list(self._row_of),
            False,
            [column.filled(size) for column in self._columns],
            [column.places for column in self._columns],
        )
        values, _ = columns.rows()
        rest = values.pop(_REST, None)  # type: ignore[call-overload]
        return values, rest


class _Sum:
    """The sums of a column."""

    without: int | None = 0
    """What a value has that no row was added for."""

    def __init__(self) -> None:
        self.numbers: Numbers = []
        self.places = 0

    def add(self, rows: list[int], numbers: Numbers, places: int, size: int) -> None:
        if not numbers:
            if self.without == 0:
                return
            numbers = [0] * len(rows)
        if places > self.places:
            self.numbers = _times(self.numbers, 10 ** (places - self.places))
            self.places = places
        elif places < self.places:
            numbers = _times(numbers, 10 ** (self.places - places))
        self.numbers += [self.without] * (size - len(self.numbers))
        self._add(rows, numbers)

    def filled(self, size: int) -> Numbers:
        return self.numbers + [self.without] * (size - len(self.numbers))

    def _add(self, rows: list[int], numbers: list[Any]) -> None:
        sums: list[Any] = self.numbers
        for row, number in zip(rows, numbers, strict=True):
            sums[row] += number


class _Longest(_Sum):
    def _add(self, rows: list[int], numbers: list[Any]) -> None:
        sums: list[Any] = self.numbers
        for row, number in zip(rows, numbers, strict=True):
            sums[row] = max(sums[row], number)


class _SumOfKnown(_Sum):
    """Of what may not be known."""

    without = None

    def _add(self, rows: list[int], numbers: list[Any]) -> None:
        sums: list[Any] = self.numbers
        for row, number in zip(rows, numbers, strict=True):
            if number is not None:
                sums[row] = number + (sums[row] or 0)


_KINDS = {"latencyMax": _Longest, "restoredM2": _SumOfKnown}


def _times(numbers: Numbers, factor: int) -> Numbers:
    return [None if number is None else number * factor for number in numbers]
