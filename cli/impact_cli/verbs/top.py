"""`impact top`: the users, teams, keys, tags, models or providers that cost most."""

from typing import cast

import click

from impact_cli.days import bounds, with_range
from impact_cli.missing import missing
from impact_cli.output import show, with_format
from impact_cli.progress import Progress
from impact_cli.records import columns_of
from impact_cli.table import (
    Row,
    bar,
    count,
    footprint,
    money,
    name_column,
    share,
    table,
    value_cell,
    width,
)
from impact_cli.target import Target, with_target
from impact_client import BreakdownItem, Dimension, Totals

SHOWN = 20
COLUMNS = 80
"""Columns of a terminal that the bars keep within."""
BAR_COLUMNS = (4, 20)
"""Shortest and longest bar for the dearest: without room for the shortest there are none."""
DIMENSIONS = ("users", "teams", "keys", "tags", "models", "providers")


@click.command()
@click.argument("by", type=click.Choice(DIMENSIONS))
@with_range
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=SHOWN,
    metavar="NUMBER",
    help=f"Rows of the table. [{SHOWN}]",
)
@with_format
@with_target
def command(by: str, since: str | None, until: str | None, limit: int, form: str, target: Target) -> None:
    """Show what users, teams, keys, tags, models or providers did in a range of days, dearest first.

    The table has the first --limit of them; --json, --jsonl and --csv have all. (none) are requests without a
    team, key or tag. (others) are those too many to be kept one by one: all but the dearest 1,000 of a day.
    A request counts for each of its tags.

    \b
    Examples:
      impact top users --since last-month
      impact top teams --since 2026-11-01 --until 2026-11-07 --limit 5
    """
    impact = target.reader()
    progress = Progress()
    progress.show(f"Reading what {by} did ...")
    totals = impact.totals(*bounds(since, until, impact.today))
    found = impact.breakdown(cast("Dimension", by[:-1]), totals["from"], totals["to"])
    progress.clear()
    show(
        form,
        document=lambda: found | {"next": None},
        records=lambda: found["items"],
        columns=columns_of(BreakdownItem),
        table=lambda: _text(by, found["items"], limit, totals),
    )


def _text(by: str, items: list[BreakdownItem], limit: int, totals: Totals) -> str:
    head = f"{by.capitalize()} of {totals['from']} to {totals['to']}, dearest first"
    if not items:
        return f"{head}: no requests."
    shown, rest = items[:limit], [item for item in items[limit:] if "rest" in item]
    hidden = len(items) - len(shown) - len(rest)
    notes = [f"{hidden:,} more: --limit {len(items)}"] if hidden else []
    if "rest" in items[-1]:
        notes.append(
            f"(others): {by} that are not kept one by one, because a day had too many."
            " It may have some of what the rows above did."
        )
    return "\n".join(
        (head, "", _table(by, [*shown, *rest], totals), "", *notes, *_missing(by, items, totals))
    )


def _table(by: str, rows: list[BreakdownItem], totals: Totals) -> str:
    total = totals["total"]
    who = {by[:-1]: value_cell, **name_column(rows)}
    columns = {
        **who,
        "requests": count("requests"),
        "tokens": lambda item: f"{item['tokens_in'] + item['tokens_out']:,}",
        "USD": money("costUSD"),
        "EUR": money("costEUR"),
        "share": lambda item: share(item["costEUR"], total["costEUR"]),
        "g CO2e": footprint("co2eKg", 1000),
    }
    made = table(rows, columns, left=len(who))
    shortest, longest = BAR_COLUMNS
    room = min(COLUMNS - 2 - max(map(width, made.splitlines())), longest)
    if room < shortest:
        return made
    largest = max(item["costEUR"] for item in rows)

    def drawn(item: Row) -> str:
        return f"{bar(item['costEUR'], largest, room):{room}}"

    return table(rows, columns | {"": drawn}, left=len(who))


def _missing(by: str, items: list[BreakdownItem], totals: Totals) -> list[str]:
    """Say what the sums do not contain: that of the platform's, since a request may have several tags."""
    lines = missing(totals["total"], totals["days"])
    is_several = by == "tags" and sum(item["requests"] for item in items) > totals["total"]["requests"]
    return [*lines, "Requests with several tags count for each of them."] if is_several else lines
