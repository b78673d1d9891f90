"""`impact usage`: the days of a user, a team, a key, a tag, or of the platform, and their sum."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from impact_cli import records
from impact_cli.days import Label, UserId, bounds, with_range
from impact_cli.missing import missing
from impact_cli.output import show, with_format
from impact_cli.table import Cell, count, footprint, money, table, whose
from impact_cli.target import Target, with_target
from impact_client import ValueDay, ValueField

if TYPE_CHECKING:
    from impact_client import Impact

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
NAME_FIELDS = ("name", "costCentre")
VALUE_COLUMNS = records.columns_of(ValueDay)


KINDS = {"userId": "", "teamId": "Team ", "keyAlias": "Key ", "tag": "Tag "}
"""What a response may be of, by the field that names it, and how a heading begins."""


@click.command()
@click.argument("user", type=UserId(), required=False)
@click.option("--team", type=Label(), metavar="ID", help="The days of a team.")
@click.option("--key", type=Label(), metavar="ALIAS", help="The days of a key.")
@click.option("--tag", type=Label(), help="The days of a tag.")
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
    """Show the days of USER, a team, a key or a tag, and their sum; without any those of the platform.

    What a sum does not contain is said below it: requests without a price or without an estimate, dollars
    without an fx rate, days that are not final.

    \b
    Examples:
      impact usage alice --since 2026-11
      impact usage --team marketing --since last-month
      impact usage --since last-month --csv > last-month.csv
      impact usage --json -- -rf             # an id that begins with a dash
    """
    given = {"userId": user, "teamId": team, "keyAlias": key, "tag": tag}
    asked = {field: value for field, value in given.items() if value is not None}
    if len(asked) > 1:
        raise click.UsageError("Give one of USER, --team, --key and --tag.")
    if fresh and user is None:
        raise click.UsageError("--fresh needs a USER.")
    impact = target.reader()
    usage = _read(impact, asked, *bounds(since, until, impact.today), fresh=fresh)
    of = asked | {field: usage[field] for field in NAME_FIELDS if field in usage}
    show(
        form,
        document=lambda: usage,
        records=lambda: [day | of for day in usage["days"]],
        columns=_columns(*asked),
        table=lambda: _text(usage),
    )


def _read(
    impact: "Impact", asked: dict[str, str], first: str | None, last: str | None, *, fresh: bool
) -> Mapping[str, Any]:
    for field, value in asked.items():
        if field == "userId":
            return impact.usage(value, first, last, fresh=fresh)
        return impact.usage_of(cast("ValueField", field), value, first, last)
    return impact.totals(first, last)


def _columns(field: str | None = None) -> Sequence[str]:
    if field is None:
        return records.DAY_COLUMNS
    return records.SUMMARY_COLUMNS if field == "userId" else (field, *NAME_FIELDS, *VALUE_COLUMNS)


def _text(usage: Mapping[str, Any]) -> str:
    [who] = [f"{kind}{whose(usage, field)}" for field, kind in KINDS.items() if field in usage] or [
        "The platform"
    ]
    head = f"{who}, {usage['from']} to {usage['to']}"
    in_rest = usage.get("inRest", ())
    if not usage["days"] and not in_rest:
        return f"{head}: no requests."
    rows = [*usage["days"], usage["total"] | {"day": SUM}]
    days = table(rows, {"day": lambda row: str(row["day"]), **COLUMNS})
    lines = missing(usage["total"], usage["days"], usage.get("notFresh", ()), in_rest)
    return "\n".join((head, "", days, "", *lines))
