"""`impact tail`: events as they arrive."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from impact_cli.days import UserId
from impact_cli.output import note, write
from impact_cli.records import to_json
from impact_cli.table import NONE, amount, visible
from impact_cli.target import Target, with_target


@click.command()
@click.option("--user", type=UserId(), help="Only the events of this user.")
@click.option("--jsonl", "as_json", is_flag=True, help="Print a line of JSON an event.")
@with_target
def command(user: str | None, as_json: bool, target: Target) -> None:
    """Print events as they arrive, until Ctrl-C. Needs AWS credentials.

    Each line is the time of the request (UTC), its user, model, tokens in and out, and cost.

    \b
    Examples:
      impact tail
      impact tail --user alice --jsonl
    """
    from impact_cli.deployed_stack import existing, store_of
    from impact_cli.event_stream import arriving

    session = target.session()
    table = store_of(session, target.stack).ledger.name
    try:
        is_ready = False
        with existing(session, target.stack):
            for event in arriving(session, table):
                if event is None:
                    if not is_ready:
                        note(f"Waiting for events of {target.stack}. Ctrl-C ends this.")
                    is_ready = True
                    sys.stdout.flush()
                elif user in (None, event["userId"]):
                    write(f"{to_json(event) if as_json else _line(event)}\n")
    except KeyboardInterrupt:
        note("")


def _line(event: Mapping[str, Any]) -> str:
    model = visible(f"{event['provider']}/{event['model']}", 40)
    cost = f"{amount(event['costUSD'])} USD" if "costUSD" in event else NONE
    if "costUSD" not in event and "costEUR" in event:
        cost = f"{amount(event['costEUR'])} EUR"
    failed = "  failed" if event["status"] == "failure" else ""
    tokens = f"{event['tokens_in']:,} in, {event['tokens_out']:,} out"
    user = visible(event["userId"], 32)
    return f"{str(event['ts'])[:19]}  {user:32}  {model:40}  {tokens:>24}  {cost}{failed}"
