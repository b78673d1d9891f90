"""Tables for people: aligned columns, rounded numbers, ids that cannot control the terminal."""

import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from shlex import quote
from typing import Any

Row = Mapping[str, Any]
Cell = Callable[[Any], str]

TEXT_MAX = 48
"""Longest text in a cell, in columns of the terminal. Files and --json have the whole text."""
OPENING_BRACKET = "Ps"
"""Unicode's category of characters that look like `(`, whatever blanks stand before one."""
NONE = "-"
"""Not known: not the same as zero."""
NAME_COLUMNS = 24
"""Longest name in a cell, in columns of the terminal: as wide as an id of LibreChat's."""


def table(rows: Sequence[Any], columns: Mapping[str, Cell], *, left: int = 1) -> str:
    """Make a line for each row, below a line of column names. The first `left` columns are aligned left."""
    lines = [tuple(columns), *(tuple(cell(row) for cell in columns.values()) for row in rows)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(line, widths, left) for line in lines)


def visible(text: str, longest: int | None = None) -> str:
    """Write a text on one line: what a terminal would obey is escaped. With `longest`, the text is cut."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if longest is None or width(shown) <= longest:
        return shown
    while width(shown) >= longest:
        shown = shown[:-1]
    return shown + "…"


def as_argument(text: str) -> str:
    """Write an id as the last argument of a shell's command, for a line to copy."""
    quoted = quote(visible(text))
    return f"-- {quoted}" if text.startswith("-") else quoted


def width(text: str) -> int:
    """Columns that a text takes on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def text(name: str, longest: int = TEXT_MAX) -> Cell:
    return lambda row: visible(str(row[name]), longest) if row.get(name) is not None else NONE


def value_cell(row: Row) -> str:
    """A value of a dimension; `(none)` for requests that have none, `(others)` for the rest.

    A value with a bracket of any kind is quoted, so that none can be mistaken for them.
    """
    value = row["value"]
    if value is None:
        return "(others)" if row.get("rest") else "(none)"
    has_bracket = any(unicodedata.category(c) == OPENING_BRACKET for c in value)
    return visible(json.dumps(value, ensure_ascii=False) if has_bracket else value, TEXT_MAX)


def name_column(rows: Iterable[Row]) -> dict[str, Cell]:
    """The column of names, which stands beside that of ids; nothing where no row has a name."""
    return {"name": text("name", NAME_COLUMNS)} if any("name" in row for row in rows) else {}


def whose(row: Row, field: str = "userId") -> str:
    """The id in a field, as a heading names it: `Alice Example (65f1c0de), cost centre 4711`."""
    id_ = visible(row[field])
    named = f"{visible(row['name'], TEXT_MAX)} ({id_})" if "name" in row else id_
    centre = f", cost centre {visible(row['costCentre'])}" if "costCentre" in row else ""
    return named + centre


def count(name: str) -> Cell:
    return lambda row: f"{row[name]:,}"


def money(name: str) -> Cell:
    """An amount; a dash where it is not known, also where all of it waits for an fx rate."""

    def cell(row: Row) -> str:
        value = row.get(name)
        waits = name.endswith("EUR") and not value and row.get("unconverted")
        return NONE if value is None or waits else amount(value)

    return cell


def footprint(name: str, factor: int = 1) -> Cell:
    """Low to high, each with two digits; a dash where there is no estimate."""

    def cell(row: Row) -> str:
        bounds = row.get(name)
        if not bounds:
            return NONE
        return f"{rounded(bounds['low'] * factor)}-{rounded(bounds['high'] * factor)}"

    return cell


def amount(number: Decimal) -> str:
    """Round an amount of money: two decimals from 100 on, else up to six."""
    with localcontext(Context(prec=60, rounding=ROUND_HALF_EVEN)):
        return f"{number:,.2f}" if abs(number) >= 100 else f"{number:,.6f}"


def rounded(number: Decimal) -> str:
    """Round to two significant digits: 0.00012, 5.7."""
    return f"{Context(prec=2).plus(number):f}"


def share(part: Decimal, whole: Decimal) -> str:
    return f"{part / whole:.1%}" if whole else NONE


def bar(part: Decimal, largest: Decimal, columns: int = 20) -> str:
    """A bar whose length is proportional to the part."""
    return "█" * int(part / largest * columns + Decimal("0.5")) if largest else ""


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    parts = []
    for number, (cell, of) in enumerate(zip(cells, widths, strict=True)):
        padding = " " * (of - width(cell))
        parts.append(cell + padding if number < left else padding + cell)
    return "  ".join(parts).rstrip()
