"""`impact usage`: the days of a user, or of the platform, and their sum."""

from collections.abc import Mapping
from typing import Any

import click

from impact_cli import records
from impact_cli.days import UserId, bounds, with_range
from impact_cli.missing import missing
from impact_cli.output import show, with_format
from impact_cli.table import Cell, count, footprint, money, table, whose
from impact_cli.target import Target, with_target

COLUMNS: dict[str, Cell] = {
    "requests": count("requests"),
    "failed": count("failures"),
    "tokens in": count("tokens_in"),
    "tokens out": count("tokens_out"),
    "USD": money("costUSD"),
    "EUR": money("costEUR"),
    "EUR billed": money("billedEUR"),
    "g CO2e": footprint("co2eKg", 1000),
    "L water": footprint("waterL"),
    "Wh": footprint("energyKWh", 1000),
}
"""Of the tables of `impact usage` and `impact day`."""
SUM = "sum"


@click.command()
@click.argument("user", type=UserId(), required=False)
@with_range
@click.option("--fresh", is_flag=True, help="Compute days that are not final from the ledger, now.")
@with_format
@with_target
def command(
    user: str | None, since: str | None, until: str | None, fresh: bool, form: str, target: Target
) -> None:
    """Show the days of USER and their sum; without USER those of the platform.

    What a sum does not contain is said below it: requests without a price or without an estimate, dollars
    without an fx rate, days that are not final.

    \b
    Examples:
      impact usage alice --since 2026-11
      impact usage --since last-month --csv > last-month.csv
      impact usage --json -- -rf             # an id that begins with a dash
    """
    if fresh and user is None:
        raise click.UsageError("--fresh needs a USER.")
    impact = target.reader()
    first, last = bounds(since, until, impact.today)
    if user is None:
        usage: Mapping[str, Any] = impact.totals(first, last)
    else:
        usage = impact.usage(user, first, last, fresh=fresh)
    name = {field: usage[field] for field in ("name", "costCentre") if field in usage}
    show(
        form,
        document=lambda: usage,
        records=lambda: [day | name for day in usage["days"]],
        columns=records.DAY_COLUMNS if user is None else records.SUMMARY_COLUMNS,
        table=lambda: _text(usage),
    )


def _text(usage: Mapping[str, Any]) -> str:
    who = whose(usage) if "userId" in usage else "The platform"
    head = f"{who}, {usage['from']} to {usage['to']}"
    if not usage["days"]:
        return f"{head}: no requests."
    rows = [*usage["days"], usage["total"] | {"day": SUM}]
    days = table(rows, {"day": lambda row: str(row["day"]), **COLUMNS})
    return "\n".join((head, "", days, "", *missing(usage["total"], usage["days"], usage.get("notFresh", ()))))
