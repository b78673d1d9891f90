"""What the footprint and the euros cost ingest: processor time of an event with them and without, in turns.

`python -m benchmarks.ingest`. It calls the function as Lambda does, with deliveries of 100 events. DynamoDB
is a process on loopback that accepts every put at once.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from statistics import median
from types import SimpleNamespace
from typing import Any

EVENTS = 100
DELIVERIES = 40
CONTEXT: Any = SimpleNamespace(
    function_name="ingest",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:eu-central-1:0:function:ingest",
    aws_request_id="r-1",
    get_remaining_time_in_millis=lambda: 20_000,
)
ENVIRONMENT = os.environ | {
    "PYTHONPATH": "functions:layers/callback:.",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "REQUEST_EVENTS_TABLE": "events",
    "DAILY_SUMMARIES_TABLE": "summaries",
    "STATE_TABLE": "state",
    "POWERTOOLS_METRICS_NAMESPACE": "ImpactService",
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
}
MODELS = (("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5-20250929"))


def delivery(number: int) -> dict[str, Any]:
    """Make a request of the HTTP API with events of known models."""
    now = datetime.now(UTC).isoformat()
    events = [
        {
            "userId": f"user-{n % 7}",
            "ts": now,
            "provider": MODELS[n % 3][0],
            "model": MODELS[n % 3][1],
            "tokens_in": 1000 + n,
            "tokens_out": 100 + n,
            "latency": 1.5 + n / 100,
            "costUSD": 0.00475 + n / 100_000,
            "eventId": f"7396d650-5725-4480-{number:04d}-{n:012d}:success",
        }
        for n in range(EVENTS)
    ]
    return {"headers": {"content-type": "application/json"}, "body": json.dumps(events)}


def measure() -> None:
    """Time both in this process, in turns. Print the milliseconds an event for each."""
    from impact import config
    from impact.calendar import Calendar
    from ingest import app

    days = Calendar.of(config.settings())
    app.calendar = lambda now: days  # type: ignore[assignment]
    bare = (SimpleNamespace(of=lambda item: {}), lambda: SimpleNamespace(latest_before=lambda day: None))
    full = (app.footprints, app.rates)
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(2 * DELIVERIES):
        kind = ("with", "without")[number % 2]
        app.footprints, app.rates = full if kind == "with" else bare  # type: ignore[assignment]
        request = delivery(number)
        began = time.process_time()
        response = app.handler(request, CONTEXT)
        seconds[kind].append(time.process_time() - began)
        assert json.loads(response["body"])["created"] == EVENTS, response
    each = {kind: 1000 * median(times[5:]) / EVENTS for kind, times in seconds.items()}
    print(json.dumps(each), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="processes, of which the median is shown (5)")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure()
        return
    results = [run() for _ in range(options.runs)]
    print("processor time an event, ms   with   without   ratio   more")
    with_, without = (median(result[kind] for result in results) for kind in ("with", "without"))
    ratio = median(result["with"] / result["without"] for result in results)
    print(f"{with_:34.2f}{without:10.2f}{ratio:8.2f}{with_ - without:7.2f}")


def run() -> dict[str, float]:
    """Measure in a process of its own, with a DynamoDB that accepts everything."""
    wire = [sys.executable, "-m", "benchmarks.rollup.dynamodb_stub", "1250"]
    with subprocess.Popen(wire, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as taking:
        assert taking.stdout
        endpoint = {"AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{taking.stdout.readline().strip()}"}
        measuring = [sys.executable, "-m", "benchmarks.ingest", "--measure"]
        try:
            ran = subprocess.run(
                measuring, env=ENVIRONMENT | endpoint, capture_output=True, text=True, check=True
            )
        finally:
            taking.terminate()
    result: dict[str, float] = json.loads(ran.stderr.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
