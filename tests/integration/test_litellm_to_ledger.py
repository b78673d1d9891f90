"""From LiteLLM's report of a call to the ledger: sent by two workers, a hundred times, it is one event."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import simplejson

from impact.calendar import timestamp
from impact.store import Store
from request_events.capture import capture, encode
from tests.events import NOON
from tests.integration.conftest import Post
from tests.integration.steps import items
from tests.unit.callback.test_event_id import REAL

SENT = 100


def lines() -> list[bytes]:
    """What a worker keeps in its outbox of every real payload. Their times are brought to the tests' noon."""
    events = (capture(kwargs, "litellm/1.106.2") for kwargs in REAL.values())
    return [encode(event | {"ts": timestamp(NOON)}) for event in events if event is not None]


def batch(some: list[bytes]) -> bytes:
    return b"[" + b",".join(some) + b"]"


def test_events_sent_a_hundred_times_by_two_workers_are_stored_once(post: Post, store: Store) -> None:
    once = {simplejson.loads(line)["eventId"] for line in lines()}
    sent = [line for worker in range(2) for line in lines() * (SENT // 2)]
    random.Random(7).shuffle(sent)
    batches = [batch(sent[start : start + 500]) for start in range(0, len(sent), 500)]
    with ThreadPoolExecutor(4) as pool:
        responses: list[Any] = list(pool.map(post, batches))
    assert {response.status for response in responses} == {200}
    assert sum(response.json["created"] for response in responses) == len(once)
    assert sum(response.json["duplicates"] for response in responses) == len(sent) - len(once)
    assert {item["eventId"] for item in items(store)} == once


def test_the_new_fields_are_stored_as_they_were_sent(post: Post, store: Store) -> None:
    post(batch(lines()))
    stored = {item["eventId"]: item for item in items(store)}
    fields = ("serviceTier", "costInputUSD", "costOutputUSD", "costToolsUSD", "source", "estimated")
    seen: set[str] = set()
    for line in lines():
        sent = simplejson.loads(line, use_decimal=True)
        for field in fields:
            assert stored[sent["eventId"]].get(field) == sent.get(field)
        seen |= sent.keys() & set(fields)
    assert {"costInputUSD", "costOutputUSD", "source"} <= seen
