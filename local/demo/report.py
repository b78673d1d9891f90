"""The tables that the demo prints: numbers rounded for people. `check.py` compares every digit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from typing import Any

Row = Mapping[str, Any]

PLATFORM = "platform"
LEFT = 2
"""The first columns, which are aligned left."""


def _plain(name: str) -> Callable[[Row], str]:
    return lambda row: str(row[name])


def _range(name: str, factor: int = 1) -> Callable[[Row], str]:
    """Low and high; a dash without an estimate."""

    def cell(row: Row) -> str:
        bounds = row.get(name)
        return f"{rounded(bounds['low'] * factor)}-{rounded(bounds['high'] * factor)}" if bounds else "-"

    return cell


USER_AND_DAY = {"user": lambda row: str(row.get("userId", PLATFORM)), "day": _plain("day")}
USE = USER_AND_DAY | {
    "requests": _plain("requests"),
    "failed": _plain("failures"),
    "tokens in": _plain("tokens_in"),
    "cached": _plain("tokens_cached"),
    "tokens out": _plain("tokens_out"),
    "reasoning": _plain("tokens_reasoning"),
}
COST = USER_AND_DAY | {
    "EUR": lambda row: f"{row['costEUR']:.6f}",
    "g CO2e": _range("co2eKg", 1000),
    "L water": _range("waterL"),
    "unrated": _plain("unrated"),
    "unpriced": _plain("unpriced"),
}


def report(summaries: Sequence[Row], totals: Mapping[str, Any]) -> str:
    """Make a table of the usage, a table of costs and footprints, and the bill of the platform."""
    users = sorted(summaries, key=lambda summary: (summary["day"], summary["userId"]))
    rows, terms = [*users, *totals["days"]], summaries[0]["terms"]
    return "\n\n".join((table(rows, USE), table(rows, COST), _bill(totals["total"], terms)))


def _bill(total: Row, terms: Row) -> str:
    return (
        f"The platform: {total['costEUR']:.6f} EUR + {total['markupEUR']:.6f} markup"
        f" + {total['restorationFeeEUR']:.6f} restoration = {total['billedEUR']:.6f} EUR billed\n"
        f"{_range('co2eKg', 1000)(total)} g CO2e = {rounded(total['restoredM2'])} m2 of ecosystem"
        f" at {terms['restorationKgCO2ePerM2']} kg a m2 ({terms['restorationSource']})"
    )


def table(rows: Sequence[Row], columns: Mapping[str, Callable[[Row], str]]) -> str:
    """Make a line for each row, below a line of column names."""
    lines = [tuple(columns), *(tuple(cell(row) for cell in columns.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(line, widths) for line in lines)


def rounded(number: Decimal) -> str:
    """Round to two significant digits: 0.00012, 5.7."""
    return f"{Context(prec=2).plus(number):f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    sized = enumerate(zip(cells, widths, strict=True))
    return "  ".join(f"{cell:<{width}}" if n < LEFT else f"{cell:>{width}}" for n, (cell, width) in sized)
