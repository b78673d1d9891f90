"""`impact usage`: the days of a user, a team, a key, a tag, or of the platform, and their sum."""

from collections.abc import Mapping
from typing import Any

import click

from impact_cli import records
from impact_cli.days import UserId, bounds, with_range
from impact_cli.missing import missing
from impact_cli.output import show, with_format
from impact_cli.table import Cell, count, footprint, money, table, whose
from impact_cli.target import Target, with_target
from impact_client import ValueDay, ValueField

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
@click.option("--team", metavar="ID", help="The days of a team.")
@click.option("--key", metavar="ALIAS", help="The days of a key.")
@click.option("--tag", metavar="TAG", help="The days of a tag.")
@with_range
@click.option("--fresh", is_flag=True, help="Compute days that are not final from the ledger, now.")
@with_format
@with_target
def command(
    user: str | None,
    team: str | None,
    key: str | None,
    tag: str | None,
    since: str | None,
    until: str | None,
    fresh: bool,
    form: str,
    target: Target,
) -> None:
    """Show the days of USER, a team, a key or a tag, and their sum; without any, those of the platform.

    What a sum does not contain is said below it: requests without a price or without an estimate, dollars
    without an fx rate, days that are not final.

    \b
    Examples:
      impact usage alice --since 2026-11
      impact usage --team marketing --since last-month
      impact usage --since last-month --csv > last-month.csv
      impact usage --json -- -rf             # an id that begins with a dash
    """
    if fresh and user is None:
        raise click.UsageError("--fresh needs a USER.")
    asked: dict[ValueField, str | None] = {"teamId": team, "keyAlias": key, "tag": tag}
    values = [(field, value) for field, value in asked.items() if value is not None]
    if len(values) + (user is not None) > 1:
        raise click.UsageError("Give one of USER, --team, --key and --tag.")
    impact = target.reader()
    first, last = bounds(since, until, impact.today)
    columns = records.DAY_COLUMNS
    if user is not None:
        usage: Mapping[str, Any] = impact.usage(user, first, last, fresh=fresh)
        columns = records.SUMMARY_COLUMNS
    elif values:
        usage = impact.usage_of(*values[0], first, last)
        columns = records.columns_of(ValueDay)
    else:
        usage = impact.totals(first, last)
    name = {field: usage[field] for field in ("name", "costCentre") if field in usage}
    show(
        form,
        document=lambda: usage,
        records=lambda: [day | name for day in usage["days"]],
        columns=columns,
        table=lambda: _text(usage),
    )


def _text(usage: Mapping[str, Any]) -> str:
    head = f"{_whose(usage)}, {usage['from']} to {usage['to']}"
    in_rest = usage.get("inRest", ())
    if not usage["days"] and not in_rest:
        return f"{head}: no requests."
    rows = [*usage["days"], usage["total"] | {"day": SUM}]
    days = table(rows, {"day": lambda row: str(row["day"]), **COLUMNS})
    lines = missing(usage["total"], usage["days"], usage.get("notFresh", ()), in_rest)
    return "\n".join((head, "", days, "", *lines))


def _whose(usage: Mapping[str, Any]) -> str:
    if "userId" in usage:
        return whose(usage)
    for field, kind in (("teamId", "Team"), ("keyAlias", "Key"), ("tag", "Tag")):
        if field in usage:
            return f"{kind} {whose(dict(usage) | {'userId': usage[field]})}"
    return "The platform"
