"""The sender against a service on loopback that gives every kind of answer."""

import errno
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impact.http import HttpError
from local.waiting import wait_until
from request_events import sender as sender_module
from request_events.outbox import Outbox
from request_events.responses import parse_response
from request_events.sender import Sender
from tests.unit.callback.conftest import SenderMaker
from tests.unit.callback.service import (
    Behaviour,
    Response,
    Service,
    error,
    ok,
    response,
    running_service,
    unused_port,
)


def line(name: object) -> bytes:
    return json.dumps({"eventId": str(name), "userId": "alice"}).encode() + b"\n"


def send(sender: Sender, *names: object) -> None:
    for name in names:
        sender.send(line(name))


def ids(events: list[Any]) -> list[str]:
    return [event["eventId"] for event in events]


def rejected(tmp_path: Path) -> list[str]:
    text = "".join(path.read_text() for path in tmp_path.glob("outbox/rejected/*.jsonl"))
    return ids([json.loads(record)["event"] for record in text.splitlines()])


def sizes(tmp_path: Path) -> list[int]:
    """Of the segments in the outbox."""
    found: list[int] = []
    for path in tmp_path.glob("outbox/*.jsonl"):
        with suppress(FileNotFoundError):  # delivered meanwhile
            found.append(path.stat().st_size)
    return found


def wait_until_empty(tmp_path: Path) -> None:
    """Until nothing is due: every segment but the one in use is gone."""
    wait_until(lambda: not any(sizes(tmp_path)), "an empty outbox")


