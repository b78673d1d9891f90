"""Requests and capacity units that a rollup consumes in DynamoDB, at few shards and at many.

The units are those that DynamoDB Local reports, if DYNAMODB_LOCAL_URL is set; with moto only requests are
right. A day of users with five requests each is recomputed: for the first time, an hour later without new
events, with new events of every tenth user, once it has closed, and after one late event.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

sys.path[:0] = ["functions", "layers/callback"]

from moto import mock_aws  # noqa: E402

from impact.billing import Terms  # noqa: E402
from impact.calendar import Calendar, Settings, timestamp  # noqa: E402
from impact.dynamodb import connect, to_wire  # noqa: E402
from impact.fx_rates import FxRate  # noqa: E402
from impact.keys import parse_day_shard  # noqa: E402
from impact.ledger_entry import EntryBuilder  # noqa: E402
from impact.ledger_store import LedgerStore  # noqa: E402
from impact.recompute import recompute  # noqa: E402
from impact.rollup_planner import plan  # noqa: E402
from impact.store import Store  # noqa: E402
from tests.tables import make_tables  # noqa: E402

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = "2026-11-23"
OPERATIONS = (
    *("put_item", "update_item", "delete_item", "get_item"),
    *("query", "batch_get_item", "describe_table"),
)


class Meter:
    """Counts requests and units of a client."""

    def __init__(self, client: Any) -> None:
        self.seen: Counter[str] = Counter()
        for name in OPERATIONS:
            setattr(client, name, self._metered(name, getattr(client, name)))

    def _metered(self, name: str, send: Any) -> Any:
        kind = "written" if name in ("put_item", "update_item", "delete_item") else "read"

        def sent(**request: Any) -> Any:
            if name != "describe_table":
                request["ReturnConsumedCapacity"] = "TOTAL"
            response = send(**request)
            self.seen["requests"] += 1
            consumed = response.get("ConsumedCapacity", [])
            for each in consumed if isinstance(consumed, list) else [consumed]:
                self.seen[kind] += each["CapacityUnits"]
            return response

        return sent

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Print what a phase has consumed."""
        self.seen.clear()
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        read, written = (float(self.seen[kind]) for kind in ("read", "written"))
        print(
            f"  {name:<40}{self.seen['requests']:9,}{read:12,.1f}{written:12,.1f}{seconds:9.1f}", flush=True
        )


def event(user: int, number: int, at: datetime) -> dict[str, Any]:
    return {
        "userId": f"user-{user:05d}",
        "eventId": f"7396d650-5725-4480-a15e-{number:012d}:success",
        "ts": timestamp(at),
        "model": ("gpt-4o", "claude-sonnet-4-5-20250929")[number % 2],
        "provider": ("openai", "anthropic")[number % 2],
        "tokens_in": 1200,
        "tokens_out": 300,
        "latency": Decimal("1.5"),
        "costUSD": Decimal("0.00475"),
        "callType": "acompletion",
        "conversationId": "0f8fad5b-d9cb-469f-a165-70867728950e",
    }


def store_events(store: Store, laid: EntryBuilder, events: list[dict[str, Any]], now: datetime) -> None:
    """Store events, 25 at a time, without the meter."""
    items = [to_wire(laid.build(each, now).item) for each in events]
    for start in range(0, len(items), 25):
        puts = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        store.client.batch_write_item(RequestItems={store.ledger.name: puts})


def roll_up(store: Store, laid: EntryBuilder, now: datetime) -> None:
    """Do what the planner and its workers do."""
    due = plan(store, laid.calendar, now)
    store.state.put_progress(due.progress)
    for day, shard in due.targets:
        if day == DAY:
            recompute(store, laid.calendar, Terms(), day, shard, as_of=now)


def measure(shards: int, users: int) -> None:
    store = make_tables(connect(read_timeout=10, attempts=3, connections=40))
    store.state.put_fx_rate(FxRate("2026-11-20", Decimal("1.1172")), source="benchmark", now=NOON)
    laid = EntryBuilder(Calendar.of(Settings(ZoneInfo("UTC"), timedelta(days=400), shards)))
    closed = laid.calendar.closes_at(DAY) + timedelta(minutes=1)
    numbers = iter(range(10**9))
    some = [event(user, next(numbers), NOON) for user in range(users) for _ in range(5)]
    store_events(store, laid, some, NOON)
    meter = Meter(store.client)
    print(f"\n{shards:,} shards, {users:,} users, {len(some):,} events")
    print(f"  {'':<40}{'requests':>9}{'read units':>12}{'write units':>12}{'seconds':>9}")
    with meter.phase("first count of an open day"):
        roll_up(store, laid, NOON + timedelta(hours=1))
    with meter.phase("an hour later, nothing new"):
        roll_up(store, laid, NOON + timedelta(hours=2))
    more = [event(user, next(numbers), NOON + timedelta(hours=2)) for user in range(0, users, 10)]
    store_events(store, laid, more, NOON + timedelta(hours=2))
    with meter.phase("an hour later, a tenth has something new"):
        roll_up(store, laid, NOON + timedelta(hours=3))
    with meter.phase("the day has closed"):
        roll_up(store, laid, closed)
    entry = laid.build(event(0, next(numbers), NOON), closed)
    store.ledger.append(entry.item)
    with meter.phase("one late event: its mark, plan and count"):
        store.state.mark_late(entry.day, [parse_day_shard(entry.day_shard)[1]], closed)
        roll_up(store, laid, closed + timedelta(hours=1))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.units", description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[16, 1000], help="(16 1000)")
    parser.add_argument("--users", type=int, default=1000, help="(1000)")
    options = parser.parse_args()
    local = os.environ.get("DYNAMODB_LOCAL_URL")
    credentials = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    os.environ |= credentials | ({"AWS_ENDPOINT_URL_DYNAMODB": local} if local else {})
    LedgerStore.created_at = lambda self: NOON  # type: ignore[method-assign]
    with nullcontext() if local else mock_aws():
        for shards in options.shards:
            measure(shards, options.users)


if __name__ == "__main__":
    main()
