"""`impact price`: the operator's own prices."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from impact_cli.days import SingleDay, first_day, with_range
from impact_cli.output import show, with_format, write_json
from impact_cli.price_draft import AMOUNTS, CHOICES, InvalidDraft, read_end, read_price
from impact_cli.records import text as written
from impact_cli.table import NONE, Cell, amount, count, money, table, text, visible
from impact_cli.target import Target, with_target

if TYPE_CHECKING:
    from impact.price_book import Price
    from impact.types import Item

ABOUT = {
    "input": "A million prompt tokens.",
    "cached": "Of these, those read from a cache. [as --input]",
    "cache-write": "Of these, those written to a cache. [as --input]",
    "output": "A million completion tokens.",
    "reasoning": "Of these, those spent on reasoning. [as --output]",
    "per-request": "A request.",
    "per-second": "A second of latency: for models on machines of your own.",
}


@click.group()
def command() -> None:
    """Keep your own prices of models: for requests without a cost, or in place of what was reported.

    Prices are appended and never edited. docs/prices.md has the rules. Needs AWS credentials.

    \b
    Examples:
      impact price add openai/gpt-6 --from 2026-12-01 --input 1.25 --output 10 --source "contract 17"
      impact price list openai/gpt-6-mini          # which price has it, and why
      impact price check --since last-month        # a second opinion on what was reported
    """


def _with_amounts(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, about in reversed(ABOUT.items()):
        function = click.option(f"--{name}", metavar="AMOUNT", help=about)(function)
    return function


def _with_answers(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option("--dry-run", is_flag=True, help="Only show what would change.")(function)
    return click.option("--yes", is_flag=True, help="Do not ask.")(function)


_first_day = click.option(
    "--from", "from_", required=True, metavar="DAY", help="First day, in the stack's time zone: YYYY-MM-DD."
)
_source = click.option("--source", required=True, help="Where it is from, for people: a contract, a page.")


@command.command(short_help="append a price")
@click.argument("model")
@_first_day
@_with_amounts
@click.option(
    "--per-million/--per-token",
    "per_million",
    default=True,
    help="What amounts of tokens are for. [per million]",
)
@click.option(
    "--currency",
    type=click.Choice(CHOICES["currency"]),
    default="USD",
    show_default=True,
    help="What amounts are in.",
)
@click.option(
    "--only",
    type=click.Choice(CHOICES["only"]),
    default="unpriced",
    show_default=True,
    help="Requests that came without a cost, or all.",
)
@_source
@_with_answers
@with_target
def add(
    model: str, from_: str, per_million: bool, yes: bool, dry_run: bool, target: Target, **given: str | None
) -> int:
    """Append a price of MODEL: provider/model as events have it, or the beginning of names and a `*`.

    It shows what it replaces and where it does not hold, and asks. Days that are not final take it at the
    next rollup, final days by `impact reprice`. Without a terminal it needs --yes.

    \b
    Examples:
      impact price add openai/gpt-6 --from 2026-12-01 --input 1.25 --cached 0.125 --output 10 \\
          --source "contract 17"
      impact price add 'ollama/*' --from 2026-12-01 --per-second 0.0004 --source "our machines, 2026"
      impact price add openai/gpt-6 --from 2026-12-01 --input 1.25e-06 --output 1e-05 --per-token \\
          --only all --source "LiteLLM's map was wrong"
    """
    fields = {name.replace("_", "-"): value for name, value in given.items()}
    per = "million" if per_million else "token"
    price = _checked(read_price, {"model": model, "from": from_, "per": per} | fields)
    return _append(target, [price], yes=yes, dry_run=dry_run)


@command.command(short_help="end a price")
@click.argument("model")
@_first_day
@_source
@_with_answers
@with_target
def end(model: str, from_: str, source: str, yes: bool, dry_run: bool, target: Target) -> int:
    """End the price by the name MODEL: from that day on it has none any more.

    A shorter beginning may fit then, such as `openai/*`. MODEL is a name of the book, `*` included.

    \b
    Example:
      impact price end 'openai/gpt-6*' --from 2027-01-01 --source "contract 17 ended"
    """
    price = _checked(read_end, {"model": model, "from": from_, "source": source})
    return _append(target, [price], yes=yes, dry_run=dry_run)


@command.command(short_help="append a file of prices")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_with_answers
@with_target
def apply(file: Path, yes: bool, dry_run: bool, target: Target) -> int:
    """Append the prices of FILE, which ends in .toml or .csv, all or none, as one revision of the book.

    It shows what is new and what is replaced, leaves out what is in force already, and asks. If anything in
    the file is wrong, it names all that is, and appends nothing. At most 500 prices. Fields and columns are
    named as the options of `impact price add`; `per` is million or token.

    \b
    Example:
      impact price apply prices.toml --dry-run

    \b
    A prices.toml:
      [[price]]
      model = "openai/gpt-6"
      from = 2026-12-01
      input = 1.25
      cached = 0.125
      output = 10
      source = "contract 17"

    \b
    The same as prices.csv:
      model,from,input,cached,output,source
      openai/gpt-6,2026-12-01,1.25,0.125,10,contract 17
    """
    from impact_cli.price_file import read_prices

    return _append(target, read_prices(file), yes=yes, dry_run=dry_run)


@command.command("list", short_help="list prices; which price has a model, and why")
@click.argument("model", required=False)
@click.option("--on", type=SingleDay(), help="The prices of a day: YYYY-MM-DD, today or yesterday. [today]")
@click.option("--all", "all_", is_flag=True, help="Each entry that was ever appended.")
@with_format
@with_target
def list_(model: str | None, on: str | None, all_: bool, form: str, target: Target) -> None:
    """List the prices in force, those that fit MODEL, or with --all each entry that was ever appended.

    Of those that fit MODEL, the first is the one that it has.

    \b
    Examples:
      impact price list --on 2026-11-01
      impact price list openai/gpt-6-mini
      impact price list --all --csv
    """
    from impact_cli import price_listing as listing
    from impact_cli.deployed_stack import calendar_of, existing, store_of

    if all_ and on:
        raise click.UsageError("--all lists the entries of all days: leave --on out.")
    session = target.session()
    store = store_of(session, target.stack)
    with existing(session, target.stack):
        book = store.prices.book()
    if all_:
        rows = listing.history(book, model)
        _show(form, rows, listing.HISTORY, lambda: _history_table(rows))
        return
    day = first_day(
        on or "today", lambda: calendar_of(session, target.stack, store).day_of(datetime.now(UTC))
    )
    if model is None:
        rows = listing.in_force(book, day)
        _show(form, rows, listing.COLUMNS, lambda: _table_of_day(rows, day))
    else:
        rows = listing.fitting(book, day, model)
        _show(form, rows, listing.FITS, lambda: _table_of_model(rows, model, day))


@command.command(short_help="a second opinion on what was reported")
@with_range
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@with_target
def check(since: str | None, until: str | None, as_json: bool, target: Target) -> None:
    """Compare what requests were reported to cost with genai-prices, an open table of prices.

    It proposes a price for each model without one, as a command to run, and names the models whose sums
    differ by more than 1 %. It changes nothing: who is right, a person decides. It reads the single requests,
    but not those that a price of the book is for. The table is part of the package and as old as it is:
    pip install './cli[prices]'.

    \b
    Example:
      impact price check --since last-month
    """
    from impact_cli.deployed_stack import existing, store_of
    from impact_cli.ledger_export import shards
    from impact_cli.progress import Progress
    from impact_cli.second_opinion import SecondOpinion

    session = target.session()
    with existing(session, target.stack):
        opinion = SecondOpinion(store_of(session, target.stack).prices.book())
    first, last, parts = shards(session, target.stack, since, until)
    for _, events in Progress().of(parts, f"of {len(parts):,} partitions read"):
        opinion.add(events())
    document = {
        "from": first,
        "to": last,
        "source": opinion.source,
        "proposals": opinion.proposals(),
        "differences": opinion.differences(),
        "notKnown": opinion.not_known(),
    }
    if as_json:
        write_json(document)
    else:
        print("\n".join(_opinion_lines(document)))


def _opinion_lines(document: "Item") -> list[str]:
    lines = [f"{document['source']}, {document['from']} to {document['to']}", ""]
    if rows := document["differences"]:
        lines += ["Its sums differ by more than 1 % (US dollars, without tools):", _differences(rows), ""]
    else:
        lines += ["No model's sum differs by more than 1 %.", ""]
    if rows := document["proposals"]:
        lines += ["Without a price, and what it would charge. To append its price:", ""]
        lines += [line for row in rows for line in (*_proposal(row), "")]
    if rows := document["notKnown"]:
        lines += ["It knows no price of:", _not_known(rows), ""]
    return lines[:-1]


def _differences(rows: "list[Item]") -> str:
    columns = {
        "model": text("model"),
        "requests": count("requests"),
        "reported": money("reportedUSD"),
        "genai-prices": money("computedUSD"),
        "ratio": lambda row: written(row["ratio"]) or NONE,
    }
    return table(rows, columns)


def _proposal(row: "Item") -> list[str]:
    head = f"{visible(row['model'])}: {row['requests']:,} requests, {amount(row['costUSD'])} USD"
    lines = [row["command"]] if row["command"] else []
    return [head, *(f"    {line}" for line in (*lines, *map(visible, row["notes"])))]


def _not_known(rows: "list[Item]") -> str:
    columns = {"model": text("model"), "requests": count("requests"), "unpriced": count("unpriced")}
    return table(rows, columns)


def _show(form: str, rows: "list[Item]", columns: tuple[str, ...], as_table: Callable[[], str]) -> None:
    show(form, document=lambda: rows, records=lambda: rows, columns=columns, table=as_table)


def _rate(name: str) -> Cell:
    return lambda row: written(row.get("rates", {}).get(name)) or NONE


def _rows(rows: "list[Item]", more: dict[str, Cell]) -> str:
    """Make a table without the rates that no row has. `more` are its last columns."""
    used = {rate for row in rows for rate in row.get("rates", {})}
    columns: dict[str, Cell] = {"id": text("id"), "model": text("pattern"), "from": text("from")}
    columns |= {name.replace("-", " "): _rate(rate) for name, rate in AMOUNTS.items() if rate in used}
    columns |= {name: text(name) for name in ("currency", "only", "source")}
    columns |= more
    return table(rows, columns, left=len(columns))


def _table_of_day(rows: "list[Item]", day: str) -> str:
    return _rows(rows, {}) if rows else f"{NONE} no prices on {day}"


def _table_of_model(rows: "list[Item]", model: str, day: str) -> str:
    name = visible(model)
    if not rows:
        return f"{name} has no price in the book on {day}: a request costs what was reported with it."
    why = {
        "why": lambda row: (
            "shorter: not used"
            if not row["used"]
            else "its own name"
            if row["pattern"] == model
            else "the longest that fits"
        )
    }
    return f"{name} on {day} has the price {rows[0]['id']}.\n{_rows(rows, why)}"


def _history_table(rows: "list[Item]") -> str:
    if not rows:
        return f"{NONE} no prices"
    return _rows(
        rows,
        {
            "holds": _holds,
            "appended": lambda row: str(row["recordedAt"])[:19],
            "by": text("recordedBy"),
        },
    )


def _holds(row: Any) -> str:
    until = f" from {row['until']} on" if "until" in row else ""
    if "endedBy" in row:
        return f"ended by {row['endedBy']}{until}"
    if "replacedBy" in row:
        return f"replaced by {row['replacedBy']}{until}"
    return "an end" if row.get("ends") else NONE


def _checked(read: "Callable[[dict[str, Any]], Price]", fields: dict[str, Any]) -> "Price":
    """Read a price from options. Raises UsageError with all that is wrong."""
    try:
        return read(fields)
    except InvalidDraft as error:
        found = [f"{_option(field)} {visible(message)}" for field, message in error.faults]
        raise click.UsageError("; ".join(found) + ".") from None


def _option(field: str) -> str:
    return {"model": "MODEL", "price": "It"}.get(field, f"--{field}")


def _append(target: Target, prices: "list[Price]", *, yes: bool, dry_run: bool) -> int:
    from impact_cli.price_append import PriceBookOfStack

    return PriceBookOfStack.of(target.session(), target.stack).append(prices, yes=yes, dry_run=dry_run)
