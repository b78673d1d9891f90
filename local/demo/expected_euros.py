"""The expected amounts in euros, from the ledger's dollars and the ECB's rates, without the service's code.

A day's dollars are divided once, by the rate of the last date before the day, and rounded to 38 digits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, localcontext
from typing import Any

from local.demo.usage_totals import EXACT, Items
from local.fake_ecb import Rates

MARKUP_PERCENT = Decimal(10)
FEE_PERCENT = Decimal(2)
KG_PER_M2 = Decimal("0.5")
SOURCE = "an example, not a measured value"
PARAMETERS = {
    "MarkupPercent": MARKUP_PERCENT,
    "RestorationFeePercent": FEE_PERCENT,
    "RestorationKgCO2ePerM2": KG_PER_M2,
    "RestorationSource": SOURCE,
}
"""Parameters of the demo's stack."""

TERMS = {
    "markupPercent": MARKUP_PERCENT,
    "restorationFeePercent": FEE_PERCENT,
    "restorationKgCO2ePerM2": KG_PER_M2,
    "restorationSource": SOURCE,
}
"""The same in a summary."""

STORED = Context(prec=38)
"""DynamoDB stores numbers with 38 digits."""

NEGLIGIBLE = Decimal("1e-30")
"""The maximum difference that rounding each user's amount to 38 digits can make in the sum."""

ADDED_UP = ("costEUR", "unconverted", "markupEUR", "restorationFeeEUR", "billedEUR", "restoredM2")


def compare_events(ledger: Items, rates: Rates) -> list[str]:
    """Check the euros of each event. An event without a price has none."""
    problems = []
    for item in ledger:
        absent = {"costEUR": None, "fxRate": None, "fxDate": None}
        truth = _exchange(item["costUSD"], item["day"], rates) if "costUSD" in item else absent
        problems += unequal(f"ledger: {item['eventId']}", item, truth)
    return problems


def compare_days(summaries: Items, ledger: Items, rates: Rates) -> list[str]:
    """Check the euros of each user's days against the ledger's dollars."""
    dollars = _dollars((item["userId"], item["day"], item) for item in ledger)
    problems = []
    for summary in summaries:
        user, day = summary["userId"], summary["day"]
        truth = _statement(summary, dollars[user, day], rates) | {"terms": TERMS}
        problems += unequal(f"summaries: {user} {day}", summary, truth)
    return problems


def compare_platform(totals: Mapping[str, Any], summaries: Items, ledger: Items, rates: Rates) -> list[str]:
    """Check the platform's days against the ledger's dollars, and their sum against the sum of all users."""
    dollars = _dollars(("", item["day"], item) for item in ledger)
    problems = []
    for row in totals["days"]:
        users = sum(summary["day"] == row["day"] for summary in summaries)
        truth = _statement(row, dollars["", row["day"]], rates) | {"users": users}
        problems += unequal(f"GET /api/totals: {row['day']}", row, truth)
    for name in ADDED_UP:
        shown = totals["total"].get(name, Decimal(0))
        with localcontext(EXACT):
            added = sum((summary.get(name, Decimal(0)) for summary in summaries), Decimal(0))
            if abs(shown - added) > NEGLIGIBLE:
                problems.append(f"GET /api/totals: {name} is {shown}, but the sum of all users is {added}")
    return problems


def unequal(name: str, row: Mapping[str, Any], truth: Mapping[str, Any]) -> list[str]:
    """Return a line for each field that differs from `truth`, where None means that it must be absent."""
    return [
        f"{name}: {key} is {row.get(key)}, expected {value}"
        for key, value in truth.items()
        if row.get(key) != value
    ]


def _dollars(events: Iterable[tuple[str, str, Mapping[str, Any]]]) -> Mapping[tuple[str, str], Decimal]:
    dollars: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    with localcontext(EXACT):
        for user, day, item in events:
            dollars[user, day] += item.get("costUSD", 0)
    return dollars


def _statement(row: Mapping[str, Any], usd: Decimal, rates: Rates) -> dict[str, Any]:
    """The expected euros of a row with these dollars, and square metres from the row's own CO2e."""
    exchange = _exchange(usd, row["day"], rates)
    if not usd:  # nothing was converted
        exchange |= {"fxRate": None, "fxDate": None}
    cost = exchange["costEUR"]
    markup = STORED.multiply(cost, MARKUP_PERCENT / 100)
    fee = STORED.multiply(cost, FEE_PERCENT / 100)
    with localcontext(EXACT):
        billed = cost + markup + fee
        co2e = sum(row["co2eKg"].values()) / 2 if "co2eKg" in row else None
    return exchange | {
        "costUSD": usd,
        "unconverted": 0,
        "markupEUR": markup,
        "restorationFeeEUR": fee,
        "billedEUR": STORED.plus(billed),
        "restoredM2": None if co2e is None else STORED.divide(co2e, KG_PER_M2),
    }


def _exchange(usd: Decimal, day: str, rates: Rates) -> dict[str, Any]:
    date = max(date for date in rates if date < day)
    return {"costEUR": STORED.divide(usd, rates[date]), "fxRate": rates[date], "fxDate": date}
