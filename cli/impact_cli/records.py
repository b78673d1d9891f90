"""Rows for programs: JSON, JSON Lines and CSV, exact, under the API's field names."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_type_hints

import simplejson

from impact_client import DayTotal, Range, Summary, Terms
from impact_client.responses import Before

Record = Mapping[str, Any]

CRLF = "\r\n"
FORMULA = re.compile(r"(?<![^;\t\r\n])[=+\-@\t\r]")
"""Where a spreadsheet begins to run a text (OWASP, "CSV Injection"): at its start, and after what some take
for the end of a cell. Excel does so with `;` where a half is written 0,5."""
FIRST = ("userId", "by", "value", "rest", "name", "costCentre", "day", "users")
"""Columns that come first: who, and when."""
WRITTEN_AS = {of: get_type_hints(of) for of in (Range, Terms, Before)}
IDS = ("prices", "before.prices")
"""Columns of ids of the price book, which have no spaces: `7.3 7.4`."""


def column_types(fields: type) -> dict[str, type]:
    """The columns of a response's type, who and when first. Those of a nested field have a dot.

    A summary's `models` have no column: a row each would be needed. JSON and FOCUS have them.
    """
    kinds: dict[str, type] = {}
    for name, kind in get_type_hints(fields).items():
        parts = WRITTEN_AS.get(kind, {})
        kinds |= {f"{name}.{part}": of for part, of in parts.items()} or {name: kind}
    kinds.pop("models", None)
    return {name: kinds[name] for name in FIRST if name in kinds} | kinds


def columns_of(fields: type) -> tuple[str, ...]:
    return tuple(column_types(fields))


SUMMARY_COLUMNS = columns_of(Summary)
DAY_COLUMNS = columns_of(DayTotal)


def _plain(value: Any) -> str:
    raise TypeError(f"{type(value).__name__} is not written as JSON")


_encode = simplejson.JSONEncoder(use_decimal=True, ensure_ascii=False, default=_plain).encode


def to_json(value: Any) -> str:
    """Write JSON on one line. Decimals are numbers, with all their digits."""
    written: str = _encode(value)
    return written


def csv_header(columns: Sequence[str]) -> str:
    return ",".join(columns) + "\n"


def csv_lines(records: Iterable[Record], columns: Sequence[str]) -> Iterator[str]:
    """Write a line for each record, without a header."""
    writer = csv.writer(_Echo(), lineterminator=CRLF)  # of its characters, each is quoted in a cell
    for record in records:
        line: str = writer.writerow(csv_row(record, columns))  # what _Echo returns
        yield line.removesuffix(CRLF) + "\n"


class _Echo:
    """A file whose `write` returns the text."""

    def write(self, text: str) -> str:
        return text


def csv_row(record: Record, columns: Sequence[str]) -> list[str]:
    return [cell(at(record, name)) for name in columns]


def cell(value: Any) -> str:
    """Write a value for a spreadsheet: numbers with all their digits, no text that it would run."""
    if isinstance(value, str):
        return FORMULA.sub(r"'\g<0>", value)
    return text(value)


def text(value: Any) -> str:
    """Write a value: a number with all its digits, an instant in UTC; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, str) or type(value) is int:
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return to_json(value)


def json_lines(records: Iterable[Record]) -> Iterator[str]:
    return (f"{to_json(record)}\n" for record in records)


def at(record: Record, name: str) -> Any:
    """The value of a column; None where the record has none."""
    field, _, part = name.partition(".")
    value = record.get(field)
    if part:
        value = value.get(part) if isinstance(value, dict) else None
    return " ".join(value) if name in IDS and value is not None else value
