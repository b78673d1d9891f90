"""`impact corrections`: how final days were corrected, by whom and why."""

from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

import click

from impact_cli.output import show, with_format
from impact_cli.table import amount, table, text
from impact_cli.target import Target, with_target

if TYPE_CHECKING:
    from impact.price_store import Correction

COLUMNS = (
    *("number", "recordedAt", "recordedBy", "reason", "revision", "finished"),
    *("day", "costEURBefore", "costUSDBefore", "unpricedBefore", "costEUR", "costUSD", "unpriced"),
)


@click.command()
@with_format
@with_target
def command(form: str, target: Target) -> None:
    """List the corrections of final days: when, by whom, why, and what was before. Needs AWS credentials.

    A correction is what `impact reprice` has done. Each has the euros of its days, over all users, as they
    were before it and as they are today. --json has more of what was before, --csv a row a day.

    \b
    Examples:
      impact corrections
      impact corrections --csv > corrections.csv
    """
    from impact_cli.deployed_stack import calendar_of, store_of
    from impact_cli.repricing import totals_of

    session = target.session()
    store = store_of(session, target.stack)
    calendar = calendar_of(session, target.stack, store)  # first: it says if there is no such stack
    corrections = store.prices.corrections()
    unfinished = {correction.number for correction in store.prices.unfinished()}
    days = sorted({day for correction in corrections for day in correction.days})
    now = {total["day"]: total for total in totals_of(store, calendar, days)}
    rows = [row for one in corrections for row in _rows(one, now, is_finished=one.number not in unfinished)]
    show(
        form,
        document=lambda: [
            correction.as_fields() | {"finished": correction.number not in unfinished}
            for correction in corrections
        ],
        records=lambda: rows,
        columns=COLUMNS,
        table=lambda: _table(corrections, now, unfinished),
    )


def _rows(correction: "Correction", now: Mapping[str, Any], *, is_finished: bool) -> list[dict[str, Any]]:
    about = {name: value for name, value in correction.as_fields().items() if name in COLUMNS}
    return [
        about
        | {"finished": is_finished, "day": day}
        | {f"{name}Before": before.get(name) for name in ("costEUR", "costUSD", "unpriced")}
        | {name: now.get(day, {}).get(name) for name in ("costEUR", "costUSD", "unpriced")}
        for day, before in sorted(correction.before.items())
    ]


def _table(corrections: "list[Correction]", now: Mapping[str, Any], unfinished: set[int]) -> str:
    if not corrections:
        return "No final day was corrected."
    rows = [
        {
            "number": one.number,
            "at": one.recorded_at[:16].replace("T", " "),
            "days": one.days[0] if len(one.days) == 1 else f"{one.days[0]} to {one.days[-1]}",
            "by": one.recorded_by.rpartition(":")[2],
            "reason": one.reason + (" (not finished yet)" if one.number in unfinished else ""),
            "before": _sum(before.get("costEUR", Decimal(0)) for before in one.before.values()),
            "now": _sum(now.get(day, {}).get("costEUR", Decimal(0)) for day in one.days),
        }
        for one in corrections
    ]
    columns = {
        "no.": lambda row: str(row["number"]),
        "recorded at": text("at"),
        "days": text("days"),
        "by": text("by"),
        "reason": text("reason"),
        "EUR before": lambda row: amount(row["before"]),
        "EUR today": lambda row: amount(row["now"]),
    }
    return table(rows, columns, left=5)


def _sum(amounts: Any) -> Decimal:
    from impact.decimals import EXACT

    with localcontext(EXACT):
        return sum((Decimal(one) for one in amounts), Decimal(0))
