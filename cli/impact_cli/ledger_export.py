"""The ledger's events as the parts of an export: a part a day and shard."""

from functools import partial

from impact.calendar import day_before, days_between
from impact_cli.days import bounds
from impact_cli.deployed_stack import calendar_of, store_of, today_of
from impact_cli.exporting import Part
from impact_cli.ledger_reader import events_of_shard
from impact_cli.target import Target

DEFAULT_DAYS = 30


def shards(target: Target, since: str | None, until: str | None) -> tuple[str, str, list[Part]]:
    """Return the first and the last day, and each (day, shard) with a function that reads its events.

    Raises BotoCoreError, ClientError.
    """
    session = target.session()
    store = store_of(session, target.stack)
    first, last = bounds(since, until, lambda: today_of(session, target.stack, store))
    today = today_of(session, target.stack, store)
    last = last or today
    first = first or day_before(last, DEFAULT_DAYS - 1)
    calendar = calendar_of(session, target.stack, store)
    parts: list[Part] = [
        (f"day={day}/events-{shard:03d}", partial(events_of_shard, store, day, shard))
        for day in days_between(first, min(last, today))
        for shard in range(calendar.shard_count(day))
    ]
    return first, last, parts
