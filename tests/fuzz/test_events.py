"""Bad events at scale: the ingest function as API Gateway calls it, on DynamoDB, judged by an oracle."""

import base64
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from impact.dynamodb import item_from_wire
from impact.fx_rates import FxRates
from impact.store import Store
from tests.events import NOON, entry_builder, freeze
from tests.fuzz import ROUNDS
from tests.fuzz.mutated_events import Members, damaged, identified, mutated, real_events
from tests.fuzz.oracle import KNOWN, REQUIRED, NotJson, Verdict, judge, read
from tests.lambda_context import CONTEXT
from tests.rates import BEFORE_NOON

with mock_aws():  # it reads the fx rates when it starts
    from ingest import app

CALENDAR = entry_builder(shard_count=16).calendar
ARRAYS = 36
EVENTS = 500
BODIES = 1500
ODD_REQUESTS = 500

EVENT_LIMITS = {200, 201, 422}
OF_THE_SERVICE = {"day", "dayShard", "userEvent", "receivedAt", "expiresAt"}
EXCHANGE = {"fxRate", "fxDate", "costEUR"}


@dataclass
class Expected:
    """The expected ledger: by key, the events of which one must be stored."""

    by_key: dict[tuple[str, str, str], list[dict[str, Any]]] = field(default_factory=dict)
    unnamed: list[dict[str, Any]] = field(default_factory=list)
    near_the_limit: list[dict[str, Any]] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        assert not verdict.bad
        fields = verdict.fields
        if verdict.near_the_limit:
            self.near_the_limit.append(fields)
        elif "eventId" in fields:
            key = (fields["ts"].date().isoformat(), fields["userId"], fields["eventId"])
            self.by_key.setdefault(key, []).append(fields)
        elif fields not in self.unnamed:
            self.unnamed.append(fields)

    def check(self, items: list[dict[str, Any]]) -> None:
        """Compare with the whole ledger."""
        stored: Counter[tuple[str, str, str]] = Counter()
        unnamed = list(self.unnamed)
        for item in items:
            fields = _as_sent(item)
            key = (item["day"], item["userId"], item["eventId"])
            stored[key] += 1
            if fields in self.by_key.get(key, []):
                continue
            nameless = {name: value for name, value in fields.items() if name != "eventId"}
            if nameless in unnamed:
                unnamed.remove(nameless)
            else:
                assert fields in self.near_the_limit or nameless in self.near_the_limit
        assert not unnamed
        assert self.by_key.keys() <= stored.keys()
        assert set(stored.values()) <= {1}


def _as_sent(item: dict[str, Any]) -> dict[str, Any]:
    """An item without the fields that the service adds, with times and numbers in the oracle's form."""
    assert item["dayShard"].startswith(item["day"])
    hidden = OF_THE_SERVICE | (EXCHANGE if "fxRate" in item else set())
    sent = {name: value for name, value in item.items() if name not in hidden}
    at = datetime.fromisoformat(sent["ts"])
    return {name: Decimal(v) if type(v) is int else v for name, v in sent.items()} | {"ts": at}


