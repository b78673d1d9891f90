"""The examples of docs/openapi.json: real responses of the functions to sample requests."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from moto import mock_aws

from local.tables import schemas

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = "2026-11-23"
EVENT: dict[str, Any] = {
    "userId": "alice",
    "ts": "2026-11-23T07:23:28.164Z",
    "model": "gpt-4o",
    "provider": "openai",
    "tokens_in": 1200,
    "tokens_out": 300,
    "latency": 1.108738,
    "costUSD": 0.00475,
    "eventId": "7396d650-5725-4480-9f0c-3d1d1f0a6c1e:success",
}
MINIMAL: dict[str, Any] = {
    "userId": "bob",
    "ts": "2026-11-23T08:00:00Z",
    "model": "llama3.2",
    "provider": "ollama",
    "tokens_in": 40,
    "tokens_out": 2,
    "latency": 0.8,
    "costEUR": 0,
}
BAD = EVENT | {"eventId": "bad", "tokens_in": -1}
FOOTPRINT = {
    "energyKWh": {"low": Decimal("0.00056"), "high": Decimal("0.00095")},
    "co2eKg": {"low": Decimal("0.00022"), "high": Decimal("0.00037")},
    "waterL": {"low": Decimal("0.0019"), "high": Decimal("0.0032")},
}
"""Used in place of EcoLogits' estimate, which changes with its version."""

Responses = dict[str, dict[int, dict[str, Any]]]
"""By route, status and name of the request: `headers` and `body` of the response."""


def responses() -> Responses:
    """Send requests to every route, for every status that it has, with tables in memory."""
    with redirect_stdout(StringIO()), _tables() as (ingest, summaries, store):
        reading = ("summaries", "totals", "breakdown", "me/summaries", "me/breakdown")
        routes = ("POST /api/request-event", *(f"GET /api/{name}" for name in reading))
        given: Responses = {route: {} for route in routes}

        def keep(route: str, name: str, response: dict[str, Any]) -> None:
            headers = {k: v for k, v in response["headers"].items() if k != "content-type"}
            example = {"headers": headers, "body": json.loads(response["body"])}
            given[route].setdefault(response["statusCode"], {})[name] = example

        def post(name: str, body: Any, **headers: str) -> None:
            text = body if isinstance(body, str) else json.dumps(body)
            keep(
                "POST /api/request-event", name, ingest.handler({"headers": headers, "body": text}, _CONTEXT)
            )

        def get(path: str, name: str, **query: str) -> None:
            asked = {key.rstrip("_"): value for key, value in query.items()}
            alice = {"authorizer": {"lambda": {"kind": "link", "userId": "alice"}}}
            request = {"routeKey": f"GET {path}", "queryStringParameters": asked, "requestContext": alice}
            keep(f"GET {path}", name, summaries.handler(request, _CONTEXT))

        post("created", EVENT)
        post("duplicate", EVENT)
        post("array", [EVENT, MINIMAL, BAD])
        post("notJson", "{")
        post("tooMany", [{}] * 501)
        post("compressed", EVENT, **{"content-encoding": "gzip"})
        post("invalid", BAD)
        post("emptyArray", [])
        get("/api/summaries", "user", userId="alice", from_="2026-11-01", to="2026-11-30")
        get("/api/summaries", "userWithoutUse", userId="carol", from_="2026-11-01", to="2026-11-30")
        get("/api/summaries", "day", day=DAY)
        get("/api/totals", "platform", from_="2026-11-01", to="2026-11-30")
        days = {"from_": "2026-11-01", "to": "2026-11-30"}
        get("/api/summaries", "team", teamId="marketing", **days)
        get("/api/breakdown", "teams", by="team", **days)
        get("/api/breakdown", "modelsByDay", by="model", daily="2", **days)
        get("/api/me/summaries", "mine", **days)
        get("/api/me/breakdown", "models", by="model", **days)
        get("/api/me/summaries", "invalid", from_="yesterday")
        get("/api/me/breakdown", "invalid", by="team")
        get("/api/summaries", "invalid")
        get("/api/breakdown", "invalid", by="city")
        get("/api/totals", "invalid", from_="2026-11-30", to="2026-11-01")
        store.client.delete_table(TableName=store.ledger.name)  # so that storage fails
        post("one", EVENT)
        post("array", [EVENT, BAD])
    return given


