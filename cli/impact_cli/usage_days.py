"""The days with use of a range of any length: the API gives a year at a time."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, cast

from impact.daily_totals import DAYS_MAX
from impact_cli.output import note
from impact_cli.progress import Progress
from impact_client import BreakdownItem, DayTotal, Dimension, Summary

if TYPE_CHECKING:
    from impact_client import Impact


class DayValue(BreakdownItem):
    """What one value of a dimension did on a day."""

    by: str
    day: str
    final: bool


def days_with_use(impact: "Impact", first: str | None, last: str | None) -> tuple[str, str, list[DayTotal]]:
    """Return the first and the last day of a range, and the platform's days with use in it, in order.

    Without days: the last 30.
    """
    if first is None:
        totals = impact.totals(first, last)
        return totals["from"], totals["to"], totals["days"]
    last = last or impact.today()
    days: list[DayTotal] = []
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    while begin <= end:
        until = min(end, begin + timedelta(days=DAYS_MAX - 1))
        days += impact.totals(str(begin), str(until))["days"]
        begin = until + timedelta(days=1)
    return first, last, days


def summaries_of(impact: "Impact", total: DayTotal) -> Iterator[Summary]:
    """Yield the summary of every user of a day. Say so if they are not as many as its total has.

    The API lists them by an index, which lags behind for a second or so after the day was recomputed.
    """
    users = 0
    for summary in impact.day(total["day"]):
        users += 1
        yield summary
    if users != total["users"]:
        Progress().clear()
        note(
            f"{total['day']} has just changed: {users:,} users were read, its total has {total['users']:,}."
            " Run it again in a minute."
        )


def values_of(impact: "Impact", by: Dimension, total: DayTotal) -> Iterator[DayValue]:
    """Yield what each value of a dimension did on a day, dearest first."""
    day = total["day"]
    found = impact.breakdown(by, day, day)
    for item in found["items"]:
        yield cast("DayValue", {"by": by, "day": day} | item | {"final": found["final"]})
