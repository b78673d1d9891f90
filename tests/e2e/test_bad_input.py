"""Bad bodies over HTTP: API Gateway passes them on as text or as base64, and the response is the same."""

from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from local.stack import Stack
from tests.e2e.api import Api, day
from tests.fuzz import ROUNDS
from tests.fuzz.mutated_events import damaged, identified, mutated, real_events
from tests.fuzz.oracle import NotJson, judge, read

BODIES = 240
FEW = 60
"""Bodies that `make test` sends."""
CONTENT_TYPES = [
    *(
        "application/json",
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "text/plain",
    ),
    *(
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "image/png",
        "x",
        "",
        "application/json;",
    ),
]
TEXT = ("application/json", "text/", "application/xml", "application/javascript")
"""Content types whose bodies API Gateway always treats as UTF-8."""
ENCODINGS = [*[None] * 15, "identity", " Identity ", "gzip", "br", "x"]


@pytest.mark.parametrize("bodies", [FEW, pytest.param(BODIES * ROUNDS, marks=pytest.mark.long)])
def test_a_body_is_answered_as_if_it_came_straight_to_the_function(
    stack: Stack, api: Api, counted: Counter[str], bodies: int
) -> None:
    random, events = Random(bodies), real_events()
    must_be_there: set[str] = set()
    may_be_there: set[str] = set()
    for number in range(bodies):
        ids = [f"http-{bodies}-{number}-{n}" for n in range(random.choice((1, 1, 3)))]
        texts = [mutated(random, identified(random.choice(events), event_id)) for event_id in ids]
        body = (texts[0] if len(texts) == 1 else f"[{','.join(texts)}]").encode()
        body = body.replace(b"2026-11-23", day(1).encode())  # the stack's clock is the real one
        if random.random() < 0.6:
            body = damaged(random, body)
        content_type, encoding = random.choice(CONTENT_TYPES), random.choice(ENCODINGS)
        headers = {"Content-Type": content_type} | ({"Content-Encoding": encoding} if encoding else {})
        answer = api.post(body, **headers)
        counted[str(answer.status)] += 1
        assert answer.status in (200, 201, 400, 413, 415, 422), (body, headers, answer)
        if answer.status >= 400:
            assert all(detail["field"] for detail in answer.body["error"]["details"]), (body, answer)
        if encoding and encoding.strip().lower() != "identity":
            assert answer.status == 415, (body, headers)
        elif not _is_handed_over(body, content_type):
            may_be_there.update(ids)
        else:
            _check(body, answer.status, answer.body, must_be_there, may_be_there)
    assert counted.total() >= bodies
    assert counted.keys() == {"200", "201", "400", "415", "422"}
    ledger = stack.session.resource("dynamodb").Table(stack.request_events_table)
    ids = [str(item["eventId"]) for item in ledger.scan(ConsistentRead=True)["Items"]]
    stored = {event_id for event_id in ids if event_id.startswith(f"http-{bodies}-")}
    assert must_be_there <= stored <= must_be_there | may_be_there


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("userId", 422),
        ("=&&=", 422),
        ("userId=", 422),
        ("userId=%FF%C0", 200),
        ("userId=%00", 200),
        ("userId=%ED%A0%80", 200),
        ("userId=a%26day%3D2026-11-23", 200),
        ("userId=" + "%F0%9F%98%80" * 256, 422),
        ("userId=a&from=2026-11-01&from=2026-11-02", 422),
        ("userId=a&day=2026-11-23", 422),
        ("day=2026-11-23&cursor=%00%FF", 422),
        ("day=2026-11-23%0A", 422),
        ("userId=" + "x" * 6000, 422),
    ],
)
def test_a_query_of_any_shape_is_answered(stack: Stack, api: Api, query: str, status: int) -> None:
    token = {"Authorization": f"Bearer {stack.read_token}"}
    answer = api.send("GET", f"/api/summaries?{query}", None, token)
    assert answer.status == status
    assert status == 200 or answer.body["error"]["details"][0]["field"]


def _is_handed_over(body: bytes, content_type: str) -> bool:
    """Tell whether a body reaches the function unchanged."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return not content_type.lower().startswith(TEXT)
    return True


def _check(body: bytes, status: int, answer: Any, must_be_there: set[str], may_be_there: set[str]) -> None:
    """Compare with the oracle, except for times: another test changes the stack's retention."""
    try:
        content = read(body)
    except NotJson:
        assert status == 400, body
        return
    events = content if isinstance(content, list) else [content]
    if not events:
        assert status == 422, body
        return
    assert status == 200 or not isinstance(content, list), (body, status)
    rejected = {rejection["index"] for rejection in answer.get("rejected", [])} or (
        {0} if status == 422 else set()
    )
    for index, event in enumerate(events):
        verdict = judge(event, datetime.now(UTC))
        event_id = event.get("eventId") if isinstance(event, dict) else None
        if verdict.near_the_limit or verdict.bad == {"ts"}:
            may_be_there.add(str(event_id))
            continue
        assert (index in rejected) == bool(verdict.bad), (body, index, verdict.bad)
        if not verdict.bad and isinstance(event_id, str):
            must_be_there.update({event_id} if event_id.startswith("http-") else set())
