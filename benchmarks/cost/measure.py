"""The bytes that benchmarks.cost uses, from a recorded request, the functions themselves, and moto.

In a process of its own: it sets the environment of the functions.
"""

import io
import json
import os
import re
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any

sys.path[:0] = ["functions", "layers/callback"]

from moto import mock_aws  # noqa: E402

os.environ |= {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "POWERTOOLS_SERVICE_NAME": "impact",
    "POWERTOOLS_METRICS_NAMESPACE": "ImpactService",
    "REQUEST_EVENTS_TABLE": "events",
    "DAILY_SUMMARIES_TABLE": "summaries",
    "STATE_TABLE": "state",
}

import boto3  # noqa: E402

from impact.billing import Terms  # noqa: E402
from impact.calendar import Calendar  # noqa: E402
from impact.dynamodb import connect, item_from_wire  # noqa: E402
from impact.fx_rates import FxRate  # noqa: E402
from impact.ledger_entry import item_size  # noqa: E402
from impact.recompute import recompute  # noqa: E402
from impact.store import Store  # noqa: E402
from local.tables import schemas  # noqa: E402
from local.template import resources  # noqa: E402
from request_events.capture import capture, encode  # noqa: E402

BATCH = 20
RECORDED = Path(__file__).parents[2] / "tests/unit/callback/payloads/stream_usage_async_success.json"
USER, OTHER = "65f1c0de65f1c0de65f1c0de", "65f1c0de65f1c0de65f1c0df"
CONVERSATION = "0f8fad5b-d9cb-469f-a165-70867728950e"
MODELS = (("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5-20250929"))
LOG_OVERHEAD = 26  # bytes that CloudWatch adds to a line
REQUEST_ID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
LAMBDA_LINES = (  # what Lambda writes around an invocation, in its text format
    f"START RequestId: {REQUEST_ID} Version: $LATEST\n",
    f"END RequestId: {REQUEST_ID}\n",
    f"REPORT RequestId: {REQUEST_ID}\tDuration: 61.23 ms\tBilled Duration: 62 ms\tMemory Size: 1024 MB\t"
    "Max Memory Used: 141 MB\t\n",
)
CONTEXT: Any = SimpleNamespace(
    function_name="impact-IngestFunction-0a1b2c3d4e5f",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:impact-IngestFunction-0a1b2c3d4e5f",
    aws_request_id=REQUEST_ID,
    get_remaining_time_in_millis=lambda: 20_000,
)


def event(number: int, now: datetime) -> dict[str, Any]:
    """What the callback sends of a recorded, streamed chat, as it comes from LibreChat."""
    sent: Any = capture(json.loads(RECORDED.read_text())["kwargs"])
    provider, model = MODELS[number % 2]
    fields: dict[str, Any] = json.loads(encode(sent), parse_float=Decimal)
    return fields | {
        "userId": USER,
        "conversationId": CONVERSATION,
        "eventId": f"{sent['eventId'][:-6]}{number:06d}",
        "ts": now.isoformat(),
        "provider": provider,
        "model": model,
        "source": "litellm/1.106.2",
        "tokens_in": 1200 + 37 * number,
        "tokens_out": 300 + 11 * number,
        "latency": Decimal("3.241517") + number,
    }


def measured() -> dict[str, int]:
    """Return the measured fields of Units, in bytes."""
    with mock_aws():
        return _measured()


def _measured() -> dict[str, int]:
    for name, schema in zip(("events", "summaries", "state"), schemas().values(), strict=True):
        boto3.client("dynamodb").create_table(TableName=name, **schema)
    now = datetime.now(UTC)
    store = Store.from_environment(connect(read_timeout=5, attempts=1))
    yesterday = (now - timedelta(days=1)).date().isoformat()
    store.state.put_fx_rate(FxRate(yesterday, Decimal("1.1172")), source="benchmark", now=now)
    from ingest import app  # here: it reads the rates when it starts

    _deliver(app, [event(number, now) for number in range(BATCH)])
    log = _deliver(app, [event(number, now) for number in range(BATCH, 2 * BATCH)])
    _deliver(app, [event(number, now) | {"userId": OTHER} for number in range(0, 2 * BATCH, 2)])
    return {
        "event_bytes": round(mean(_sizes(store.client, "events"))),
        "summary_bytes": _summary_bytes(store, app.calendar(now), USER, now),
        "summary_bytes_of_one_model": _summary_bytes(store, app.calendar(now), OTHER, now),
        "log_bytes": sum(len(line) + LOG_OVERHEAD for line in (*LAMBDA_LINES, *log, _access_line())),
    }


def _deliver(app: Any, events: list[dict[str, Any]]) -> list[str]:
    """Deliver events to ingest, and return what it logs."""
    body = json.dumps(events, default=float)
    with redirect_stdout(io.StringIO()) as log:
        response = app.handler({"headers": {"content-type": "application/json"}, "body": body}, CONTEXT)
    assert json.loads(response["body"])["created"] == len(events), response
    return log.getvalue().splitlines()


def _sizes(client: Any, table: str) -> list[int]:
    return [item_size(item_from_wire(item)) for item in client.scan(TableName=table)["Items"]]


def _summary_bytes(store: Store, calendar: Calendar, user_id: str, now: datetime) -> int:
    day = calendar.day_of(now)
    recompute(store, calendar, Terms(), day, calendar.shard_of(user_id, day), as_of=now)
    [summary] = store.summaries.of_user(user_id, day, day)
    return item_size(summary)


def _access_line() -> str:
    """The API's line in its access log, with values of typical length."""
    [api] = resources("AWS::Serverless::HttpApi").values()
    values = {
        "requestId": "ABCDEFGHIJKLMNO=",
        "requestTime": "23/Nov/2026:12:00:00 +0000",
        "routeKey": "POST /api/request-event",
        "status": "200",
        "responseLatency": "61",
        "integrationLatency": "58",
        "responseLength": "48",
    }
    return re.sub(
        r"\$context\.([\w.]+)", lambda name: values.get(name[1], "-"), api["AccessLogSettings"]["Format"]
    )
