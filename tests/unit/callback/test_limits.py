"""The limits that the contract names, and the numbers that operators are told: others rely on them."""

import pytest

from local import PROJECT
from request_events import (
    capture,
    delivery,
    delivery_log,
    limits,
    log,
    outbox,
    outbox_report,
    quarantine,
    responses,
    segment,
    sender,
    service_folders,
    settings,
    shutdown,
    transport,
)
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


@pytest.mark.parametrize(
    ("number", "value", "told"),
    [
        (outbox.FOLDER_BYTES, 4 * 10**9, "| undelivered events | 4 GB"),
        (outbox.MEMORY_EVENTS, 20_000, "| in memory, a process | 20,000 events"),
        (quarantine.REJECTED_BYTES, 10**9, "| `rejected/` | 1 GB |"),
        (sender.REPORT_SECONDS, 10, "Each process checks every ten seconds how much waits"),
        (delivery.BACKOFF_SECONDS_MAX, 60, "sends one request a minute"),
        (delivery.POSTPONED_SECONDS_MAX, 3600, "at most an hour, and at each start"),
        (responses.EARLY_SECONDS_MAX, 3600, "at most an hour between two tries"),
        (limits.AHEAD_SECONDS, 300, "**A clock that is ahead** by more than five minutes"),
        (delivery_log.CLOCKS_DIFFER_SECONDS, 120, "off by over two minutes"),
        (outbox.SLOW_SECONDS, 0.05, "A write of over 50 ms"),
        (outbox.SLOW_MODE_SECONDS, 10, "until ten seconds after the last such"),
        (log.SECONDS, 60, "comes once a minute at most"),
        (outbox_report.LATE_SECONDS, 300, "waits for over five minutes"),
        (outbox_report.REPEAT_SECONDS, 600, "every ten minutes while it lasts"),
        (outbox_report.RECOVERED_SECONDS, 60, "when none waits for over a minute"),
    ],
)
def test_a_number_of_the_page_on_the_outbox_is_the_codes(number: float, value: float, told: str) -> None:
    assert number == value
    assert told in (PROJECT / "docs" / "outbox.md").read_text()


def test_the_end_of_a_process_and_a_call_on_lambda_are_short() -> None:
    """What kills them if they are not: a container's orchestrator, and the function's own timeout."""
    assert (shutdown.CLOSE_SECONDS, shutdown.EXIT_SECONDS, sender.DRAIN_SECONDS) == (2, 4, 0.05)
    assert settings.LAMBDA_TIMEOUT_SECONDS == 3


def test_each_bound_leaves_room_for_what_is_bounded() -> None:
    assert transport.RESPONSE_BYTES_MAX == 6_000_000  # Lambda's own; a response names 500 events, and why
    assert delivery.BATCH_BYTES_MAX <= segment.SEGMENT_BYTES == 1_000_000 < segment.SHRINK_BYTES
    assert outbox_report.LINE_BYTES_MAX > limits.EVENT_BYTES_MAX
    assert segment.LINE_BYTES > 10 * limits.EVENT_BYTES_MAX
    assert service_folders.WAITED_SECONDS == 60
