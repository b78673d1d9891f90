"""What is not in a figure, in words."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from impact_cli.table import amount

ROUNDED = "Amounts are rounded here; --json and --csv have every digit."
DAYS_SHOWN = 5


COUNTED = ("unpriced", "repriced", "unrated", "unconverted", "estimated")
"""The figures that `missing` reads of a total."""


def missing(
    total: Mapping[str, Any],
    days: Iterable[Mapping[str, Any]],
    not_fresh: Iterable[str] = (),
    in_rest: Iterable[str] = (),
) -> list[str]:
    """Say what a sum over days does not contain, a line for each reason, and what is by the price book."""
    lines = [ROUNDED]
    if total["unpriced"]:
        lines.append(f"Unpriced: {_requests(total['unpriced'])} without a known cost. They add 0 here.")
    if total.get("repriced"):
        lines.append(f"By the price book: {_requests(total['repriced'])}. `impact explain` shows how.")
    if total["unrated"]:
        lines.append(f"Unrated: {_requests(total['unrated'])} without an estimate of the footprint.")
    if total["unconverted"]:
        usd = amount(total["unconverted"])
        lines.append(
            f"Unconverted: {usd} USD wait for the fx rate of their day. No euros stand for them yet."
        )
    if total["estimated"]:
        lines.append(f"Estimated: {_requests(total['estimated'])} whose tokens the sender guessed.")
    if open_days := sorted({str(day["day"]) for day in days if not day["final"]}):
        lines.append(f"Not final: {_listed(open_days)}. Late requests may still change these days.")
    if stale := sorted(not_fresh):
        lines.append(f"Not fresh: {_listed(stale)}. There was no time to compute these days.")
    if others := sorted(in_rest):
        lines.append(f"Perhaps not whole: {_listed(others)}. Some of it may be in (others) of these days.")
    return lines


def _requests(number: int | Decimal) -> str:
    return "1 request" if number == 1 else f"{number:,} requests"


def _listed(days: list[str]) -> str:
    if len(days) <= DAYS_SHOWN:
        return ", ".join(days)
    return f"{len(days)} days, {days[0]} to {days[-1]}"