def test_a_sender_waits_between_its_deliveries(
    make_sender: SenderMaker, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would take a whole processor from the proxy."""
    sender = make_sender(flush_seconds=60)
    waited: list[float | None] = []
    wait = sender._wake.wait

    def noted(timeout: float | None = None) -> bool:
        waited.append(timeout)
        return wait(timeout)

    monkeypatch.setattr(sender._wake, "wait", noted)
    send(sender, "a")
    sender.start()
    service.wait_for(lambda s: s.taken["a"] == 1)
    wait_until(lambda: waited == [60], "a wait after the only delivery")


def test_events_arrive_in_batches_with_the_token(sender: Sender, service: Service, tmp_path: Path) -> None:
    send(sender, *range(250))
    sender.start()
    service.wait_for(lambda s: len(s.taken) == 250)
    assert max(map(len, service.requests)) <= 100
    assert service.headers[0]["Authorization"] == "Bearer t0ken"
    assert service.headers[0]["Content-Type"] == "application/json"
    wait_until_empty(tmp_path)
    assert set(service.taken.values()) == {1}


def test_a_full_batch_does_not_wait(make_sender: SenderMaker, service: Service) -> None:
    sender = make_sender(flush_seconds=3600, batch_size=5)
    sender.start()
    send(sender, *range(4))
    assert not service.requests
    send(sender, 4)
    service.wait_for(lambda s: len(s.taken) == 5)


def test_what_a_former_process_left_goes_out_at_the_start(
    make_sender: SenderMaker, service: Service, tmp_path: Path
) -> None:
    former = Outbox(tmp_path / "outbox")
    former.append(line("old"))
    former.close()
    make_sender(flush_seconds=3600).start()
    service.wait_for(lambda s: s.taken["old"] == 1)


def test_an_upgrade_delivers_what_the_old_version_left_under_its_ids(
    make_sender: SenderMaker, service: Service, tmp_path: Path
) -> None:
    """An id is made once, when LiteLLM reports the call. So no new rule makes an event count again; not even
    where the old version had delivered it, and was killed before it could forget it."""
    folder = tmp_path / "outbox"
    folder.mkdir(mode=0o700)
    old = [line("call-1:success"), line("call-1:failure"), line("5f2a-4b:success")]
    (folder / f"{1_700_000_000 * 10**9:020d}-4711-00c0ffee.jsonl").write_bytes(b"".join(old))
    service.taken["call-1:success"] = 1
    make_sender().start()
    service.wait_for(lambda s: len(s.taken) == 3)
    assert [event for request in service.requests for event in request] == [json.loads(each) for each in old]
    wait_until_empty(tmp_path)


def hang_up(_: list[Any]) -> None:
    return None


def html(_: list[Any]) -> Response:
    return 200, {"Content-Type": "text/html"}, b"<html>Please log in</html>"


RETRIED: dict[str, Behaviour] = {
    "503": lambda _: error(503),
    "503 of a gateway": lambda _: (503, {}, b"Service Unavailable"),
    "500": lambda _: error(500),
    "502": lambda _: (502, {}, b""),
    "429": lambda _: error(429),
    "408": lambda _: error(408),
    "401": lambda _: error(401),
    "403": lambda _: response(403, {"message": "Forbidden"}),
    "404": lambda _: response(404, {"message": "Not Found"}),
    "a redirect": lambda _: response(301, {}, Location="http://localhost:1/"),
    "a captive portal": html,
    "a 400 that is not the service's": lambda _: (400, {}, b"<html>plain HTTP to an HTTPS port</html>"),
    "JSON of something else": lambda _: response(200, {"status": "ok"}),
    "a list": lambda _: response(200, []),
    "an answer for fewer events": lambda _: ok(created=1),
    "a rejection of an event that was not sent": lambda _: ok(rejected=({"index": 9, "errors": []},)),
    "one rejection told twice": lambda events: ok(created=1, rejected=({"index": 0, "errors": []},) * 2),
    "a 503 that does not tell of every event": lambda _: response(
        503, {"created": 1, "duplicates": 0, "rejected": [], "retry": [{"index": 0}]}, Retry_After="0"
    ),
    "no JSON": lambda _: (200, {}, b""),
    "a 204": lambda _: (204, {}, b""),
    "no answer": hang_up,
}


@pytest.mark.parametrize("kind", RETRIED)
def test_what_is_no_acknowledgement_is_sent_again(
    sender: Sender, service: Service, tmp_path: Path, kind: str
) -> None:
    service.script.extend([RETRIED[kind]] * 3)
    send(sender, "a", "b", "c")
    sender.start()
    service.wait_for(lambda s: len(s.taken) == 3)
    assert ids(service.requests[0]) == ids(service.requests[3])
    assert rejected(tmp_path) == []


DETAIL = {"field": "body", "message": "x"}
COUNTS = st.one_of(st.integers(-1, 6), st.none(), st.just(1.0), st.just(True), st.just("2"))
ENTRY = st.one_of(
    st.none(),
    st.dictionaries(st.sampled_from(["index", "errors"]), st.one_of(st.integers(-1, 6), st.lists(st.text()))),
)
ENTRIES = st.one_of(
    st.none(),
    st.lists(ENTRY, max_size=6),
    st.lists(st.builds(lambda index: {"index": index, "errors": []}, st.integers(0, 4)), max_size=5),
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "created": COUNTS, "duplicates": COUNTS, "rejected": ENTRIES, "retry": ENTRIES,
        "error": st.one_of(st.text(), st.just({"code": "x", "message": "x", "details": [DETAIL]})),
    },
)  # fmt: skip


def nearly_right(fates: list[str], rejected: list[int], retry: list[int], created: int) -> dict[str, Any]:
    """An answer for events of these fates, but for what is told in addition."""
    named = {
        kind: [index for index, fate in enumerate(fates) if fate == kind] for kind in ("rejected", "retry")
    }
    return {
        "created": fates.count("created") + created,
        "duplicates": fates.count("duplicate"),
        "rejected": [{"index": index, "errors": []} for index in named["rejected"] + rejected],
        "retry": [{"index": index} for index in named["retry"] + retry],
    }


INDEXES = st.lists(st.integers(0, 4), max_size=2)
FATES = st.lists(st.sampled_from(["created", "duplicate", "rejected", "retry"]), min_size=5, max_size=5)
NEARLY_RIGHT = st.builds(nearly_right, FATES, INDEXES, INDEXES, st.integers(-2, 0))


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([200, 200, 503, 503, 201, 204, 301, 400, 401, 413, 422, 429, 500]),
    st.one_of(NEARLY_RIGHT, NEARLY_RIGHT, ANSWERS, st.lists(st.integers()), st.text()),
)
def test_whatever_is_responseed_nothing_counts_as_taken_that_the_response_does_not_say(
    status: int, content: Any
) -> None:
    lines = [b'{"eventId":"%d"}' % number for number in range(5)]
    told = parse_response(lines, status, HTTPMessage(), json.dumps(content).encode())
    named = [each for part in told.again for each in part]
    named += [each for each, _ in (*told.rejected, *told.early)]
    assert set(named) <= set(lines)
    assert len(set(named)) == len(named)
    if taken := len(lines) - len(named):
        assert status in (200, 503)
        assert content["created"] + content["duplicates"] == taken


def test_a_service_that_hangs_is_tried_again(make_sender: SenderMaker, service: Service) -> None:
    sender = make_sender(timeout=0.1)
    sender.start()
    with service.hanging():
        send(sender, "a")
        service.wait_for(lambda s: len(s.requests) > 1)
        assert not service.taken
    service.wait_for(lambda s: s.taken["a"] == 1)


def test_a_service_that_is_down_gets_everything_once_it_is_up(make_sender: SenderMaker) -> None:
    port = unused_port()
    sender = make_sender(url=f"http://127.0.0.1:{port}/")
    send(sender, "a")
    assert sender.flush() is False
    sender.start()
    with running_service(port) as service:
        service.wait_for(lambda s: s.taken["a"] == 1)
        sender.close(5)


def test_one_cause_is_logged_once_with_what_to_do(
    sender: Sender, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.script.extend([lambda _: error(401)] * 5)
    send(sender, "a")
    sender.start()
    service.wait_for(lambda s: s.taken["a"] == 1)
    assert [record.getMessage().count("IMPACT_SERVICE_TOKEN") for record in caplog.records] == [1]
    assert "t0ken" not in caplog.text
    assert "alice" not in caplog.text


@pytest.mark.parametrize(
    "after", [lambda: "1", lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)]
)
def test_retry_after_is_honoured(sender: Sender, service: Service, after: Callable[[], str]) -> None:
    times: list[float] = []

    def busy(_: list[Any]) -> Response:
        times.append(time.monotonic())
        return error(503, Retry_After=after())

    service.script.append(busy)
    send(sender, "a")
    sender.start()
    service.wait_for(lambda s: s.taken["a"] == 1)
    assert time.monotonic() - times[0] >= 0.9


def test_only_what_storage_did_not_take_is_sent_again(
    sender: Sender, service: Service, tmp_path: Path
) -> None:
    def short_of_storage(events: list[Any]) -> Response:
        assert len(events) == 4
        content = {
            "error": {"code": "unavailable", "message": "x", "details": []},
            "created": 1,
            "duplicates": 0,
            "rejected": [{"index": 1, "eventId": "b", "errors": [{"field": "ts", "message": "too old"}]}],
            "retry": [{"index": 2, "eventId": "c"}, {"index": 3, "eventId": "d"}],
        }
        return response(503, content, Retry_After="0")

    service.script.append(short_of_storage)
    send(sender, *"abcd")
    sender.start()
    service.wait_for(lambda s: len(s.taken) == 2)
    assert ids(service.requests[1]) == ["c", "d"]
    assert rejected(tmp_path) == ["b"]


def test_a_rejected_event_is_quarantined_and_the_rest_is_done(
    sender: Sender, service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [{"field": "costUSD", "message": "must not be negative, alice"}]
    service.script.append(lambda _: ok(created=2, rejected=({"index": 1, "eventId": "b", "errors": errors},)))
    send(sender, *"abc")
    sender.start()
    service.wait_for(lambda s: len(s.requests) == 1)
    wait_until_empty(tmp_path)
    assert rejected(tmp_path) == ["b"]
    assert len(service.requests) == 1
    assert "event b is rejected (costUSD)" in caplog.text
    assert "alice" not in caplog.text


@pytest.mark.parametrize("status", [400, 422])
def test_one_bad_event_does_not_hold_up_others(
    sender: Sender, service: Service, tmp_path: Path, status: int
) -> None:
    def picky(events: list[Any]) -> Response:
        return error(status) if "bad" in ids(events) else service.take(events)

    service.always = picky
    send(sender, "a", "b", "bad", "c", "d")
    sender.start()
    service.wait_for(lambda s: len(s.taken) == 4)
    wait_until_empty(tmp_path)
    assert rejected(tmp_path) == ["bad"]


STRANGERS: dict[str, dict[str, Any]] = {
    "Google": {"code": 400, "message": "Invalid", "status": "INVALID_ARGUMENT", "details": []},
    "Azure": {"code": "BadRequest", "message": "Invalid", "details": []},
    "Azure in detail": {
        "code": "BadRequest",
        "message": "Invalid",
        "details": [{"code": "x", "message": "x", "target": "x"}],
    },
    "OpenAI": {"message": "Invalid", "type": "invalid_request_error", "param": None, "code": "400"},
    "a gateway": {"code": "WAF-400", "message": "blocked"},
    "with more": {"code": "x", "message": "x", "details": [DETAIL], "requestId": "x"},
    "no text": {"code": "x", "message": None, "details": [DETAIL]},
    "other details": {"code": "x", "message": "x", "details": ["x"]},
}


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("kind", STRANGERS)
def test_an_error_of_somebody_else_is_no_rejection(kind: str, status: int) -> None:
    told = parse_response([b"{}"], status, HTTPMessage(), json.dumps({"error": STRANGERS[kind]}).encode())
    assert told.again == [[b"{}"]]
    assert not told.rejected
    assert told.is_foreign  # so that it holds up no other events


@pytest.mark.parametrize("status", [500, 503])
def test_whose_error_a_5xx_is(status: int) -> None:
    def is_foreign(content: object, service_id: str = "") -> bool:
        headers = HTTPMessage()
        headers["Impact-Service"] = service_id
        return parse_response([b"{}"], status, headers, json.dumps({"error": content}).encode()).is_foreign

    assert not is_foreign({"code": "storage", "message": "x", "details": []})
    assert not is_foreign({"code": "storage", "and": "what a later version adds"}, "0123456789abcdef")
    for others in ({"code": "storage"}, {"code": 503, "message": "x", "details": []}, "x", None):
        assert is_foreign(others)
        assert is_foreign(others, "not an id")


@pytest.mark.parametrize("headers", [{}, {"Impact-Service": "0123456789abcdef"}])
def test_the_services_error_is_a_rejection_in_each_of_its_versions(headers: dict[str, str]) -> None:
    message = HTTPMessage()
    for name, value in headers.items():
        message[name] = value
    detail = {"field": "body", "message": "is not JSON"}
    raised = HttpError(422, "invalid", "The event is not valid.", [detail])
    assert parse_response([b"{}"], 422, message, json.dumps(raised.body).encode()).rejected == [
        (b"{}", [detail])
    ]


def test_a_body_that_is_too_large_is_halved(sender: Sender, service: Service, tmp_path: Path) -> None:
    def small(events: list[Any]) -> Response:
        too_large = len(events) > 2 or "huge" in ids(events)
        return error(413) if too_large else service.take(events)

    service.always = small
    send(sender, *range(9), "huge")
    sender.start()
    service.wait_for(lambda s: len(s.taken) == 9)
    wait_until_empty(tmp_path)
    assert rejected(tmp_path) == ["huge"]


@pytest.mark.parametrize(
    "junk",
    [
        b"\n",
        b" \n",
        b"1,2\n",
        b"1\n",
        b"\0\0\n",
        b"\xff\n",
        b"[]]\n",
        b"[" * 10_000 + b"\n",
        b'{"a":1}{"b":2}\n',
    ],
)
def test_a_line_that_is_no_event_does_not_hold_up_others(
    sender: Sender, service: Service, tmp_path: Path, junk: bytes
) -> None:
    """Not even one that makes the batch one of more events, or of less."""
    send(sender, "a")
    sender.send(junk)
    send(sender, "b")
    sender.start()
    service.wait_for(lambda s: len(s.taken) == 2)
    wait_until_empty(tmp_path)
    assert len(service.requests) <= 2
    text = "".join(path.read_text() for path in tmp_path.glob("outbox/rejected/*"))
    kept = [json.loads(record)["event"] for record in text.splitlines()]
    assert kept == (
        [] if not junk.strip(b"\0\n") else [1] if junk == b"1\n" else [junk[:-1].decode("utf-8", "replace")]
    )


def test_a_disk_that_cannot_keep_a_rejected_event_delays_it(
    sender: Sender, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Outbox, line: bytes, reason: object) -> None:
        monkeypatch.undo()
        raise OSError("no space left on the device")

    monkeypatch.setattr(Outbox, "quarantine", full)
    bad = ({"index": 0, "eventId": "a", "errors": []},)
    service.script.extend([lambda _: ok(rejected=bad)] * 2)
    send(sender, "a")
    sender.start()
    service.wait_for(lambda s: len(s.requests) == 2)
    wait_until_empty(tmp_path)
    assert rejected(tmp_path) == ["a"]


def test_an_idle_connection_that_the_server_closed_costs_no_wait(
    make_sender: SenderMaker, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    sender = make_sender(flush_seconds=3600, batch_size=1)
    sender.start()
    service.script.extend([service.take, hang_up])
    for name in "ab":
        send(sender, name)
        service.wait_for(lambda s, name=name: s.taken[name] == 1)  # type: ignore[misc]
    assert not caplog.records


def test_in_an_outage_segments_stay_small_and_nothing_is_lost(
    make_sender: SenderMaker, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(sender_module, "CHECK_SECONDS", 0.001)
    service.always = lambda _: error(503, Retry_After="1")
    sender = make_sender(batch_size=10)
    sender.start()
    for number in range(2000):
        send(sender, number)
        if sender._outbox.size > 20_000:  # let the sender look
            wait_until(lambda: sender._outbox.size < 10_000, "a new segment")
    assert len(sizes(tmp_path)) >= 4
    assert max(sizes(tmp_path)) < 50_000
    service.always = None
    sender.drain()
    service.wait_for(lambda s: len(s.taken) == 2000)


def test_close_delivers_what_is_there_but_waits_no_longer_than_told(
    make_sender: SenderMaker, service: Service, tmp_path: Path
) -> None:
    sender = make_sender(flush_seconds=3600)
    sender.start()
    send(sender, "a")
    sender.close(5)
    assert service.taken["a"] == 1
    assert sizes(tmp_path) == []

    with service.hanging():
        hung = make_sender(flush_seconds=3600)
        hung.start()
        send(hung, "b")
        hung.close(0.2)  # in the end it would be answered, and the event gone
        assert service.taken == {"a": 1}
        assert any(sizes(tmp_path))


def test_flush_delivers_in_the_callers_thread_and_tries_once(
    make_sender: SenderMaker, service: Service
) -> None:
    sender = make_sender()
    service.script.append(lambda _: error(503))
    send(sender, "a")
    assert sender.flush() is False
    assert sender.flush() is True
    assert service.taken["a"] == 1


def test_two_senders_on_one_folder_deliver_each_event_once(
    make_sender: SenderMaker, service: Service, tmp_path: Path
) -> None:
    pair = [make_sender(batch_size=10), make_sender(batch_size=10)]
    for sender in pair:
        sender.start()
    for number in range(500):
        send(pair[number % 2], number)
    service.wait_for(lambda s: len(s.taken) == 500)
    wait_until_empty(tmp_path)
    assert set(service.taken.values()) == {1}


def test_after_a_fork_both_processes_deliver(sender: Sender, service: Service) -> None:
    send(sender, "parent")
    sender.start()

    def child() -> None:
        send(sender, "child")
        sender.close(10)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    service.wait_for(lambda s: s.taken["child"] == 1 and s.taken["parent"] == 1)
    process.join()


@pytest.mark.parametrize("url", ["", "localhost:3090", "ftp://localhost/", "http://", "http://localhost:x/"])
def test_a_url_that_cannot_work_is_not_taken(make_sender: SenderMaker, url: str) -> None:
    with pytest.raises(ValueError, match=r"http|[Pp]ort"):
        make_sender(url=url)


def test_a_disk_that_takes_events_again_gets_them_while_the_service_is_down(
    sender: Sender, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "CHECK_SECONDS", 0.02)
    service.always = lambda _: error(503, Retry_After="60")
    sender.start()
    send(sender, "first")
    service.wait_for(lambda s: len(s.requests) > 0)
    with monkeypatch.context() as full:
        full.setattr(Outbox, "_write", out_of_space)
        send(sender, "second")
        assert b"second" not in on_disk(tmp_path)
    send(sender, "third")
    wait_until(lambda: {b"second", b"third"} <= on_disk(tmp_path), "both events on disk")


def on_disk(tmp_path: Path) -> set[bytes]:
    """The ids of the events in the outbox's segments, which may be delivered meanwhile."""
    found = set()
    for path in tmp_path.glob("outbox/*.jsonl"):
        with suppress(FileNotFoundError):
            lines = path.read_bytes().splitlines()
            found |= {json.loads(event)["eventId"].encode() for event in lines if b"\0" not in event}
    return found


def out_of_space(self: Outbox, data: bytes) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