@contextmanager
def _tables() -> Iterator[tuple[Any, Any, Any]]:
    """The two functions, with tables of their own that have the summaries of one day."""
    stack = f"openapi-{uuid4().hex[:8]}"
    tables = {"REQUEST_EVENTS_TABLE": "RequestEvents", "DAILY_SUMMARIES_TABLE": "DailySummaries"}
    tables |= {"STATE_TABLE": "State"}
    environment = {variable: f"{stack}-{name}" for variable, name in tables.items()}
    credentials = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_DYNAMODB": "",  # moto, whatever else there is
    }
    quiet = {"POWERTOOLS_LOG_LEVEL": "CRITICAL", "POWERTOOLS_METRICS_NAMESPACE": "none"}
    with mock_aws(), patch.dict(os.environ, environment | credentials | quiet):
        from impact import config
        from impact.billing import Terms
        from impact.day_settings import ensure_calendar
        from impact.dynamodb import connect
        from impact.fx_rates import FxRate, FxRates
        from impact.ledger_entry import EntryBuilder
        from impact.naming import Name
        from impact.recompute import recompute
        from impact.store import Store
        from ingest import app as ingest
        from summaries import app as summaries

        store = Store.from_environment(connect(read_timeout=5, attempts=1))
        for name, schema in schemas().items():
            store.client.create_table(TableName=f"{stack}-{name}", **schema)
        rate = FxRate("2026-11-20", Decimal("1.1172"))
        store.state.put_fx_rate(rate, source="example", now=NOW)
        terms = Terms(Decimal(5), Decimal(1), Decimal(25), "A study, 2026")
        calendar = ensure_calendar(store, config.settings, NOW)
        store.names.put("user", "alice", Name("Alice Example", "4711"), NOW)
        store.names.put("team", "marketing", Name("Marketing", "4711"), NOW)
        _use(store, EntryBuilder(calendar), "alice", 1)
        _use(store, EntryBuilder(calendar), "bob", 2)
        for shard in range(calendar.shard_count(DAY)):
            recompute(store, calendar, terms, DAY, shard, as_of=NOW)
        with (
            patch.object(ingest, "datetime", _Clock),
            patch.object(ingest, "writer", replace(ingest.writer, store=store)),
            patch.object(ingest, "rates", lambda: FxRates({rate.date: rate.usd})),
            patch.object(ingest, "calendar", lambda now: calendar),
            patch.object(summaries, "store", store),
            patch.object(summaries, "calendar", lambda now: calendar),
            patch.object(summaries, "terms", terms),
        ):
            yield ingest, summaries, store


def _use(store: Any, ledger: Any, user_id: str, requests: int) -> None:
    team = {"teamId": "marketing"} if user_id == "alice" else {}
    for number in range(requests):
        ts = (NOW - timedelta(hours=1 + number)).isoformat()
        raw = EVENT | team | {"userId": user_id, "eventId": str(number), "ts": ts}
        exact = json.loads(json.dumps(raw), parse_float=Decimal)
        store.ledger.append(ledger.build(exact, NOW).with_fields(FOOTPRINT).item)


class _Clock(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> "_Clock":
        return cls.fromtimestamp(NOW.timestamp(), tz)


_CONTEXT: Any = SimpleNamespace(
    function_name="openapi",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:eu-central-1:0:function:openapi",
    aws_request_id="openapi",
    get_remaining_time_in_millis=lambda: 20_000,
)
