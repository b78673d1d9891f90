"""The tables that the demo prints: numbers rounded for people. `check.py` compares every digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from impact_cli.table import Cell, footprint, rounded, table

Row = Mapping[str, Any]

PLATFORM = "platform"


def _plain(name: str) -> Cell:
    return lambda row: str(row[name])


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
    "g CO2e": footprint("co2eKg", 1000),
    "L water": footprint("waterL"),
    "unrated": _plain("unrated"),
    "unpriced": _plain("unpriced"),
}


def report(summaries: Sequence[Row], totals: Mapping[str, Any]) -> str:
    """Make a table of the usage, a table of costs and footprints, and the bill of the platform."""
    users = sorted(summaries, key=lambda summary: (summary["day"], summary["userId"]))
    rows, terms = [*users, *totals["days"]], summaries[0]["terms"]
    return "\n\n".join((table(rows, USE, left=2), table(rows, COST, left=2), _bill(totals["total"], terms)))


def _bill(total: Row, terms: Row) -> str:
    return (
        f"The platform: {total['costEUR']:.6f} EUR + {total['markupEUR']:.6f} markup"
        f" + {total['restorationFeeEUR']:.6f} restoration = {total['billedEUR']:.6f} EUR billed\n"
        f"{footprint('co2eKg', 1000)(total)} g CO2e = {rounded(total['restoredM2'])} m2 of ecosystem"
        f" at {terms['restorationKgCO2ePerM2']} kg a m2 ({terms['restorationSource']})"
    )
