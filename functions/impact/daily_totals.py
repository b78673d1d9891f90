"""The platform's total of a day, from the totals of its shards. Pure: no AWS."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from impact.billing import Terms, statement, zero_sum
from impact.fx_rates import FxRate
from impact.summary import Tally
from impact.types import Item

DAYS_MAX = 366  # most days in one request

NO_USE: Item = {}  # the total of a day without any request

_EXCHANGE = ("fxRate", "fxDate")


def daily_total(day: str, totals: Iterable[Item], shard_count: int) -> Item:
    """Add up the shards of a day: NO_USE, or the total. It is `final` if each shard is."""
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
    """Return a total for a response, stored or just computed, with every sum that this release knows."""
    others = {name: row[name] for name in ("day", "users", *_EXCHANGE, "asOf") if name in row}
    return others | sum_totals([row]) | {"final": row["final"] and not reopened}


def sum_totals(rows: Iterable[Item]) -> Item:
    """Add up totals, without models: the platform has too many."""
    total = zero_sum()
    for row in rows:
        total.merge(Tally.from_fields(row))
    return {name: value for name, value in total.as_fields().items() if name != "models"}


def day_statements(totals: Iterable[Item]) -> Iterator[Item]:
    """Add up a day's shards, then convert them: one division for all with the same rate and terms."""
    alike: dict[tuple[FxRate | None, Terms], Tally] = {}
    for total in totals:
        rate = FxRate(total["fxDate"], Decimal(total["fxRate"])) if "fxRate" in total else None
        terms = Terms.from_fields(total.get("terms", {}))
        alike.setdefault((rate, terms), Tally()).merge(Tally.from_fields(total))
    for (rate, terms), sums in alike.items():
        yield statement(sums, rate, terms)
