"""`impact day`: every user of a day."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING

import click

from impact_cli import records
from impact_cli.days import SingleDay, first_day
from impact_cli.missing import COUNTED, missing
from impact_cli.output import CSV, JSONL, note, show, with_format
from impact_cli.table import Row, name_column, table, text
from impact_cli.target import Target, with_target
from impact_cli.verbs.usage import COLUMNS

if TYPE_CHECKING:
    from impact_client import Impact

PAGE_ROWS = 50


@click.command()
@click.argument("day", type=SingleDay(), default="today")
@with_format
@with_target
def command(day: str, form: str, target: Target) -> None:
    """Show every user of DAY (YYYY-MM-DD, today or yesterday).

    The table comes in pages of 50 users. --csv and --jsonl print each user as it is read.

    \b
    Examples:
      impact day yesterday
      impact day 2026-11-23 --csv > day.csv
    """
    impact = target.reader()
    day = first_day(day, impact.today)
    if form in (CSV, JSONL):
        show(form, document=list, records=lambda: impact.day(day), columns=records.SUMMARY_COLUMNS, table=str)
    else:
        show(
            form,
            document=lambda: {"day": day, "items": list(impact.day(day))},
            records=list,
            columns=(),
            table=lambda: _pages(impact, day),
        )


def _pages(impact: "Impact", day: str) -> str:
    """Print all pages but the last one, and return that."""
    summaries = impact.day(day)
    last: list[Row] = []
    users, total = 0, dict.fromkeys(COUNTED, Decimal(0))
    while page := _page(summaries):
        if last:
            print(_table(last), end="\n\n")
        last = page
        users += len(page)
        for name in COUNTED:
            total[name] += sum(summary.get(name, 0) for summary in page)
    if not last:
        return f"{day}: no requests."
    note(" ".join((f"{day}: {users:,} users.", *missing(total, ()))))
    return _table(last)


def _page(summaries: Iterator[Row]) -> list[Row]:
    return list(islice(summaries, PAGE_ROWS))


def _table(page: list[Row]) -> str:
    final = {"final": lambda row: "yes" if row["final"] else "no"}
    who = {"user": text("userId"), **name_column(page)}
    return table(page, {**who, **COLUMNS, **final}, left=len(who))
