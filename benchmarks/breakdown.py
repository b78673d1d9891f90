"""Usage by dimension: write units beside those of events and summaries; growth with distinct values.

The first part recomputes a day hourly, as the rollup does: 33,333 events of 1,000 users, 200 keys and 20
teams in 16 shards, of which 30 days are a million events. The units are those that DynamoDB Local reports, if
DYNAMODB_LOCAL_URL is set; moto reports one a request. The second part sums events with ever more distinct
tags in one (day, shard), each size in a process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

sys.path[:0] = ["functions", "layers/callback"]

from moto import mock_aws  # noqa: E402

from benchmarks.units import roll_up, store_events  # noqa: E402
from impact.breakdown import Breakdown  # noqa: E402
from impact.calendar import Calendar, Settings, timestamp  # noqa: E402
from impact.dynamodb import connect, to_wire  # noqa: E402
from impact.fx_rates import FxRate  # noqa: E402
from impact.ledger_entry import EntryBuilder, item_size  # noqa: E402
from impact.ledger_event import LedgerEvent, events_of  # noqa: E402
from impact.ledger_store import LedgerStore  # noqa: E402
from impact.price_book import NO_BOOK  # noqa: E402
from impact.summary import tallies_by_user  # noqa: E402
from tests.tables import make_tables  # noqa: E402

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
SHARDS, USERS, KEYS, TEAMS = 16, 1_000, 200, 20
DAYS = 30
PAGE_EVENTS = 1_250


def event(number: int, at: datetime, **fields: Any) -> dict[str, Any]:
    user = number * 7919 % USERS
    return {
        "userId": f"user-{user:05d}",
        "eventId": f"7396d650-5725-4480-a15e-{number:012d}:success",
        "ts": timestamp(at),
        "model": ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5-20250929")[number % 3],
        "provider": ("openai", "openai", "anthropic")[number % 3],
        "tokens_in": 100 + number % 5000,
        "tokens_out": number % 700,
        "latency": Decimal(number % 9000) / 1000 + Decimal("0.123456"),
        "costUSD": Decimal(repr(0.00001 * (number % 1000) + 1e-7)),
        "callType": "acompletion",
        "conversationId": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "keyAlias": f"key-{user % KEYS:03d}",
        "teamId": f"team-{user % TEAMS:02d}",
    } | fields


class Meter:
    """Counts the write units of a rollup by what is written, and all read units."""

    def __init__(self, client: Any) -> None:
        self.units: Counter[str] = Counter()
        for name in ("put_item", "update_item", "delete_item", "get_item", "query", "batch_get_item"):
            setattr(client, name, self._metered(name, getattr(client, name)))

    def _metered(self, name: str, send: Any) -> Any:
        def sent(**request: Any) -> Any:
            response = send(**request, ReturnConsumedCapacity="TOTAL")
            consumed = response.get("ConsumedCapacity", [])
            what = self._what(name, request)
            for each in consumed if isinstance(consumed, list) else [consumed]:
                self.units[what] += each["CapacityUnits"]
            return response

        return sent

    @staticmethod
    def _what(name: str, request: dict[str, Any]) -> str:
        if name in ("get_item", "query", "batch_get_item"):
            return "read"
        if "DailySummaries" in request["TableName"]:
            return "summaries"
        key = request.get("Item") or request["Key"]
        return "by dimension" if key["kind"]["S"].startswith("breakdown") else "totals and marks"


def measure_units(events: int) -> None:
    store = make_tables(connect(read_timeout=10, attempts=3, connections=40))
    store.state.put_fx_rate(FxRate("2026-11-20", Decimal("1.1172")), source="benchmark", now=MIDNIGHT)
    laid = EntryBuilder(Calendar.of(Settings(ZoneInfo("UTC"), timedelta(days=400), SHARDS)))
    per_hour, numbers = events // 24, iter(range(10**9))
    stored = 0
    meter = Meter(store.client)
    for hour in range(24):
        now = MIDNIGHT + timedelta(hours=hour, minutes=30)
        some = [event(next(numbers), now) for _ in range(per_hour)]
        stored += sum(-(-item_size(laid.build(each, now).item) // 1024) for each in some)
        store_events(store, laid, some, now)
        roll_up(store, laid, now + timedelta(minutes=30))
    roll_up(store, laid, laid.calendar.closes_at("2026-11-23") + timedelta(minutes=1))
    units = {"events": stored} | dict(meter.units)
    read = units.pop("read", 0)
    others = sum(number for what, number in units.items() if what != "by dimension")
    print(
        f"{per_hour * 24:,} events of a day; a month of {DAYS} such days is {per_hour * 24 * DAYS:,} events"
    )
    print(f"  {'write units a month':<24}")
    for what, number in units.items():
        print(f"  {what:<24}{number * DAYS:12,.0f}")
    share = units.get("by dimension", 0) / others if others else 0
    print(f"  by dimension, of the others{share:9.1%}\n  read units of rollups a month{read * DAYS:12,.0f}")


def pages(events: int, distinct: int) -> Iterator[list[LedgerEvent]]:
    """Pages of one shard's events, sorted by user, with so many distinct tags."""
    laid = EntryBuilder(Calendar.of(Settings(ZoneInfo("UTC"), timedelta(days=400), 1)))
    noon = MIDNIGHT + timedelta(hours=12)
    page = [to_wire(laid.build(event(n, noon, tags=["tag"]), noon).item) for n in range(PAGE_EVENTS)]
    for start in range(0, events, PAGE_EVENTS):
        for number, item in enumerate(page, start):
            item["userId"] = {"S": f"user-{start // PAGE_EVENTS:06d}"}
            item["tags"] = {"L": [{"S": f"tag-{number % distinct:07d}"}]}
        yield events_of(page)