@dataclass
class Ingest:
    """Calls the function, checks each response, and counts requests."""

    store: Store
    seen: Counter[str]
    expected: Expected = field(default_factory=Expected)

    def send(self, body: bytes, **request: Any) -> tuple[int, Any]:
        """Post a body as text if possible, else as base64."""
        event = {"headers": {"content-type": "application/json"}, **_encoded(body), **request}
        response = app.handler(event, CONTEXT)
        status, answer = response["statusCode"], json.loads(response["body"])
        assert status < 500, (body, answer)
        if status >= 400:
            details = answer["error"]["details"]
            assert details, (body, answer)
            assert all(detail["field"] and detail["message"] for detail in details), (body, answer)
        self.seen[str(status)] += 1
        return status, answer

    def send_array(self, texts: list[str]) -> None:
        """Post an array, and check that exactly its invalid events are rejected, for the right fields."""
        body = f"[{','.join(texts)}]".encode()
        status, answer = self.send(body)
        assert status == 200
        rejected = {rejection["index"]: rejection for rejection in answer["rejected"]}
        assert answer["created"] + answer["duplicates"] + len(rejected) == len(texts)
        for index, event in enumerate(read(body)):
            verdict = judge(event, NOON)
            errors = rejected[index]["errors"] if index in rejected else []
            self._check(texts[index], verdict, errors, is_taken=index not in rejected)

    def send_one(self, body: bytes, **request: Any) -> int:
        """Post any body, and compare the response with the oracle."""
        status, answer = self.send(body, **request)
        try:
            event = read(body)
        except NotJson:
            assert status == 400, body
            return status
        if isinstance(event, list):
            assert status == (200 if 0 < len(event) <= EVENTS else 413 if event else 422), body
            for index, element in enumerate(event if status == 200 else []):
                errors = [e for r in answer["rejected"] if r["index"] == index for e in r["errors"]]
                self._check(repr(element), judge(element, NOON), errors, is_taken=not errors)
            return status
        errors = answer["error"]["details"] if status == 422 else []
        assert status in EVENT_LIMITS, body
        self._check(repr(body), judge(event, NOON), errors, is_taken=status < 300)
        return status

    def _check(self, text: str, verdict: Verdict, errors: list[Any], *, is_taken: bool) -> None:
        named = {error["field"].partition(".")[0] for error in errors}
        self.seen.update(named or {"taken"})
        if is_taken:
            assert not verdict.bad, (text, verdict.bad)
            self.expected.add(verdict)
        elif not verdict.near_the_limit:
            assert verdict.bad, (text, errors)
            # For an event that is too large, the response names the largest field; else each invalid field.
            too_large = any("makes the event larger" in error["message"] for error in errors)
            assert named <= verdict.bad if too_large else named == verdict.bad, (text, named, verdict.bad)


def _encoded(body: bytes) -> dict[str, Any]:
    try:
        return {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def items(store: Store) -> list[dict[str, Any]]:
    """All items of the ledger, without footprints: moto takes long to write these."""
    names = {f"#{i}": name for i, name in enumerate([*KNOWN, *OF_THE_SERVICE, "fxRate", "fxDate"])}
    pages = store.client.get_paginator("scan").paginate(
        TableName=store.ledger.name, ProjectionExpression=", ".join(names), ExpressionAttributeNames=names
    )
    return [item_from_wire(item) for page in pages for item in page["Items"]]


@pytest.fixture(autouse=True)
def in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "calendar", lambda now: CALENDAR)


@pytest.fixture
def ingest(store: Store, monkeypatch: pytest.MonkeyPatch, counted: Counter[str]) -> Ingest:
    """The function on an empty ledger."""
    freeze(monkeypatch, app)
    monkeypatch.setattr(app, "writer", replace(app.writer, store=store))
    monkeypatch.setattr(app, "rates", lambda: FxRates({BEFORE_NOON.date: BEFORE_NOON.usd}))
    return Ingest(store, counted)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_of_an_array_exactly_the_good_events_are_stored(
    ingest: Ingest, counted: Counter[str], seed: int
) -> None:
    random, real = Random(seed), real_events()
    for array in range(ARRAYS):
        events = (identified(random.choice(real), f"{array}-{index}") for index in range(EVENTS))
        ingest.send_array([mutated(random, event) for event in events])
        counted["events in arrays"] += EVENTS
    ingest.expected.check(items(ingest.store))
    assert counted["events in arrays"] >= 18_000
    assert counted["taken"] < counted["events in arrays"] / 2
    assert counted.keys() >= {*KNOWN, "event"}


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_body_is_read_or_refused(ingest: Ingest, counted: Counter[str], seed: int) -> None:
    random, real = Random(seed), real_events()
    for number in range(BODIES):
        ingest.send_one(_body(random, real, number))
        counted["bodies"] += 1
    ingest.expected.check(items(ingest.store))
    assert counted["bodies"] >= 1_500
    assert counted.keys() >= {"200", "201", "400", "413", "422"}


def _body(random: Random, real: list[Members], number: int) -> bytes:
    if number % 500 == 7:
        return b"[" + b",".join([b"{}"] * random.choice((501, 5000))) + b"]"
    events = [
        mutated(random, identified(random.choice(real), f"{number}-{n}"))
        for n in range(random.choice((1, 1, 1, 3)))
    ]
    text = events[0] if len(events) == 1 else f"[{','.join(events)}]"
    return text.encode() if random.random() < 0.3 else damaged(random, text.encode())


