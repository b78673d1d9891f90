"""Requests, read units and time of the reading API, by shards of a day: an earlier algorithm and ours.

`python -m benchmarks.reading`. It uses DynamoDB Local if DYNAMODB_LOCAL_URL is set, else moto, whose times
mean nothing. The earlier algorithm is in this file: it queries one shard after the other, and reads every
total.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby, islice
from math import inf
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

sys.path[:0] = ["functions", "layers/callback"]
LOCAL = os.environ.get("DYNAMODB_LOCAL_URL", "")
os.environ |= {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = LOCAL

from moto import mock_aws  # noqa: E402

from impact import daily_totals  # noqa: E402
from impact.billing import Terms, statement  # noqa: E402
from impact.calendar import Calendar, Settings, day_before, days_between, timestamp  # noqa: E402
from impact.dynamodb import connect, to_wire  # noqa: E402
from impact.keys import MARK, MARK_GROUP, SHARD_TOTAL, day_shard, shard_of  # noqa: E402
from impact.rollup_planner import store_daily_totals  # noqa: E402
from impact.store import Store  # noqa: E402
from impact.summary import Figures, Tally  # noqa: E402
from impact.usage_reader import LISTERS, PAGE_USERS, UsageReader  # noqa: E402
from local.tables import schemas  # noqa: E402

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY = "2026-11-23"
MODELS = 5
"""Of each user and day."""
WRITERS = 8
BATCH = 25


class Meter:
    """Counts requests and read units of a client."""

    def __init__(self, client: Any):
        self.requests, self.units = 0, 0.0
        for operation in ("Query", "GetItem", "BatchGetItem"):
            client.meta.events.register(f"provide-client-params.dynamodb.{operation}", self._ask)
            client.meta.events.register(f"after-call.dynamodb.{operation}", self._read)

    def _ask(self, params: dict[str, Any], **_: Any) -> dict[str, Any]:
        return params | {"ReturnConsumedCapacity": "TOTAL"}

    def _read(self, parsed: dict[str, Any], **_: Any) -> None:
        consumed = parsed.get("ConsumedCapacity") or {}
        self.requests += 1
        self.units += sum(
            c["CapacityUnits"] for c in (consumed if isinstance(consumed, list) else [consumed])
        )

    def of(self, read: Callable[[], Any]) -> str:
        """Read twice; return requests, read units and milliseconds of the second time."""
        read()
        self.requests, self.units = 0, 0.0
        began = time.perf_counter()
        read()
        took = 1000 * (time.perf_counter() - began)
        return f"{self.requests:8,}{self.units:12,.1f}{took:10,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[16, 1000], help="of a day (16 1000)")
    parser.add_argument("--days", type=int, default=366, help="days with totals (366)")
    parser.add_argument("--users", type=int, default=200, help="users of the last day (200)")
    options = parser.parse_args()
    print(f"{options.days} days, {options.users} users; the last day is open")
    print(f"{'shards  what':40}requests  read units        ms")
    with nullcontext() if LOCAL else mock_aws():
        for shards in options.shards:
            measure(shards, options.days, options.users)


def measure(shards: int, days: int, users: int) -> None:
    client = connect(read_timeout=60, attempts=3, connections=LISTERS)
    name = f"reading-{uuid4().hex[:8]}"
    store = Store.of(client, f"{name}-RequestEvents", f"{name}-DailySummaries", f"{name}-State")
    for table, schema in schemas().items():
        client.create_table(TableName=f"{name}-{table}", **schema)
    calendar = Calendar.of(Settings(ZoneInfo("UTC"), timedelta(days=400), shards))
    first = day_before(TODAY, days - 1)
    fill(store, shards, list(days_between(first, TODAY)), [f"user-{n}" for n in range(users)])
    reader, meter = UsageReader(store, calendar, Terms()), Meter(client)

    def show(what: str, read: Callable[[], Any]) -> None:
        print(f"{shards:6}  {what:30}{meter.of(read)}", flush=True)

    def month() -> Any:
        return reader.user("user-0", day_before(TODAY, 29), TODAY, fresh=False, now=NOW)

    show("?day=, as it was", lambda: day_as_it_was(store, shards))
    show("?day=", lambda: reader.day(TODAY, None))
    show("totals, as they were", lambda: totals_as_they_were(store, shards, first))
    while store_daily_totals(store, calendar, day_before(TODAY), NOW, lambda: inf):
        pass
    show("totals", lambda: reader.platform(first, TODAY))
    show("a user's 30 days", month)
    for table in (store.ledger.name, store.summaries.name, store.state.name):
        client.delete_table(TableName=table)


def day_as_it_was(store: Store, shards: int) -> None:
    """Query one shard after the other until the page is full."""
    store.state.marked(TODAY, TODAY)
    users: list[str] = []
    for shard in range(shards):
        if len(users) < PAGE_USERS:
            page = store.summaries.page_of_users(
                day_shard(TODAY, shard), after=None, limit=PAGE_USERS - len(users)
            )
            users += page.user_ids
    store.summaries.get_many([(user_id, TODAY) for user_id in users], consistent=True)


def totals_as_they_were(store: Store, shards: int, first: str) -> None:
    """Read and add up each total of each day."""
    store.state.marked(first, TODAY)
    totals = groupby(store.state.shard_totals(first, TODAY), key=lambda total: str(total["day"]))
    daily_totals.sum_totals([daily_totals.daily_total(day, of_day, shards) for day, of_day in totals])


def fill(store: Store, shards: int, days: list[str], users: list[str]) -> None:
    """Write what a rollup writes: totals of all days, cleared marks, summaries of the last month."""
    state = [total(day, shard, shards, users) for day in days for shard in range(shards)]
    state += [mark(day, group, shards) for day in days for group in range(-(-shards // MARK_GROUP))]
    write(store, store.state.name, state)
    last = days[-30:]
    write(store, store.summaries.name, [summary(users[0], day, shards) for day in last])
    write(store, store.summaries.name, [summary(user_id, TODAY, shards) for user_id in users[1:]])


def write(store: Store, table: str, items: list[dict[str, Any]]) -> None:
    def put(some: list[dict[str, Any]]) -> None:
        requests: Any = [{"PutRequest": {"Item": to_wire(item)}} for item in some]
        while requests:
            left = store.client.batch_write_item(RequestItems={table: requests}).get("UnprocessedItems")
            requests = left.get(table) if left else None

    with ThreadPoolExecutor(WRITERS) as writers:
        for _ in writers.map(put, chunks(items, BATCH)):
            pass


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def usage(models: int) -> Tally:
    costs: Any = {name: Decimal("0.123456789") for name in ("costEUR", "costUSD", "unconverted")}
    footprint: Any = {
        f"{name}{bound}": Decimal("0.00123456")
        for name in ("energy", "co2e", "water")
        for bound in ("Low", "High")
    }
    named = {f"openai/gpt-4o-{n}": Figures(requests=7, rated=7, **costs, **footprint) for n in range(models)}
    times: Any = {"firstTs": f"{TODAY}T00:00:00.000000Z", "lastTs": f"{TODAY}T11:00:00.000000Z"}
    return Tally(requests=7, rated=7, tokens_in=12_345, models=named, **times, **costs, **footprint)


def total(day: str, shard: int, shards: int, users: list[str]) -> dict[str, Any]:
    fields = usage(0).as_fields()
    del fields["models"]
    here = sum(shard_of(user_id, shards) == shard for user_id in users) if day == TODAY else 1
    key = {"kind": SHARD_TOTAL, "key": day_shard(day, shard), "day": day, "shard": shard, "users": here}
    rest = {"terms": Terms().as_fields(), "countableUntil": timestamp(NOW), "revision": "0" * 16}
    return key | fields | rest | {"asOf": timestamp(NOW), "final": day < TODAY}


def mark(day: str, group: int, shards: int) -> dict[str, Any]:
    of_group = range(group * MARK_GROUP, min(shards, (group + 1) * MARK_GROUP))
    return {"kind": MARK, "key": day_shard(day, group)} | {f"left{shard}": 1 for shard in of_group}


def summary(user_id: str, day: str, shards: int) -> dict[str, Any]:
    whose = {"userId": user_id, "day": day, "dayShard": day_shard(day, shard_of(user_id, shards))}
    stamp = {"asOf": timestamp(NOW), "final": day < TODAY, "revision": "0" * 16}
    return whose | statement(usage(MODELS), None, Terms()) | stamp


if __name__ == "__main__":
    main()
