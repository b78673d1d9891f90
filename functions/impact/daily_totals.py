"""A day of the platform: one row from the totals of its shards. Pure, and the only place that makes one."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from impact.billing import Terms, statement, zero_sum
from impact.fx_rates import FxRate
from impact.summary import Tally
from impact.types import Item

DAYS_MAX = 366
"""Most days that can be asked for at once."""

NO_USE: Item = {}
"""The row of a day without any request."""

_EXCHANGE = ("fxRate", "fxDate")


def daily_total(day: str, totals: Iterable[Item], shard_count: int) -> Item:
    """Sum up a day: NO_USE, or its row. It is `final` where each of its shards is."""
    totals = list(totals)
    if not any(total["requests"] for total in totals):
        return NO_USE
    converted = list(day_statements(totals))
    exchange = next((s for s in converted if "fxRate" in s), {})
    final = {total["shard"] for total in totals if total["final"]}
    return {
        "day": day,
        "users": sum(total["users"] for total in totals),
        **sum_totals(converted),
        **{name: exchange[name] for name in _EXCHANGE if name in exchange},
        "asOf": min(total["asOf"] for total in totals),
        "final": final.issuperset(range(shard_count)),
    }


def as_response(row: Item, *, reopened: bool) -> Item:
    """Show a row, whether it was stored or made just now: with every sum that this version knows."""
    others = {name: row[name] for name in ("day", "users", *_EXCHANGE, "asOf") if name in row}
    return others | sum_totals([row]) | {"final": row["final"] and not reopened}


def sum_totals(rows: Iterable[Item]) -> Item:
    """Add up rows, without their models: the platform has too many."""
    total = zero_sum()
    for row in rows:
        total.merge(Tally.from_fields(row))
    return {name: value for name, value in total.as_fields().items() if name != "models"}


def day_statements(totals: Iterable[Item]) -> Iterator[Item]:
    """Sum a day's shards, then convert: one division where they agree on the rate and the terms."""
    alike: dict[tuple[FxRate | None, Terms], Tally] = {}
    for total in totals:
        rate = FxRate(total["fxDate"], Decimal(total["fxRate"])) if "fxRate" in total else None
        terms = Terms.from_fields(total.get("terms", {}))
        alike.setdefault((rate, terms), Tally()).merge(Tally.from_fields(total))
    for (rate, terms), sums in alike.items():
        yield statement(sums, rate, terms)
