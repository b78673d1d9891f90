"""The ledger's events as the parts of an export: a part a day and shard."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import boto3

from impact.calendar import day_before, days_between
from impact.types import Item
from impact_cli.days import bounds
from impact_cli.deployed_stack import calendar_of, store_of
from impact_cli.event_names import EventNames
from impact_cli.exporting import Part
from impact_cli.ledger_reader import events_of_shard

DEFAULT_DAYS = 30


def shards(
    session: boto3.Session, stack: str, since: str | None, until: str | None
) -> tuple[str, str, list[Part]]:
    """Return the first and the last day, and each (day, shard) with a function that reads its named events.

    Raises BadParameter, NoStack, BotoCoreError, ClientError.
    """
    store = store_of(session, stack)
    calendar = calendar_of(session, stack, store)
    today = calendar.day_of(datetime.now(UTC))
    first, last = bounds(since, until, lambda: today)
    last = last or today
    first = first or day_before(last, DEFAULT_DAYS - 1)
    names = EventNames(store.names)

    def events(day: str, shard: int) -> Iterator[Item]:
        return names.beside(events_of_shard(store, day, shard))

    parts: list[Part] = [
        (f"day={day}/events-{shard:03d}", partial(events, day, shard))
        for day in days_between(first, min(last, today))
        for shard in range(calendar.shard_count(day))
    ]
    return first, last, parts


def source_of(session: boto3.Session) -> str:
    """Where the tables of a stack are: account and region, or the emulator of AWS.

    Raises BotoCoreError, ClientError.
    """
    account = session.client("sts").get_caller_identity()["Account"]
    return f"{account} {session.client('dynamodb').meta.endpoint_url}"
