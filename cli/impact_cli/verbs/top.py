"""`impact top`: the users, teams, keys, tags, models or providers that cost most."""

from collections.abc import Sequence
from typing import Any, get_args

import click

from impact_cli.days import bounds, with_range
from impact_cli.missing import missing
from impact_cli.output import show, with_format
from impact_cli.records import columns_of
from impact_cli.table import (
    NONE,
    TEXT_MAX,
    bar,
    count,
    footprint,
    money,
    name_column,
    share,
    table,
    visible,
)
from impact_cli.target import Target, with_target
from impact_client import Breakdown, BreakdownItem, Dimension, Totals

SHOWN = 20
DIMENSIONS: dict[str, Dimension] = {f"{by}s": by for by in get_args(Dimension)}
WITH_NAMES = ("user", "team", "key")
NAMES = ("name", "costCentre")
OTHERS = "(others)"


@click.command()
@click.argument("by", type=click.Choice(list(DIMENSIONS)))
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
    """Show what users, teams, keys, tags, models or providers cost, dearest first, with their shares.

    The table has the first --limit of them; --json, --jsonl and --csv have all. A dash stands for requests
    that have none, and (others) for those that did not stand by themselves: of each day and shard, the
    dearest thousand do.

    \b
    Examples:
      impact top users --since last-month
      impact top teams --since 2026-11
      impact top models --since 2026-11-01 --until 2026-11-07 --limit 5
    """
    impact = target.reader()
    totals = impact.totals(*bounds(since, until, impact.today))
    breakdown = impact.breakdown(DIMENSIONS[by], totals["from"], totals["to"])
    items = breakdown["items"]
    names = NAMES if breakdown["by"] in WITH_NAMES else ()
    figures = [name for name in columns_of(BreakdownItem) if name not in ("value", "rest", *NAMES)]
    show(
        form,
        document=lambda: breakdown | {"next": None},
        records=lambda: items,
        columns=("value", "rest", *names, *figures),
        table=lambda: _text(breakdown, items[:limit], totals),
    )


def _text(breakdown: Breakdown, items: Sequence[BreakdownItem], totals: Totals) -> str:
    by = breakdown["by"]
    head = f"{by.capitalize()}s of {totals['from']} to {totals['to']}, dearest first"
    if not items:
        return f"{head}: no requests."
    total = totals["total"]
    largest = max(item["costEUR"] for item in items)
    who = {by: _value, **name_column(items)}
    rows = table(
        items,
        {
            **who,
            "requests": count("requests"),
            "tokens": lambda item: f"{item['tokens_in'] + item['tokens_out']:,}",
            "USD": money("costUSD"),
            "EUR": money("costEUR"),
            "share": lambda item: share(item["costEUR"], total["costEUR"]),
            "g CO2e": footprint("co2eKg", 1000),
            "": lambda item: f"{bar(item['costEUR'], largest):20}",
        },
        left=len(who),
    )
    more = len(breakdown["items"]) - len(items)
    rest = [f"{more:,} more: --limit {more + len(items)}"] if more else []
    several = ["A request with several tags is in the row of each."] if by == "tag" else []
    return "\n".join((head, "", rows, "", *rest, *several, *missing(total, totals["days"])))


def _value(item: Any) -> str:
    """A value, in quotes where it looks like the words that stand for none, or for the rest."""
    if item.get("rest"):
        return OTHERS
    if item["value"] is None:
        return NONE
    shown = visible(item["value"], TEXT_MAX)
    return f"'{shown}'" if shown in (NONE, OTHERS) else shown
