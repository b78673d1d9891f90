"""A proxy whose clock is wrong: its events wait until the service can take them, and people are told."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import pytest

from local.waiting import wait_until
from request_events import responses
from request_events.responses import BatchOutcome, parse_response
from tests.unit.callback.conftest import SenderMaker
from tests.unit.callback.service import Response, Service, response
from tests.unit.callback.test_sender import on_disk, rejected, wait_until_empty

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
AHEAD = [{"field": "ts", "message": "is more than 5 minutes ahead of the service's clock"}]


def event(name: object, ts: datetime) -> bytes:
    return json.dumps({"eventId": str(name), "userId": "alice", "ts": ts.isoformat()}).encode() + b"\n"


class Clock:
    """A service whose clock is behind this machine's by so much, and which rejects what is ahead of it."""

    def __init__(self, service: Service, behind: timedelta) -> None:
        self._service = service
        self.behind = behind
        service.always = self

    def __call__(self, events: list[Any]) -> Response:
        now = datetime.now(UTC) - self.behind
        early = [each for each in events if datetime.fromisoformat(each["ts"]) > now + timedelta(minutes=5)]
        self._service.take([each for each in events if each not in early])
        named = [{"index": events.index(each), "eventId": each["eventId"], "errors": AHEAD} for each in early]
        content = {"created": len(events) - len(early), "duplicates": 0, "rejected": named}
        return response(200, content, Date=format_datetime(now, usegmt=True))


def test_events_of_a_clock_that_is_ahead_wait_and_hold_up_no_other(
    make_sender: SenderMaker, service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sender = make_sender()
    clock = Clock(service, timedelta(minutes=6))
    now = datetime.now(UTC)
    for number in range(10):
        sender.send(event(number, now))
    sender.send(event("older", now - timedelta(minutes=5)))
    sender.start()
    service.wait_for(lambda s: set(s.taken) == {"older"})
    sender.send(event("late", now - timedelta(hours=1)))
    service.wait_for(lambda s: set(s.taken) == {"older", "late"})
    wait_until(lambda: on_disk(tmp_path) == {b"%d" % number for number in range(10)}, "what is early")
    assert rejected(tmp_path) == []
    [told] = [record for record in caplog.records if "clock of this machine" in record.getMessage()]
    assert told.levelname == "ERROR"
    assert "6 minutes ahead of the service's" in told.getMessage()
    clock.behind = timedelta(0)
    sender.close(10)
    make_sender().start()  # which tries at once
    service.wait_for(lambda s: len(s.taken) == 12)
    wait_until_empty(tmp_path)
    assert rejected(tmp_path) == []


@pytest.mark.parametrize(
    ("ahead", "seconds"), [(299, 10), (301, 10), (360, 61), (3600, 3301), (86_400, 3600), (10**9, 3600)]
)
def test_an_early_event_is_tried_when_the_service_will_take_it_and_once_an_hour(
    ahead: int, seconds: float
) -> None:
    """Whatever our own clock says."""
    line = event("a", NOW + timedelta(seconds=ahead))[:-1]
    told = parse_rejection(line, AHEAD)
    assert told.early == [(line, seconds)]
    assert told.rejected == []


@pytest.mark.parametrize(
    ("line", "errors"),
    [
        (event("a", NOW - timedelta(days=500)), [{"field": "ts", "message": "is older than 398 days"}]),
        (event("a", NOW + timedelta(hours=1)), [*AHEAD, {"field": "model", "message": "is required"}]),
        (event("a", NOW + timedelta(hours=1)), []),
        (event("a", NOW + timedelta(hours=1)), None),
        (b'{"ts": "soon"}\n', AHEAD),
        (b'{"ts": 12}\n', AHEAD),
        (b"[]\n", AHEAD),
    ],
)
def test_only_the_time_is_a_reason_to_wait(line: bytes, errors: Any) -> None:
    told = parse_rejection(line[:-1], errors)
    assert told.early == []
    assert [each for each, _ in told.rejected] == [line[:-1]]


def test_without_a_date_the_services_words_decide() -> None:
    line = event("a", NOW)[:-1]
    assert parse_rejection(line, AHEAD, date=False).early == [(line, 60.0)]
    too_old = [{"field": "ts", "message": "is older than 398 days, what the service can still count"}]
    assert parse_rejection(line, too_old, date=False).early == []


def parse_rejection(line: bytes, errors: Any, date: bool = True) -> BatchOutcome:
    headers = HTTPMessage()
    if date:
        headers["Date"] = format_datetime(NOW, usegmt=True)
    content = {"created": 0, "duplicates": 0, "rejected": [{"index": 0, "errors": errors}]}
    return parse_response([line], 200, headers, json.dumps(content).encode())


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (-3600, "ERROR", "60 minutes behind the service's"),
        (-60, None, ""),
        (0, None, ""),
        (60, None, ""),
        (180, "ERROR", "3 minutes ahead of the service's; set it right"),
        (1000, "ERROR", "17 minutes ahead of the service's: events wait"),
    ],
)
def test_a_wrong_clock_is_logged(
    make_sender: SenderMaker,
    service: Service,
    caplog: pytest.LogCaptureFixture,
    ahead: int,
    level: str | None,
    words: str,
) -> None:
    Clock(service, timedelta(seconds=ahead))
    sender = make_sender()
    sender.send(event("a", datetime.now(UTC) - timedelta(days=1)))
    assert sender.flush()
    told = [record for record in caplog.records if "clock of this machine" in record.getMessage()]
    assert [record.levelname for record in told] == ([level] if level else [])
    assert all(words in record.getMessage() for record in told)


def test_a_slow_response_is_no_wrong_clock() -> None:
    headers = HTTPMessage()
    headers["Date"] = format_datetime(NOW, usegmt=True)
    now = NOW.timestamp()
    assert responses.clock_ahead(headers, now - 100, now + 0.5) == 0
    assert responses.clock_ahead(headers, now - 100, now + 200) == 0
    assert responses.clock_ahead(headers, now + 100, now + 100) == 100
    assert responses.clock_ahead(headers, now - 100, now - 100) == -100
    assert responses.clock_ahead(HTTPMessage(), now, now) is None


def test_a_strangers_date_is_nobodys_clock(
    make_sender: SenderMaker, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.script.append(lambda _: (502, {"Date": "Tue, 24 Nov 2015 12:00:00 GMT"}, b""))
    sender = make_sender()
    sender.send(event("a", datetime.now(UTC)))
    sender.flush()
    assert "clock" not in caplog.text
