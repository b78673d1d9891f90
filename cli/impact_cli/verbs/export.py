"""`impact export`: summaries, usage by dimension, or the ledger's events, as files."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial, wraps
from pathlib import Path
from typing import Any, cast, get_args

import click

from impact_cli.days import UserId, bounds, with_range
from impact_cli.exporting import Part, Step, to_file, to_folder, to_stdout
from impact_cli.output import note
from impact_cli.records import (
    Record,
    column_types,
    csv_header,
    csv_lines,
    json_lines,
    to_json,
)
from impact_cli.target import Target, with_target
from impact_cli.usage_days import DayValue, days_with_use, summaries_of, values_of
from impact_client import Dimension, Summary

STDOUT = Path("-")
EVENTS = "events"
DIMENSIONS = get_args(Dimension)


def _to_a_file(function: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option("--overwrite", is_flag=True, help="Replace what is there."),
        click.option("--output", "-o", type=click.Path(path_type=Path), help="File. [standard output: -]"),
    ]
    for option in options:
        function = option(function)
    return with_range(function)


def _of_what(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take --events and --by, and pass it the choice as `of`: None for summaries."""

    @wraps(function)
    def chosen(*arguments: Any, events: bool, by: str | None, **options: Any) -> Any:
        if events and by:
            raise click.UsageError("Give --events or --by, not both.")
        return function(*arguments, of=EVENTS if events else by, **options)

    about = "The single requests instead. Needs AWS credentials."
    chosen = click.option("--events", is_flag=True, help=about)(chosen)
    return click.option("--by", type=click.Choice(DIMENSIONS), help="A row a day and team ... instead.")(
        chosen
    )


@click.group()
def command() -> None:
    """Write days as files: summaries, with --by what teams, keys ... did, or with --events single requests.

    Amounts have all their digits. If an export to a file is stopped, the same command continues it.

    \b
    Examples:
      impact export csv --since last-month -o last-month.csv
      impact export person alice -o alice/
    """


@command.command("csv", short_help="rows for a spreadsheet")
@_of_what
@_to_a_file
@with_target
def csv_(
    since: str | None, until: str | None, of: str | None, output: Path | None, overwrite: bool, target: Target
) -> None:
    """Write a row a user and day as CSV; with --by a row a day and team, key ...; with --events a request.

    A column of a nested field has a dot in its name, such as co2eKg.low. The models of a summary are left
    out: `export jsonl` and `export focus` have them. Text that a spreadsheet would run as a formula begins
    with `'`.

    \b
    Examples:
      impact export csv --since 2026-11 -o november.csv
      impact export csv --by team --since last-month -o teams.csv
      impact export csv --events --since yesterday --until yesterday | gzip > requests.csv.gz
    """
    columns = tuple(_column_types(of))
    identity, parts = _parts("csv", target, since, until, of)
    steps = [Step(name, lambda read=read: csv_lines(read(), columns)) for name, read in parts]  # type: ignore[misc]
    _write(output, csv_header(columns), steps, identity, overwrite)


@command.command(short_help="lines of JSON")
@_of_what
@_to_a_file
@with_target
def jsonl(
    since: str | None, until: str | None, of: str | None, output: Path | None, overwrite: bool, target: Target
) -> None:
    """Write a line of JSON a user and day, with its models; with --by or --events as `export csv` does.

    \b
    Example:
      impact export jsonl --since last-month -o last-month.jsonl
    """
    identity, parts = _parts("jsonl", target, since, until, of)
    steps = [Step(name, lambda read=read: json_lines(read())) for name, read in parts]  # type: ignore[misc]
    _write(output, "", steps, identity, overwrite)


@command.command(short_help="a folder for Athena, DuckDB and Spark")
@_of_what
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder.")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@with_range
@with_target
def parquet(
    since: str | None, until: str | None, of: str | None, output: Path, overwrite: bool, target: Target
) -> None:
    """Write a folder of Parquet files, `day=YYYY-MM-DD/...`, as Athena, DuckDB and Spark read it.

    Amounts are text with all their digits: CAST("costEUR" AS DECIMAL(38, 18)). It needs more packages:
    pip install './cli[parquet]'.

    \b
    Example:
      impact export parquet --since 2026-11 -o november/
    """
    from impact_cli.parquet import write_parquet

    columns = _column_types(of) | ({"models": dict} if of is None else {})
    identity, parts = _parts("parquet", target, since, until, of)
    files = [(f"{name}.parquet", partial(_write_part, write_parquet, read, columns)) for name, read in parts]
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
    kind: str, target: Target, since: str | None, until: str | None, of: str | None
) -> tuple[dict[str, Any], list[Part]]:
    """Which export this is, and its parts."""
    if of == EVENTS:
        from impact_cli.ledger_export import shards, source_of

        session = target.session()
        first, last, parts = shards(session, target.stack, since, until)
        return _identity(kind, target, source_of(session), first, last, of=EVENTS), parts
    impact = target.reader()
    first, last, totals = days_with_use(impact, *bounds(since, until, impact.today))
    read = partial(values_of, impact, cast("Dimension", of)) if of else partial(summaries_of, impact)
    what = of or "summaries"
    days: list[Part] = [(f"day={total['day']}/{what}", partial(read, total)) for total in totals]
    return _identity(kind, target, impact.url, first, last, of=what), days


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


def _column_types(of: str | None) -> dict[str, type]:
    if of == EVENTS:
        from impact_cli.event_names import COLUMNS

        return COLUMNS
    return column_types(DayValue if of else Summary)
