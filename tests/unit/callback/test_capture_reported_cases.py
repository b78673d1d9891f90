"""Public trouble reports of LiteLLM's users, as payloads: what each call counts as, and why."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.callback.test_capture import on_the_wire

CASES = {
    path.stem: json.loads(path.read_text())["calls"]
    for path in sorted((Path(__file__).parent / "reported_cases").glob("*.json"))
}

WHY = {
    "broken-stream-lost": [
        "tokens were used: the provider charges them, though LiteLLM names no provider",
        "an error within the stream: likewise",
        "the same by pass-through, where LiteLLM names no provider at all",
        "LiteLLM refused it: no tokens, no cost, no provider",
    ],
    "coding-session-as-user": [
        "a session is no person: the key's owner is",
        "another session of the same person",
        "the older form of a session",
        "a person's plain id stays",
    ],
    "no-tokens-no-price-free": [
        "LiteLLM does not know the tokens of a transcription, and has no price",
        "nor of an image",
        "nor of speech",
        "nor of a rerank, without saying so",
        "nor what passes through to a paid API",
        "a chat whose provider told no usage",
        "a moderation, which the price map says is free",
    ],
    "one-call-id-several-calls": [
        "a round of a tool loop",
        "an earlier round, with the same call id and response id",
        "a paid tool call",
        "the same tool again",
    ],
    "retrieved-response-counted-again": [
        "a background response is made: nobody knows what it will cost",
        "the first read that sees it complete",
        "the second",
        "the third",
        "a plain response, answered at once",
        "a read of the plain one",
    ],
    "unknown-model-free": [
        "an entry that LiteLLM made up",
        "the same by pass-through",
        "an operator's own model without a price",
        "a model that the price map says is free",
    ],
}
ROWS = [
    pytest.param(call, id=f"{name}: {why}")
    for name, calls in CASES.items()
    for call, why in zip(calls, WHY[name], strict=True)
]


@pytest.mark.parametrize("call", ROWS)
def test_each_call_counts_as_what_it_is(call: dict[str, Any]) -> None:
    sent, right = on_the_wire(call["kwargs"]), call["right"]
    if right is None:
        assert sent is None
        return
    for field, value in right.items():
        if field in ("note", "eventId"):  # of several calls: below
            continue
        if value == "absent":
            assert field not in sent
        else:
            assert sent[field] == (Decimal(repr(value)) if isinstance(value, float) else value)


def test_calls_under_one_call_id_are_all_counted() -> None:
    events = [on_the_wire(call["kwargs"]) for call in CASES["one-call-id-several-calls"]]
    assert len({event["eventId"] for event in events}) == 4
    assert sum(event["costUSD"] for event in events) == Decimal("0.0250")


def test_a_background_response_costs_once_and_a_read_of_a_plain_one_nothing() -> None:
    events = [on_the_wire(call["kwargs"]) for call in CASES["retrieved-response-counted-again"]]
    costs = {event["eventId"]: event.get("costUSD", 0) for event in events if event}
    assert sum(costs.values()) == Decimal("0.00135")
    assert events[-1] is None