TEXTS = st.text(st.characters(exclude_categories=()), max_size=40)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
COUNTS = st.integers(0, 9999)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("userId", "model", "provider", "eventId", "teamId"), st.sampled_from("abc") | TEXTS),
    **dict.fromkeys(("tokens_in", "tokens_out", "tokens_cached"), COUNTS | COUNTS | st.floats()),
    **dict.fromkeys(("latency", "costUSD", "costEUR"), COUNTS | st.floats(0, 9999) | st.floats()),
    "ts": st.just(NOON.isoformat()) | st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
    "tags": st.lists(TEXTS, max_size=4),
    "stream": st.booleans(),
}
GOOD_EVENT = st.fixed_dictionaries(
    {
        **dict.fromkeys(("userId", "model", "provider"), st.sampled_from("abc")),
        **dict.fromkeys(("tokens_in", "tokens_out", "latency"), COUNTS),
        "ts": st.just(NOON.isoformat()),
    },
    optional={"eventId": st.sampled_from("abc"), "costUSD": COUNTS, "stream": st.booleans()},
)
OTHER = ("errorCode", "status", "messages", "timeToFirstToken")
ANY_EVENT = st.fixed_dictionaries(
    {name: LIKELY[name] for name in REQUIRED},
    optional={name: values for name, values in LIKELY.items() if name not in REQUIRED}
    | dict.fromkeys(OTHER, ANY_JSON),
)


def test_any_json_is_judged_as_the_contract_has_it(ingest: Ingest, counted: Counter[str]) -> None:
    @settings(max_examples=500 * ROUNDS, derandomize=True, deadline=None, database=None)
    @given(ANY_EVENT | GOOD_EVENT | ANY_JSON)
    def ask(value: Any) -> None:
        ingest.send_one(json.dumps(value).encode())
        counted["bodies"] += 1

    ask()
    ingest.expected.check(items(ingest.store))
    assert counted["bodies"] >= 500
    assert counted["taken"] > 10


HEADER_NAMES = [
    "content-encoding",
    "Content-Encoding",
    "CONTENT-ENCODING",
    "content-type",
    "x-amz-meta",
    "",
    "expect",
]
HEADER_VALUES = [
    "",
    "identity",
    " IDENTITY ",
    "gzip",
    "GZIP",
    "identity, gzip",
    "br",
    "\0",
    "application/json",
    "x" * 9999,
]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_request_of_any_shape_is_answered(ingest: Ingest, counted: Counter[str], seed: int) -> None:
    random, real = Random(seed), real_events()
    for number in range(ODD_REQUESTS):
        text = mutated(random, identified(random.choice(real), str(number)))
        encoded = base64.b64encode(text.encode()).decode()
        request: dict[str, Any] = {
            "headers": {name: random.choice(HEADER_VALUES) for name in _headers(random)},
            "body": random.choice(
                (text, text, encoded, encoded[:-1], "=" + encoded, "\ud800" + text, "", None)
            ),
            "isBase64Encoded": random.choice((True, False, None)),
        }
        for name in list(request):
            if random.random() < 0.1:
                request[name] = None
            elif random.random() < 0.1:
                del request[name]
        status = app.handler(request, CONTEXT)["statusCode"]
        counted.update({str(status): 1, "requests": 1})
        expected, verdict = _expected(request)
        assert status in expected, (request, status)
        if status < 300 and verdict:
            ingest.expected.add(verdict)
    ingest.expected.check(items(ingest.store))
    assert counted["requests"] >= 500
    assert counted.keys() >= {"201", "400", "415", "422"}


def _headers(random: Random) -> list[str]:
    """Two different names. API Gateway would join two spellings of one name."""
    names = random.sample(HEADER_NAMES, 2)
    return names if len({name.lower() for name in names}) == 2 else names[:1]


def _expected(request: dict[str, Any]) -> tuple[set[int], Verdict | None]:
    """The expected response to a request, and the events of it to be stored."""
    headers = {name.lower(): value for name, value in (request.get("headers") or {}).items()}
    if headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        return {415}, None
    body = request.get("body") or ""
    try:
        raw = base64.b64decode(body, validate=True) if request.get("isBase64Encoded") else body.encode()
        event = read(raw)
    except (ValueError, NotJson):
        return {400}, None
    if isinstance(event, list):
        return {200, 422}, None
    verdict = judge(event, NOON)
    if verdict.near_the_limit:
        return {200, 201, 422}, verdict
    return ({422} if verdict.bad else {200, 201}), verdict
