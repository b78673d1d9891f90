"""Links with which a person sees their own usage: made, taken back, and the keys that sign them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import click

from impact.calendar import timestamp
from impact.link_store import LinkStore
from impact.links import Link, sign
from impact_cli.days import PersonId
from impact_cli.records import Record

PAGE = "/me#"
"""Where a link leads. What is behind the # stays in the browser: it is in no log."""


def users_in(content: bytes) -> list[str]:
    """Read user ids, one a line, each once. Raises ClickException with the line of a wrong one.

    Only a line feed ends a line, with or without a carriage return: an id can hold other separators.
    """
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise click.ClickException("The file is not UTF-8: save it as UTF-8, an id a line.") from None
    users: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        user = line.removesuffix("\r")
        if not user:
            continue
        if user != user.strip():  # hardly meant: it would be another user than the one without it
            raise click.ClickException(f"Line {number}: The id begins or ends with white space.")
        try:
            users[PersonId().convert(user, None, None)] = None
        except click.BadParameter as error:
            raise click.ClickException(f"Line {number}: {error.message}") from None
    if not users:
        raise click.ClickException("The file has no user id: it needs one a line.")
    return list(users)


def links_for(store: LinkStore, url: str, users: Sequence[str], days: int, now: datetime) -> list[Record]:
    """Make a link for each user, good for some days. The first link of a stack makes its key."""
    key = store.newest_key() or store.add_key(1, now)
    expires = now + timedelta(days=days)
    generations = store.generations(users)
    return [
        {
            "userId": user,
            "link": url + PAGE + sign(Link(user, int(expires.timestamp()), generations[user]), key),
            "expires": timestamp(expires.replace(microsecond=0)),
        }
        for user in users
    ]


def take_back(store: LinkStore, users: Iterable[str]) -> None:
    """Make every link of these users useless that was made before."""
    for user in users:
        store.take_back(user)


def new_key(store: LinkStore, *, only: bool) -> int:
    """Make the key that signs from now on, and return its number. With `only`, delete the earlier ones."""
    before, now = store.all_keys(), datetime.now(UTC)
    key = store.add_key(store.last_number() + 1, now)
    if only:
        for earlier in before:
            store.delete_key(earlier.number, now)
    return key.number
