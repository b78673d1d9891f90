"""How a command prints: a table for people, or --json, --jsonl, --csv for programs."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from impact_cli.follow_up import same_stack
from impact_cli.records import Record, csv_header, csv_lines, to_json
from impact_cli.table import visible

R = TypeVar("R")

TABLE, JSON, JSONL, CSV = "table", "json", "jsonl", "csv"


def with_format(function: Callable[..., R]) -> Callable[..., R]:
    """Let a command take --json, --jsonl and --csv, and pass it the choice as `form`."""
    choices = {
        "--csv": (CSV, "Print rows as CSV."),
        "--jsonl": (JSONL, "Print a line of JSON a row."),
        "--json": (JSON, "Print one JSON document, with the API's field names."),
    }
    for name, (form, about) in choices.items():
        function = click.option(name, "form", flag_value=form, help=about)(function)
    return click.option("--table", "form", flag_value=TABLE, default=TABLE, hidden=True)(function)


def show(
    form: str,
    *,
    document: Callable[[], Any],
    records: Callable[[], Iterable[Record]],
    columns: Sequence[str],
    table: Callable[[], str],
) -> None:
    """Print in the form that was chosen; only that one is made."""
    if form == JSON:
        write_json(document())
    elif form == JSONL:
        for record in records():
            write_json(record)
    elif form == CSV:
        write(csv_header(columns))
        for line in csv_lines(records(), columns):
            write(line)
    else:
        print(table())


def write_json(value: Any) -> None:
    """Write a line of JSON to standard output."""
    write(f"{to_json(value)}\n")


def write(lines: str) -> None:
    """Write data to standard output: as they are, but to a terminal nothing that it would obey."""
    if sys.stdout.isatty():
        lines = "\n".join(map(visible, lines.split("\n")))
    sys.stdout.write(lines)


def note(message: str) -> None:
    """Say something that is no data, on standard error."""
    click.echo(same_stack(message), err=True)
