"""The ingest function: bodies and events that it rejects, each with the field named."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import simplejson
from moto import mock_aws

from impact.calendar import timestamp
from impact.store import Store
from tests.events import NOON, event
from tests.integration.conftest import Post
from tests.integration.steps import items, now_event

with mock_aws():  # it reads the fx rates when it starts
    pass

REQUIRED = ["userId", "ts", "model", "provider", "tokens_in", "tokens_out", "latency"]
BAD_FIELDS: list[tuple[str, Any]] = [
    *((name, None) for name in REQUIRED),
    *((name, {}) for name in REQUIRED),
    ("userId", ""),
    ("userId", " "),
    ("userId", "{{LIBRECHAT_USER_ID}}"),
    ("userId", "x" * 257),
    ("userId", "😀" * 256),
    ("userId", 7),
    ("eventId", ""),
    ("eventId", "x" * 129),
    ("eventId", "{{ID}}"),
    ("ts", "yesterday"),
    ("ts", 1795418608),
    ("ts", timestamp(NOON + timedelta(minutes=6))),
    ("ts", timestamp(NOON - timedelta(days=398, minutes=1))),
    ("ts", "0001-01-01T00:00:00+14:00"),
    ("model", "x" * 257),
    ("provider", "x" * 65),
    ("tokens_in", -1),
    ("tokens_in", "5"),
    ("tokens_in", True),
    ("tokens_in", Decimal("1.5")),
    ("tokens_in", 10**30),
    ("latency", -1),
    ("latency", "1"),
    ("costUSD", -1),
    ("costUSD", "0.1"),
    ("costEUR", True),
    ("costEUR", Decimal("1E+40")),
    ("costUSD", Decimal("0." + "1" * 39)),
    ("status", "maybe"),
    ("stream", "yes"),
    ("tags", "a"),
    ("tokens_cached", -1),
    ("timeToFirstToken", -1),
]


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_a_bad_field_is_named_and_nothing_is_stored(post: Post, store: Store, field: str, value: Any) -> None:
    response = post(now_event() | {field: value} if value is not None else now_event(**{field: None}))
    assert response.status == 422
    assert [detail["field"] for detail in response.json["error"]["details"]] == [field]
    assert all(detail["message"] for detail in response.json["error"]["details"])
    assert items(store) == []


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "1e99999999999999999999", "9" * 5000]
)
@pytest.mark.parametrize("field", ["latency", "costUSD", "tokens_out"])
def test_a_number_out_of_range_is_named(post: Post, store: Store, field: str, number: str) -> None:
    body = simplejson.dumps(now_event() | {field: 0}).replace(f'"{field}": 0', f'"{field}": {number}')
    response = post(body.encode())
    assert (response.status, response.json["error"]["details"][0]["field"]) == (422, field)
    assert items(store) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b'{"userId": ', b"\xff\xfe", b"[" * 100_000, b'{"a": 1} x', b'{"a": "\xed\xa0\x80"}']
    + ["{}".encode(encoding) for encoding in ("utf-16", "utf-32-le")],
    ids=range(9),
)
def test_what_is_not_json_is_a_400(post: Post, store: Store, body: bytes) -> None:
    response = post(body)
    assert (response.status, response.json["error"]["code"]) == (400, "not_json")
    assert response.json["error"]["details"] == [{"field": "body", "message": "is not JSON"}]
    assert items(store) == []


@pytest.mark.parametrize("body", [b"1", b"null", b'"x"', b"true"])
def test_what_is_no_event_is_a_422(post: Post, body: bytes) -> None:
    response = post(body)
    assert (response.status, response.json["error"]["details"][0]["field"]) == (422, "event")


def test_limits_of_a_request(post: Post, store: Store) -> None:
    assert post([]).json["error"]["details"] == [{"field": "events", "message": "must not be empty"}]
    assert post([]).status == 422
    assert post([event()] * 501).status == 413
    assert post(b'{"userId": "' + b"x" * 2_000_000 + b'"}').status == 413
    assert post(event(), {"Content-Encoding": "gzip"}).status == 415
    assert items(store) == []


def test_five_hundred_at_once(post: Post, store: Store) -> None:
    assert post([now_event(eventId=str(n)) for n in range(500)]).json["created"] == 500
    assert len(items(store)) == 500


def test_an_event_that_is_too_large_is_rejected(post: Post, store: Store) -> None:
    labels = ["callType", "modelGroup", "teamId", "keyAlias", "conversationId", "errorCode"]
    response = post(now_event(tags=["t" * 256] * 50, **dict.fromkeys(labels, "x" * 256)))
    assert (response.status, response.json["error"]["details"][0]["field"]) == (422, "tags")
    assert items(store) == []
