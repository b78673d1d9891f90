"""Recompute a shard in a process of its own: `python -m benchmarks.rollup.recompute ours|resource PORT`.

Prints the sums, the processor time and the peak memory of the process, as JSON.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

DAY = "2026-11-23"


def ours() -> Callable[[], int]:
    """Our rollup: it reads pages, adds up, reads and writes summaries, writes the total."""
    from impact.billing import Terms
    from impact.calendar import Calendar, Settings
    from impact.dynamodb import connect
    from impact.recompute import recompute
    from impact.store import Store

    store = Store.of(connect(read_timeout=20, attempts=2), "events", "summaries", "state")
    calendar = Calendar.of(Settings(ZoneInfo("UTC"), timedelta(days=400), 1))
    return lambda: (
        recompute(store, calendar, Terms(), DAY, 0, as_of=datetime(2026, 11, 23, 13, tzinfo=UTC)).events
    )


def plain_resource() -> Callable[[], int]:
    """The same sums in the simplest way: pages of a boto3 Table, added up in a dict; no writes.."""
    import boto3
    from boto3.dynamodb.conditions import Key

    table: Any = boto3.resource("dynamodb").Table("events")

    def recompute() -> int:
        users: dict[str, dict[str, Decimal]] = {}
        start: dict[str, Any] = {}
        events = 0
        with localcontext(Context(prec=60)):
            while True:
                response = table.query(KeyConditionExpression=Key("dayShard").eq(f"{DAY}#00"), **start)
                for item in response["Items"]:
                    for of in (item["userId"], f"{item['userId']} {item['provider']}/{item['model']}"):
                        sums = users.setdefault(of, dict.fromkeys(COLUMNS, Decimal(0)))
                        for name in SUMMED:
                            sums[name] += item.get(name, 0)
                        for name in FOOTPRINT:
                            for bound in ("low", "high"):
                                sums[name + bound] += item[name][bound]
                events += len(response["Items"])
                if "LastEvaluatedKey" not in response:
                    return events
                start = {"ExclusiveStartKey": response["LastEvaluatedKey"]}

    return recompute


SUMMED = ("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning", "costUSD", "costEUR", "latency")
FOOTPRINT = ("energyKWh", "co2eKg", "waterL")
COLUMNS = (*SUMMED, *(name + bound for name in FOOTPRINT for bound in ("low", "high")))


def main() -> None:
    how, port = sys.argv[1:]
    os.environ |= {"AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{port}", "AWS_REGION": "eu-central-1"}
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    recompute = {"ours": ours, "resource": plain_resource}[how]()  # imports so far are not measured
    began = time.process_time()
    events = recompute()
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"events": events, "seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main()
