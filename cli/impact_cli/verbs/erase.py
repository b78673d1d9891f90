"""`impact erase`: delete all that is held of a user."""

import sys
from datetime import UTC, datetime

import click

from impact_cli.days import UserId
from impact_cli.target import Target, with_target


@click.command()
@click.argument("user", type=UserId(), required=False)
@click.option("--everywhere", is_flag=True, help="Scan the whole ledger: see docs/operating.md.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_target
def command(user: str | None, everywhere: bool, yes: bool, target: Target) -> int:
    """Delete all events and summaries of USER, and the name, whatever is in the id. Needs AWS credentials.

    It says what it found, asks, and says what remains elsewhere. The next rollup recomputes the days that
    lost events. It can be stopped at any moment: the next run deletes the rest. Without USER it asks for the
    id, or reads it as a line from a pipe.

    \b
    Examples:
      impact erase alice
      impact erase -- -rf                            # an id that begins with a dash
      printf '%s\\n' "$id" | impact erase --yes
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from impact_cli.deployed_stack import calendar_of, cannot_call, store_of
    from impact_cli.erasure import Erasure
    from impact_cli.ledger_reader import WORKERS

    user_id = _line() if user is None else user
    session = target.session()
    store = store_of(session, target.stack, connections=WORKERS)
    try:
        calendar = calendar_of(session, target.stack, store)
        return Erasure(store, calendar, user_id, datetime.now(UTC)).run(everywhere=everywhere, agreed=yes)
    except (BotoCoreError, ClientError) as error:
        raise click.ClickException(
            f"Not everything was deleted. Run it again. {cannot_call(error)}"
        ) from None
    except KeyboardInterrupt:
        click.echo("Not everything was deleted. Run it again: it continues with the rest.", err=True)
        raise


def _line() -> str:
    """Read the id from the terminal, or as a line from a pipe. Raises BadParameter."""
    if sys.stdin.isatty():
        print("User id: ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.buffer.readline().removesuffix(b"\n")
    if not line:
        raise click.UsageError("No id was given: impact erase USER, or the id as a line on standard input.")
    return str(UserId().convert(line.decode(errors="surrogateescape"), None, None))
