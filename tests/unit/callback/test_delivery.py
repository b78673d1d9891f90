"""Numbers by which a batch is divided and tried again: a wrong one costs the service, or the events' time."""

import json
import random
from collections.abc import Iterator
from http.client import HTTPMessage
from pathlib import Path

import pytest

from request_events import delivery
from request_events.delivery import BATCH_BYTES_MAX, backoff
from request_events.limits import BODY_BYTES_MAX, EVENTS_MAX
from request_events.outbox import Outbox
from request_events.responses import RETRY_AFTER_SECONDS_MAX, BatchOutcome, parse_response
from request_events.segment import NEVER, Segment
from request_events.sender import Sender
from tests.unit.callback.conftest import SenderMaker
from tests.unit.callback.service import Service, response


def test_pauses_double_from_half_a_second_to_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    assert [backoff(attempt, 0) for attempt in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff(1000, 0) == 60
    assert backoff(0, 7.5) == 7.5
    assert backoff(8, 3600) == 3600


def test_pauses_are_random_so_that_proxies_do_not_come_back_at_once() -> None:
    pauses = [backoff(3, 0) for _ in range(200)]
    assert 0 <= min(pauses) < 1
    assert 3 < max(pauses) <= 4


def test_a_blocked_event_is_tried_again_within_an_hour() -> None:
    assert delivery.POSTPONED_SECONDS_MAX == RETRY_AFTER_SECONDS_MAX == 3600


def test_a_foreign_response_delays_the_next_try_by_a_minute_at_most(sender: Sender) -> None:
    outcome = BatchOutcome(retry_after=3600, is_foreign=True)
    assert 59 < sender._delivery._seconds_until_next_try(outcome, is_part=False) <= 60
    outcome = BatchOutcome(retry_after=3600, is_foreign=False)
    assert sender._delivery._seconds_until_next_try(outcome, is_part=False) == 3600


def test_a_batch_is_divided_down_to_one_event_without_a_long_pause(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the largest batch each half can fail in a row: those failures are no outage yet."""
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    monkeypatch.setattr(delivery, "BACKOFF_SECONDS", 0.5)
    outcome = BatchOutcome(is_foreign=True)
    pauses = []
    for failures in range(1, 31):
        sender._delivery.failures = failures
        pauses.append(sender._delivery._seconds_until_next_try(outcome, is_part=failures >= delivery.TRIES))
    levels = EVENTS_MAX.bit_length()
    assert pauses[: delivery.TRIES + levels] == [0.5, 1, 2, *[0.1] * (levels + 1)]
    assert pauses[23:] == [60] * 7  # an outage, by then


@pytest.mark.parametrize("size", [2, 3, 500])
def test_a_batch_is_divided_in_halves_and_the_first_half_comes_first(size: int) -> None:
    lines = [b'{"eventId": "%d"}' % number for number in range(size)]
    content = {"error": {"code": "too_large", "message": "", "details": [{"field": "body", "message": ""}]}}
    outcome = parse_response(lines, 413, HTTPMessage(), json.dumps(content).encode())
    second, first = outcome.again
    assert first + second == lines
    assert len(second) - len(first) in (0, 1)
    assert outcome.problem == ""


def test_the_largest_batch_is_one_that_the_service_takes() -> None:
    assert BATCH_BYTES_MAX < BODY_BYTES_MAX
    lines: Iterator[bytes] = (b"%0*d" % (1 + number % 4000, number) for number in range(3000))
    batches = list(Segment(lines, NEVER).batches(EVENTS_MAX, BATCH_BYTES_MAX))
    assert sum(map(len, batches)) == 3000
    assert max(map(len, batches)) <= EVENTS_MAX
    bodies = [len(b"[" + b",".join(batch) + b"]") for batch in batches]
    assert 0.9 * BATCH_BYTES_MAX < max(bodies) <= BATCH_BYTES_MAX + 1 < BODY_BYTES_MAX


def test_whatever_batch_size_is_asked_for_a_request_has_500_events_at_most(
    make_sender: SenderMaker, service: Service
) -> None:
    sender = make_sender(batch_size=10_000)
    for number in range(EVENTS_MAX + 1):
        sender.send(b'{"eventId": "%d"}\n' % number)
    assert sender.flush()
    assert [len(events) for events in service.requests] == [EVENTS_MAX, 1]


def test_a_batch_that_fails_four_times_is_divided(
    make_sender: SenderMaker, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = make_sender()
    monkeypatch.setattr(sender._delivery, "pause", lambda seconds: len(service.requests) < 6)
    service.always = lambda events: response(403, "<html>")
    for number in range(8):
        sender.send(b'{"eventId": "%d"}\n' % number)
    sender._deliver_all(patient=True)
    assert [len(events) for events in service.requests] == [8, 8, 8, 8, 4, 2]


def test_of_many_events_in_memory_500_are_delivered_at_a_time(tmp_path: Path) -> None:
    """As many as one request may have."""
    outbox = Outbox(tmp_path / "outbox")
    outbox._room = 0
    for number in range(EVENTS_MAX + 1):
        outbox.append(b"%d\n" % number)
    segment = outbox.next_segment()
    assert segment
    assert [len(batch) for batch in segment.batches(10_000, 10**6)] == [EVENTS_MAX]
