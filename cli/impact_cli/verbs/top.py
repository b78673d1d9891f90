"""`impact top`: the users, or the models, that cost most."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from impact.summary import Tally
from impact_cli.days import bounds, with_range
from impact_cli.missing import missing
from impact_cli.output import show, with_format
from impact_cli.progress import Progress
from impact_cli.records import columns_of
from impact_cli.table import bar, count, footprint, money, name_column, share, table, text
from impact_cli.target import Target, with_target
from impact_cli.usage_days import summaries_of
from impact_client import Figures, Summary, Sums, Totals

if TYPE_CHECKING:
    from impact_client import Impact

Item = dict[str, Any]

SHOWN = 20
NAME_FIELDS = ("name", "costCentre")


@click.command()
@click.argument("by", type=click.Choice(["users", "models"]))
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
    """Show the users or the models of a range of days, dearest first, with their shares.

    The table has the first --limit of them; --json, --jsonl and --csv have all.

    \b
    Examples:
      impact top users --since last-month
      impact top models --since 2026-11-01 --until 2026-11-07 --limit 5
    """
    impact = target.reader()
    totals = impact.totals(*bounds(since, until, impact.today))
    items = _items(impact, by, totals)
    figures = Sums if by == "users" else Figures
    show(
        form,
        document=lambda: {
            "by": by[:-1],
            "from": totals["from"],
            "to": totals["to"],
            "items": items,
            "next": None,
        },
        records=lambda: items,
        columns=("value", *(NAME_FIELDS if by == "users" else ()), *columns_of(figures)),
        table=lambda: _text(by, items[:limit], len(items), totals),
    )


def _items(impact: "Impact", by: str, totals: Totals) -> list[Item]:
    """Add up every summary of the days, by user or by model."""
    sums: defaultdict[str, Tally] = defaultdict(Tally)
    called: dict[str, Item] = {}
    for summary in _summaries(impact, totals):
        if by == "users":
            called[summary["userId"]] = {name: of for name, of in summary.items() if name in NAME_FIELDS}
        parts: Mapping[str, Any] = (
            {summary["userId"]: summary} if by == "users" else summary.get("models", {})
        )
        for value, figures in parts.items():
            sums[value].merge(Tally.from_fields(dict(figures)))
    dearest = sorted(sums.items(), key=lambda pair: (-_cost(pair[1]), pair[0]))
    fields = columns_of(Sums if by == "users" else Figures)
    names = {name.partition(".")[0] for name in fields}
    return [
        {
            "value": value,
            **called.get(value, {}),
            **{name: n for name, n in tally.as_fields().items() if name in names},
        }
        for value, tally in dearest
    ]


def _summaries(impact: "Impact", totals: Totals) -> Iterator[Summary]:
    progress, read = Progress(), 0
    for day in totals["days"]:
        for summary in summaries_of(impact, day):
            read += 1
            progress.show(f"{day['day']}: {read:,} summaries read")
            yield summary
    progress.clear()


def _cost(figures: Tally) -> Decimal:
    """Euros, and dollars that wait for their fx rate: for the order, not for a bill."""
    return figures.costEUR + figures.unconverted


def _text(by: str, items: list[Item], number: int, totals: Totals) -> str:
    head = f"{by.capitalize()} of {totals['from']} to {totals['to']}, dearest first"
    if not items:
        return f"{head}: no requests."
    total = totals["total"]
    largest = max(item["costEUR"] for item in items)
    who = {by[:-1]: text("value"), **name_column(items)}
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
    rest = [f"{number - len(items):,} more: --limit {number}"] if number > len(items) else []
    return "\n".join((head, "", rows, "", *rest, *missing(total, totals["days"])))
