"""What ingest and the rollup do, one step a call, and what is stored then."""

from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from impact.billing import Terms
from impact.calendar import timestamp
from impact.dynamodb import item_from_wire
from impact.keys import day_shard, parse_day_shard, user_event
from impact.ledger_entry import EntryBuilder
from impact.recompute import Recomputed, recompute
from impact.rollup_planner import plan
from impact.store import Store
from tests.events import NOON, entry_builder, event

TODAY = "2026-11-23"
BUILDER = entry_builder()


def put(store: Store, *events: dict[str, Any], now: datetime = NOON, builder: EntryBuilder = BUILDER) -> None:
    """Do what the ingest does, one event after the other."""
    for raw in events:
        entry = builder.build(raw, now)
        store.ledger.append(entry.item)
        if builder.calendar.needs_mark(entry.day, now):
            store.state.mark_late(entry.day, [parse_day_shard(entry.day_shard)[1]], now)


def roll_up(store: Store, now: datetime = NOON, builder: EntryBuilder = BUILDER) -> int:
    """Do what the planner and its workers do. Return how many (day, shard)s were recomputed."""
    due = plan(store, builder.calendar, now)
    store.state.put_progress(due.progress)
    for day, shard in due.targets:
        recompute(store, builder.calendar, Terms(), day, shard, as_of=now)
    return len(due.targets)


def summary(store: Store, user_id: str = "alice", day: str = TODAY) -> dict[str, Any]:
    [found] = store.summaries.of_user(user_id, day, day)
    return found


def delete_events(store: Store, user_id: str, *event_ids: str, builder: EntryBuilder = BUILDER) -> None:
    """Delete events from the ledger, as somebody may do by hand."""
    key = day_shard(TODAY, builder.calendar.shard_of(user_id, TODAY))
    for event_id in event_ids:
        store.client.delete_item(
            TableName=store.ledger.name,
            Key={"dayShard": {"S": key}, "userEvent": {"S": user_event(user_id, event_id)}},
        )


def recompute_again(store: Store, now: datetime, builder: EntryBuilder = BUILDER) -> Recomputed:
    shard = builder.calendar.shard_of("alice", TODAY)
    return recompute(store, builder.calendar, Terms(), TODAY, shard, as_of=now)


def items(store: Store) -> list[dict[str, Any]]:
    return [item_from_wire(item) for item in store.client.scan(TableName=store.ledger.name)["Items"]]


def now_event(**fields: Any) -> dict[str, Any]:
    return event(**{"ts": timestamp(NOON), **fields})


def throttled(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, operation)
