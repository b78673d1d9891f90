"""`impact export`: summaries, or the ledger's events, as files."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from impact_cli.days import UserId, bounds, with_range
from impact_cli.exporting import Part, Step, to_file, to_folder, to_stdout
from impact_cli.output import note
from impact_cli.records import (
    SUMMARY_COLUMNS,
    Record,
    column_types,
    csv_header,
    csv_lines,
    json_lines,
    to_json,
)
from impact_cli.target import Target, with_target
from impact_cli.usage_days import days_with_use, summaries_of
from impact_client import Summary

STDOUT = Path("-")


def _to_a_file(function: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option("--overwrite", is_flag=True, help="Replace what is there."),
        click.option("--output", "-o", type=click.Path(path_type=Path), help="File. [standard output: -]"),
    ]
    for option in options:
        function = option(function)
    return with_range(function)


_events = click.option("--events", is_flag=True, help="The single requests instead. Needs AWS credentials.")


@click.group()
def command() -> None:
    """Write days as files: summaries, or with --events the single requests.

    Amounts have all their digits. If an export to a file is stopped, the same command continues it.

    \b
    Examples:
      impact export csv --since last-month -o last-month.csv
      impact export person alice -o alice/
    """


@command.command("csv", short_help="rows for a spreadsheet")
@_events
@_to_a_file
@with_target
def csv_(
    since: str | None, until: str | None, events: bool, output: Path | None, overwrite: bool, target: Target
) -> None:
    """Write a row a user and day as CSV, or with --events a row a request.

    A column of a nested field has a dot in its name, such as co2eKg.low. The models of a summary are left
    out: `export jsonl` and `export focus` have them. Text that a spreadsheet would run as a formula begins
    with `'`.

    \b
    Examples:
      impact export csv --since 2026-11 -o november.csv
      impact export csv --events --since yesterday --until yesterday | gzip > requests.csv.gz
    """
    columns = tuple(_event_column_types()) if events else SUMMARY_COLUMNS
    identity, parts = _parts("csv", target, since, until, events)
    steps = [Step(name, lambda of=of: csv_lines(of(), columns)) for name, of in parts]  # type: ignore[misc]
    _write(output, csv_header(columns), steps, identity, overwrite)


@command.command(short_help="lines of JSON")
@_events
@_to_a_file
@with_target
def jsonl(
    since: str | None, until: str | None, events: bool, output: Path | None, overwrite: bool, target: Target
) -> None:
    """Write a line of JSON a user and day, with its models, or with --events a line a request.

    \b
    Example:
      impact export jsonl --since last-month -o last-month.jsonl
    """
    identity, parts = _parts("jsonl", target, since, until, events)
    steps = [Step(name, lambda of=of: json_lines(of())) for name, of in parts]  # type: ignore[misc]
    _write(output, "", steps, identity, overwrite)


@command.command(short_help="a folder for Athena, DuckDB and Spark")
@_events
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder.")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@with_range
@with_target
def parquet(
    since: str | None, until: str | None, events: bool, output: Path, overwrite: bool, target: Target
) -> None:
    """Write a folder of Parquet files, `day=YYYY-MM-DD/...`, as Athena, DuckDB and Spark read it.

    Amounts are text with all their digits: CAST("costEUR" AS DECIMAL(38, 18)). It needs more packages:
    pip install './cli[parquet]'.

    \b
    Example:
      impact export parquet --since 2026-11 -o november/
    """
    from impact_cli.parquet import write_parquet

    columns = _event_column_types() if events else column_types(Summary) | {"models": dict}
    identity, parts = _parts("parquet", target, since, until, events)
    files = [(f"{name}.parquet", partial(_write_part, write_parquet, of, columns)) for name, of in parts]
    to_folder(output, files, identity, overwrite=overwrite)
    note(f"Written: {len(files)} files in {output}.")


@command.command(short_help="costs for FinOps tools")
@click.option("--issuer", help="Who runs the stack: InvoiceIssuerName. [the stack's name]")
@click.option(
    "--time-zone", help="Time zone in which a day begins. [the stack's, which needs AWS credentials]"
)
@_to_a_file
@with_target
def focus(
    since: str | None,
    until: str | None,
    issuer: str | None,
    time_zone: str | None,
    output: Path | None,
    overwrite: bool,
    target: Target,
) -> None:
    """Write costs as FOCUS 1.2, the open format that FinOps tools read. docs/exports.md describes it.

    A row a day, user and model; markup, fee, rounding and corrections are rows of their own. The sum of a
    file is that of `impact usage`, to the last digit. Metadata is written beside the file.

    \b
    Example:
      impact export focus --since last-month --issuer "Example University" -o focus.csv
    """
    from impact_cli import focus as format_
    from impact_cli.focus_export import day_lines, starts_at

    impact = target.reader()
    zone, begin = starts_at(target, time_zone)
    first, last, totals = days_with_use(impact, *bounds(since, until, impact.today))
    who = format_.Identity(target.stack, target.stack, issuer or target.stack)
    now = datetime.now(UTC)
    steps = [day_lines(impact, total["day"], who, begin, now) for total in totals]
    identity = _identity("focus", target, impact.url, first, last) | {
        "issuer": who.invoice_issuer,
        "timeZone": zone,
    }
    header = csv_header(format_.COLUMNS)
    if output is None or output == STDOUT:
        to_stdout(header, steps)
        return
    days = [total for total in to_file(output, header, steps, identity, overwrite=overwrite) if total]
    beside = output.with_name(f"{output.name}.metadata.json")
    described = format_.metadata(days, first, last, time_zone=zone, who=who)
    beside.write_text(to_json(described) + "\n", encoding="utf-8")
    final = described.get("x_FinalThrough", "no day yet")
    note(f"Written: {output} and {beside.name}. Final through: {final}.")


@command.command(short_help="all that is held of one user, for them to read")
@click.argument("user", type=UserId())
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder.")
@with_target
def person(user: str, output: Path, target: Target) -> None:
    """Write all that is held of USER, for them to read (GDPR, article 15). Needs AWS credentials.

    The folder gets `data.json`, with every event and summary, and `index.html`, a page to read.

    \b
    Example:
      impact export person alice -o alice/
    """
    from impact_cli.person import write_person

    events, summaries = write_person(target.session(), target.stack, user, output)
    note(f"Written: {events:,} events and {summaries:,} daily summaries in {output}.")


def _parts(
    kind: str, target: Target, since: str | None, until: str | None, events: bool
) -> tuple[dict[str, Any], list[Part]]:
    """Which export this is, and its parts."""
    if events:
        from impact_cli.ledger_export import shards, source_of

        session = target.session()
        first, last, parts = shards(session, target.stack, since, until)
        return _identity(kind, target, source_of(session), first, last, of="events"), parts
    impact = target.reader()
    first, last, totals = days_with_use(impact, *bounds(since, until, impact.today))
    days: list[Part] = [
        (f"day={total['day']}/summaries", partial(summaries_of, impact, total)) for total in totals
    ]
    return _identity(kind, target, impact.url, first, last), days


def _identity(
    kind: str, target: Target, source: str, first: str, last: str, of: str = "summaries"
) -> dict[str, Any]:
    """Which export this is. Stacks of one name may be in several accounts: `source` tells them apart."""
    return {"format": kind, "of": of, "stack": target.stack, "source": source, "from": first, "to": last}


def _write(
    output: Path | None, header: str, steps: list[Step], identity: dict[str, Any], overwrite: bool
) -> None:
    if output is None or output == STDOUT:
        to_stdout(header, steps)
    else:
        to_file(output, header, steps, identity, overwrite=overwrite)
        note(f"Written: {output}")


def _write_part(
    write: Callable[..., None], records: Callable[[], Iterable[Record]], columns: dict[str, type], path: Path
) -> None:
    write(path, records(), columns)


def _event_column_types() -> dict[str, type]:
    from impact_cli.event_names import COLUMNS

    return COLUMNS
