"""`impact events`: the requests of a user's day."""

from datetime import UTC, datetime

import click

from impact.naming import USER, fields_of
from impact_cli.days import SingleDay, UserId, first_day
from impact_cli.output import show, with_format
from impact_cli.table import Cell, count, footprint, money, table, text, visible, whose
from impact_cli.target import Target, with_target

COLUMNS: dict[str, Cell] = {
    "time (UTC)": lambda event: str(event["ts"])[11:19],
    "model": lambda event: visible(f"{event['provider']}/{event['model']}", 40),
    "status": text("status"),
    "tokens in": count("tokens_in"),
    "tokens out": count("tokens_out"),
    "s": text("latency"),
    "USD": money("costUSD"),
    "EUR": money("costEUR"),
    "g CO2e": footprint("co2eKg", 1000),
    "event": lambda event: visible(str(event["eventId"]), 40),
}


@click.command()
@click.argument("user", type=UserId())
@click.option("--day", type=SingleDay(), default="today", help="YYYY-MM-DD, today or yesterday. [today]")
@with_format
@with_target
def command(user: str, day: str, form: str, target: Target) -> None:
    """Show the single requests of USER on a day. Needs AWS credentials.

    A request with a dash for its cost is unpriced, one with a dash for its footprint is unrated. The euros of
    a request are a first estimate: the day's own rate decides (`impact explain`).

    \b
    Examples:
      impact events alice --day yesterday
      impact events alice --day 2026-11-23 --jsonl
    """
    from impact_cli.deployed_stack import calendar_of, store_of
    from impact_cli.event_names import COLUMNS as FIELDS
    from impact_cli.event_names import EventNames
    from impact_cli.ledger_reader import events_of_user

    session = target.session()
    store = store_of(session, target.stack)
    calendar = calendar_of(session, target.stack, store)
    day = first_day(day, lambda: calendar.day_of(datetime.now(UTC)))
    who = {"userId": user, **fields_of(store.names.get(USER, user))}
    events = EventNames(store.names).beside(events_of_user(store, calendar, user, day))
    show(
        form,
        document=lambda: {**who, "day": day, "events": list(events)},
        records=lambda: events,
        columns=tuple(FIELDS),
        table=lambda: _text(f"{whose(who)}, {day}", sorted(events, key=lambda event: str(event["ts"]))),
    )


def _text(head: str, events: list[dict[str, object]]) -> str:
    if not events:
        return f"{head}: no requests in the ledger."
    return "\n".join((f"{head}: {len(events):,} requests", "", table(events, COLUMNS, left=3)))