def sum_events(events: int, distinct: int, how: str) -> None:
    """Sum in this process, and print seconds, peak memory and stored bytes as JSON."""
    breakdown = Breakdown()
    seconds = 0.0
    began = time.process_time()
    for page in pages(events, distinct):  # what makes the pages is not the rollup's
        made = time.process_time()
        on_group = breakdown.add if how == "with" else None
        for _ in tallies_by_user([page], NO_BOOK, on_group):
            pass
        seconds += time.process_time() - made
    encoded = breakdown.encoded()
    print(
        json.dumps(
            {
                "seconds": seconds,
                "all": time.process_time() - began,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "bytes": len(encoded),
            }
        )
    )


def measure_growth(events: int, most: int) -> None:
    print(f"\n{events:,} events of one (day, shard), each with a tag")
    print("distinct tags   seconds, summed   without dimensions   ratio   peak memory, MB   stored, KB")
    distinct = 10
    while distinct <= most:
        results = {}
        for how in ("with", "without"):
            command = [sys.executable, "-m", "benchmarks.breakdown", "--sum", str(events), str(distinct), how]
            results[how] = json.loads(subprocess.check_output(command, text=True))
        ours, plain = results["with"], results["without"]
        print(
            f"{distinct:13,}{ours['seconds']:18.1f}{plain['seconds']:21.1f}"
            f"{ours['seconds'] / plain['seconds']:8.2f}{ours['peak_mb']:18.0f}{ours['bytes'] / 1024:13.1f}",
            flush=True,
        )
        distinct *= 100 if distinct < 1000 else 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.breakdown", description=__doc__)
    parser.add_argument("--events", type=int, default=33_333, help="events of the day (33333)")
    parser.add_argument("--summed", type=int, default=1_000_000, help="events of the growing part (1000000)")
    parser.add_argument("--distinct", type=int, default=1_000_000, help="most distinct tags (1000000)")
    parser.add_argument("--sum", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sum:
        events, distinct, how = options.sum
        sum_events(int(events), int(distinct), how)
        return
    local = os.environ.get("DYNAMODB_LOCAL_URL")
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-central-1",
    } | ({"AWS_ENDPOINT_URL_DYNAMODB": local} if local else {})
    LedgerStore.created_at = lambda self: MIDNIGHT  # type: ignore[method-assign]
    with nullcontext() if local else mock_aws():
        measure_units(options.events)
    measure_growth(options.summed, options.distinct)


if __name__ == "__main__":
    main()
