"""`impact link`: links with which a person sees their own usage."""

import sys
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

import click

from impact_cli.days import PersonId
from impact_cli.output import TABLE, note, show, with_format
from impact_cli.table import table, text, visible
from impact_cli.target import Target, with_target

if TYPE_CHECKING:
    from impact.link_store import LinkStore

DAYS_MAX = 366  # as impact.links has it, which this command imports only when it makes links
COLUMNS = ("userId", "link", "expires")
REVOKE, REVOKE_ALL, ROTATE = "revoke", "revoke_all", "rotate"


@click.command()
@click.argument("user", type=PersonId(), required=False)
@click.option("--file", "file", type=click.File("rb"), help="A link for each user id of FILE, one a line.")
@click.option(
    "--days", type=click.IntRange(1, DAYS_MAX), default=30, show_default=True, help="For how long it is good."
)
@click.option("--revoke", "act", flag_value=REVOKE, help="Take all links of USER back, or of those in FILE.")
@click.option("--revoke-all", "act", flag_value=REVOKE_ALL, help="Take all links of all users back.")
@click.option("--rotate", "act", flag_value=ROTATE, help="Sign with a new key. Older links stay good.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_format
@with_target
def command(
    user: str | None, file: IO[bytes] | None, days: int, act: str | None, yes: bool, form: str, target: Target
) -> None:
    """Make the link with which USER sees their own usage, and nobody else's. Needs AWS credentials.

    Whoever has the link sees it: send it to that person alone. No link is stored. The key that signs is made
    with the first one, and stays in the stack. A link that was taken back is refused at once.

    \b
    Examples:
      impact link alice --days 30
      impact link --file users.txt --csv     # for a mail merge
      impact link alice --revoke
      impact link --rotate                   # once a year, or when the key may have leaked: --revoke-all
    """
    if act in (REVOKE_ALL, ROTATE):
        if user is not None or file is not None:
            raise click.UsageError(f"--{act.replace('_', '-')} is for all users: name none.")
    elif (user is None) == (file is None):
        raise click.UsageError("Name one USER, or a --file of user ids.")

    from impact_cli.deployed_stack import existing, store_of
    from impact_cli.person_links import take_back, users_in

    users = users_in(file.read()) if file is not None else [user] if user is not None else []
    session = target.session()
    with existing(session, target.stack):
        store = store_of(session, target.stack).links
        if act == REVOKE:
            take_back(store, users)
            print(f"Taken back: all links of {_of(users)}.")
        elif act is not None:
            _change_key(store, only=act == REVOKE_ALL, yes=yes)
        else:
            _make(store, target.api().url, users, days, form, alone=file is None)


def _make(store: "LinkStore", url: str, users: list[str], days: int, form: str, *, alone: bool) -> None:
    from impact_cli.person_links import links_for

    rows = links_for(store, url, users, days, datetime.now(UTC))
    if alone and form == TABLE:
        note(f"Until {rows[0]['expires']}, whoever has this link sees what {visible(users[0])} used:")
        print(rows[0]["link"])
        return
    columns = {"user": text("userId"), "expires": text("expires"), "link": lambda row: str(row["link"])}
    show(
        form,
        document=lambda: rows,
        records=lambda: rows,
        columns=COLUMNS,
        table=lambda: table(rows, columns, left=len(columns)),
    )


def _change_key(store: "LinkStore", *, only: bool, yes: bool) -> None:
    from impact_cli.person_links import new_key
    from impact_cli.questions import agreed

    if only and not (yes or agreed("Take all links of all users back?")):
        advice = "" if sys.stdin.isatty() else " Without a terminal, confirm with --yes."
        raise click.ClickException(f"Nothing was taken back.{advice}")
    number = new_key(store, only=only)
    print(f"New links are signed with key {number}." + (" No earlier link is good any more." if only else ""))


def _of(users: list[str]) -> str:
    return visible(users[0]) if len(users) == 1 else f"{len(users):,} users"
