"""A client of the stack's HTTP API, and helpers of the end-to-end tests."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from boto3.dynamodb.conditions import Key

from impact.fx_rates import FxRate, fx_date_of
from impact.keys import day_shard
from impact.store import Store
from impact_cli import deployed_stack
from impact_client import Impact
from local.stack import Stack
from local.stack.stack import LOCAL_SHARDS
from local.waiting import PATIENCE_SECONDS


@dataclass(frozen=True)
class Answer:
    """Status and JSON of a response."""

    status: int
    text: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def exact(self) -> Any:
        """The body with exact numbers, as Decimal."""
        return json.loads(self.text, parse_float=Decimal)


@dataclass(frozen=True)
class Api:
    """Sends requests. The token is a valid one unless another is given."""

    stack: Stack

    @property
    def impact(self) -> Impact:
        """A client that reads usage as programs do; `get` and `post` show the response itself."""
        return self.stack.impact

    def post(self, body: object, token: str | None = None, **headers: str) -> Answer:
        """Post an event, an array of events, or bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        authorization = _authorization(self.stack.ingest_token if token is None else token)
        sent = {"Content-Type": "application/json"} | authorization | headers
        return self.send("POST", "/api/request-event", content, sent)

    def get(self, path: str, token: str | None = None, **query: str) -> Answer:
        authorization = _authorization(self.stack.read_token if token is None else token)
        return self.send("GET", f"{path}?{urlencode(query)}", None, authorization)

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        request = urllib.request.Request(self.stack.api_url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
                return Answer(response.status, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read())


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def count(stack: Stack, of: str) -> None:
    """Recompute a day and wait for it: call the worker for each shard."""
    for shard in range(LOCAL_SHARDS):
        stack.invoke("RollupWorkerFunction", {"day": of, "shard": shard})


def late_marks(stack: Stack, of: str = "") -> list[str]:
    """The (day, shard)s with a late mark: all, or those of one day."""
    marks = store_of(stack).state.marked()
    return [day_shard(day, shard) for day, shard in sorted(marks) if day.startswith(of)]


def store_of(stack: Stack) -> Store:
    """The stack's tables, with the rights of its owner."""
    return deployed_stack.store_of(stack.session, stack.name)


@contextmanager
def fx_rates(stack: Stack, *days: str, usd: str) -> Iterator[None]:
    """Let the stack have this rate, and no other, for these days. Afterwards its rates are as they were."""
    state: Any = stack.session.resource("dynamodb").Table(stack.state_table)
    dates = {fx_date_of(of) for of in days}
    between = [Key("kind").eq("rate") & Key("key").between(date, f"{date}#99") for date in dates]

    def forget() -> list[Any]:
        items = [item for key in between for item in state.query(KeyConditionExpression=key)["Items"]]
        for item in items:
            state.delete_item(Key={name: item[name] for name in ("kind", "key")})
        return items

    before = forget()
    for date in dates:
        store_of(stack).state.put_fx_rate(FxRate(date, Decimal(usd)), source="a test", now=datetime.now(UTC))
    try:
        yield
    finally:
        forget()
        for item in before:
            state.put_item(Item=item)


def a_user() -> str:
    """A user id that no other test uses, and no log contains."""
    return f"alice-{uuid4().hex[:12]}"


def an_event(user_id: str, days_ago: int = 0, **fields: Any) -> dict[str, Any]:
    """A valid event of so many days ago."""
    event = {
        "userId": user_id,
        "ts": (datetime.now(UTC) - timedelta(days=days_ago)).isoformat(),
        "model": "gpt-4o",
        "provider": "openai",
        "tokens_in": 1200,
        "tokens_out": 340,
        "latency": 2.5,
        "costEUR": 0.0123,
        "eventId": uuid4().hex,
    }
    return event | fields


def day(days_ago: int = 0) -> str:
    return (datetime.now(UTC) - timedelta(days=days_ago)).date().isoformat()
