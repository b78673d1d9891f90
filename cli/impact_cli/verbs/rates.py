"""`impact rates`: list, store and correct fx rates."""

import click

from impact.calendar import day_before
from impact_cli.days import SingleDay, bounds, with_range
from impact_cli.output import show, with_format
from impact_cli.table import NONE, table, text
from impact_cli.target import Target, with_target

LISTED_DAYS = 30
COLUMNS = ("date", "usd", "source", "recordedAt", "replaces", "reason")


@click.group()
def command() -> None:
    """List, store and correct the fx rates that days are converted at."""


@command.command("list", short_help="list stored rates")
@with_range
@with_format
@with_target
def list_(since: str | None, until: str | None, form: str, target: Target) -> None:
    """List the stored rates by ECB date, corrections too. Needs AWS credentials.

    A day is converted at the rate of the last ECB date before it. The last entry of a date is in effect.

    \b
    Example:
      impact rates list --since 2026-11
    """
    from impact_cli.deployed_stack import store_of, today_of
    from impact_cli.manual_rates import entries

    session = target.session()
    store = store_of(session, target.stack)
    first, last = bounds(since, until, lambda: today_of(session, target.stack, store))
    last = last or today_of(session, target.stack, store)
    rates = entries(store, first or day_before(last, LISTED_DAYS - 1), last)
    columns = {
        "ECB date": text("date"),
        "USD for 1 EUR": text("usd"),
        "source": text("source"),
        "recorded at": lambda row: str(row["recordedAt"])[:19],
        "replaces": text("replaces"),
        "reason": text("reason"),
    }
    show(
        form,
        document=lambda: rates,
        records=lambda: rates,
        columns=COLUMNS,
        table=lambda: table(rates, columns, left=len(columns)) if rates else f"{NONE} no rates",
    )


@command.command(short_help="store or correct a rate")
@click.argument("date", type=SingleDay(words=False))
@click.argument("usd")
@click.option("--reason", help="Why a stored rate is corrected.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_target
def enter(date: str, usd: str, reason: str | None, yes: bool, target: Target) -> int:
    """Store the rate of an ECB DATE: USD dollars for one euro. Needs AWS credentials.

    A correction needs --reason. It shows how the days change that were converted at the old rate, and asks.

    \b
    Examples:
      impact rates enter 2026-11-20 1.1172
      impact rates enter 2026-11-20 1.1172 --reason "typed 11.172 for 1.1172"
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from impact_cli.deployed_stack import cannot_call
    from impact_cli.manual_rates import store_rate

    given = {"date": date, "usd": usd} | ({"reason": reason} if reason else {})
    try:
        return store_rate(target.session(), target.stack, given, yes=yes)
    except (BotoCoreError, ClientError) as error:
        raise click.ClickException(
            f"No response. Run it again to see whether the stack {target.stack} has stored the rate."
            f" {cannot_call(error)}"
        ) from None
