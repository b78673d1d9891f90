"""Calls of the functions on a test's tables; a client that loses responses; a queue without SQS."""

import base64
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import simplejson
from moto import mock_aws

from impact import ecb, rollup_queue
from impact.fx_rates import FxRates
from impact.ledger_store import LedgerStore
from impact.observability import logger
from impact.store import Store
from local.fake_ecb import published, serving
from rates import app as rates
from rollup import app as planner
from rollup_worker import app as worker
from summaries import app as summaries
from tests.events import NOON, entry_builder, freeze
from tests.integration.steps import BUILDER
from tests.intercepted import through
from tests.lambda_context import CONTEXT
from tests.metrics import values
from tests.rates import BEFORE_NOON

Post = Callable[..., Any]
Get = Callable[..., Any]
Handler = Callable[[Any], Any]
RunPlanner = Callable[[datetime], Counter[str]]


@pytest.fixture
def lossy_store(store: Store) -> Store:
    """The same tables; the first response to each write is lost, and the SDK tries again."""

    def twice(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        if name in ("put_item", "update_item", "delete_item"):
            carry_out(**options)
        return carry_out(**options)

    return through(store, twice)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """All that functions log, with each key. `caplog` has the messages alone, `capsys` the metrics."""
    stream = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


@pytest.fixture
def calls(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the planner sends to the queue, of which the worker handles each message at once."""
    made: list[dict[str, Any]] = []

    def send(QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        assert QueueUrl.endswith("/RollupQueue")
        assert 0 < len(Entries) <= 10
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        for entry in Entries:
            made.append(json.loads(entry["MessageBody"]))
            worker.handler(a_message(made[-1]), CONTEXT)
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    freeze(monkeypatch, planner)
    freeze(monkeypatch, worker)
    monkeypatch.setattr(planner, "store", store)
    monkeypatch.setattr(worker, "store", store)
    monkeypatch.setattr(planner, "sqs", SimpleNamespace(send_message_batch=send))
    monkeypatch.setattr(rollup_queue, "PAUSE_SECONDS", 0)
    return made


def a_message(call: object, receives: int = 1) -> dict[str, Any]:
    """What Lambda hands to the worker for a message of the queue."""
    body = call if isinstance(call, str) else json.dumps(call)
    return {"Records": [{"body": body, "attributes": {"ApproximateReceiveCount": str(receives)}}]}


@pytest.fixture
def ledger_since_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger was made at noon, in the time of these tests."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON)


@pytest.fixture(scope="session")
def ingest() -> Any:
    """The module of the ingest function. It reads the fx rates when it is imported."""
    with mock_aws():
        from ingest import app
    return app


@pytest.fixture
def post(ingest: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> Post:
    """Send a body (bytes as they are, anything else as JSON) and return the response with its body read."""
    calendar = entry_builder(shard_count=16).calendar
    freeze(monkeypatch, ingest)
    monkeypatch.setattr(ingest, "writer", replace(ingest.writer, store=store))
    monkeypatch.setattr(ingest, "calendar", lambda now: calendar)
    monkeypatch.setattr(ingest, "rates", lambda: FxRates({BEFORE_NOON.date: BEFORE_NOON.usd}))

    def send(body: Any, headers: dict[str, str] | None = None) -> Any:
        raw = body if isinstance(body, bytes) else simplejson.dumps(body).encode()
        request = {
            "headers": {"content-type": "application/json", **(headers or {})},
            "body": base64.b64encode(raw).decode(),
            "isBase64Encoded": True,
        }
        response = ingest.handler(request, CONTEXT)
        return SimpleNamespace(
            status=response["statusCode"], headers=response["headers"], json=json.loads(response["body"])
        )

    return send


@pytest.fixture
def get(store: Store, monkeypatch: pytest.MonkeyPatch) -> Get:
    """Ask a route; numbers in the response are read as they are written."""
    freeze(monkeypatch, summaries)
    monkeypatch.setattr(summaries, "store", store)
    monkeypatch.setattr(summaries, "calendar", lambda now: BUILDER.calendar)

    def ask(path: str = "/api/summaries", **parameters: str) -> Any:
        query = {name.rstrip("_"): value for name, value in parameters.items()}
        response = summaries.handler(
            {"routeKey": f"GET {path}", "queryStringParameters": query or None}, CONTEXT
        )
        body = json.loads(response["body"], parse_float=Decimal)
        return SimpleNamespace(status=response["statusCode"], json=body)

    return ask


@pytest.fixture
def old_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A packaged history that ends on 2026-10-09."""
    monkeypatch.setattr(
        ecb, "packaged", lambda first, last: published(max(first, "2025-01-01"), min(last, "2026-10-09"))
    )


@pytest.fixture
def rates_handler(store: Store, old_package: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handler]:
    """The function on Monday 2026-11-23 at noon, when the last rate is Friday's."""
    freeze(monkeypatch, rates)
    with serving() as server:
        server.publish(published("2026-08-24", "2026-11-20"))
        monkeypatch.setattr(rates, "store", store)
        monkeypatch.setattr(rates, "rates_url", server.url)
        yield lambda event: rates.handler(event, CONTEXT)


@pytest.fixture
def run_planner(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RunPlanner:
    """Run the planner at a time, without its workers, and return its metrics. The ledger was made at noon."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON)
    monkeypatch.setattr(planner, "store", store)
    monkeypatch.setenv("SHARD_COUNT", "4")
    monkeypatch.setattr(planner, "sqs", SimpleNamespace(send_message_batch=lambda **batch: {}))

    def at(now: datetime) -> Counter[str]:
        freeze(monkeypatch, planner, now)
        capsys.readouterr()
        planner.handler({}, CONTEXT)
        return values(capsys.readouterr().out)

    return at
