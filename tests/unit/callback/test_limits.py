"""The limits that the contract names. Others rely on them: senders, and whoever reads the ledger."""

from request_events import capture, limits
from request_events.event import Label, RequestEvent

CONTRACT = {
    "USER_ID_MAX": 256,
    "EVENT_ID_MAX": 128,
    "MODEL_MAX": 256,
    "PROVIDER_MAX": 64,
    "LABEL_MAX": 256,
    "TAGS_MAX": 50,
    "TIER_MAX": 32,
    "SOURCE_MAX": 64,
    "EVENTS_MAX": 500,
    "BODY_BYTES_MAX": 1024 * 1024,
    "EVENT_BYTES_MAX": 2048,
    "AHEAD_SECONDS": 300,
    "TOKENS_MAX": 10**12,
    "SECONDS_MAX": 10**7,
    "COST_MAX": 10**9,
    "DIGITS_MAX": 38,
}


def test_each_limit_is_the_contracts() -> None:
    assert {
        name: getattr(limits, name) for name in dir(limits) if name.endswith(("_MAX", "_SECONDS"))
    } == CONTRACT


def test_the_labels_are_those_of_the_event() -> None:
    hints = RequestEvent.__annotations__
    assert {name for name, hint in hints.items() if hint == Label | None} == set(limits.LABELS)
    assert set(capture.DISPENSABLE) < RequestEvent.model_fields.keys()
