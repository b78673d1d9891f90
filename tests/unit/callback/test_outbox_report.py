"""What an operator is told of the outbox: by looks into the folder, in the log, in Prometheus."""

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from local.waiting import wait_until
from request_events import log
from request_events import sender as sender_module
from request_events.outbox import Outbox
from request_events.outbox_report import LATE_SECONDS, OutboxReporter
from tests.unit.callback.conftest import SenderMaker
from tests.unit.callback.service import Service, error

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
OLD = f"{int(START.timestamp() * 1e9):020d}-1-00000000.jsonl"


def event(number: int, ts: datetime = START) -> bytes:
    return json.dumps({"eventId": f"e-{number}", "ts": ts.isoformat()}).encode() + b"\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "outbox"
    made.mkdir()
    return made


@pytest.fixture
def outbox(folder: Path) -> Iterator[Outbox]:
    made = Outbox(folder)
    yield made
    made.close()


def test_strangers_are_logged_once_and_left_alone(
    outbox: Outbox, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newer = "v2-01795418608164711000-1-00000000.jsonl"
    (folder / newer).write_text("{}\n")
    (folder / "lost+found").mkdir()
    (folder / ".nfs0001").touch()
    reporter = OutboxReporter(outbox, 1)
    for minutes in range(5):
        reporter.report(START.timestamp() + 60 * minutes)
        log._last = {cause: told - 60 for cause, told in log._last.items()}
    assert caplog.text.count(newer) == 1
    assert len(caplog.records) == 1
    assert outbox.next_segment() is None
    assert (folder / newer).read_text() == "{}\n"


def test_a_delay_is_logged_now_and_then_and_so_is_its_end(
    outbox: Outbox, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(log, "time", SimpleNamespace(monotonic=lambda: now[0]))
    path = folder / OLD
    path.write_bytes(event(1) + event(2))
    reporter = OutboxReporter(outbox, flush_seconds=1)
    for now[0] in range(0, 3600, 10):
        reporter.report(START.timestamp() + now[0])
    told = [record.getMessage() for record in caplog.records]
    waiting = "2 events (0.0 MB) wait in the outbox, the oldest for 5 minutes; room for 3999 MB more"
    assert told[0] == f"impact service: {waiting}"
    assert len(told) == 6
    path.unlink()
    for now[0] in range(3600, 4200, 10):
        reporter.report(START.timestamp() + now[0])
    assert [record.getMessage() for record in caplog.records[6:]] == [
        "impact service: deliveries have caught up: 0 events wait in the outbox"
    ]


def test_who_lets_events_wait_for_others_sees_no_line_that_they_wait(
    outbox: Outbox, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / OLD).write_bytes(event(1))
    OutboxReporter(outbox, flush_seconds=3600).report(START.timestamp() + 3600)
    assert not caplog.records


def test_a_folder_that_cannot_be_scanned_is_no_reason_not_to_deliver(
    make_sender: SenderMaker, service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "outbox").write_text("a file, where the folder is to be")
    sender = make_sender()
    sender.start()
    sender.send(event(1))
    service.wait_for(lambda s: s.taken["e-1"] == 1)
    sender.close(5)
    assert "cannot tell how much waits in the outbox (NotADirectoryError)" in caplog.text


class Raising(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("the log's disk is full")


def test_a_log_that_cannot_be_written_ends_no_delivery(make_sender: SenderMaker, service: Service) -> None:
    handler = Raising()
    logging.getLogger("request_events").addHandler(handler)
    try:
        service.script.extend([lambda _: error(503), lambda _: error(500)])
        sender = make_sender()
        sender.start()
        sender.send(event(1))
        service.wait_for(lambda s: s.taken["e-1"] == 1)
    finally:
        logging.getLogger("request_events").removeHandler(handler)


# Prometheus, with its own client, in processes of their own: what is registered stays so.


def test_reports_are_made_while_nothing_can_be_delivered(
    make_sender: SenderMaker,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sender_module, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(sender_module, "REPORT_SECONDS", 0.01)
    service.always = lambda _: error(503, Retry_After="60")
    sender = make_sender()
    sender.start()
    old = datetime.now(UTC) - timedelta(seconds=LATE_SECONDS + 60)
    monkeypatch.setattr(time, "time_ns", lambda: int(old.timestamp() * 1e9))
    sender.send(event(1, old))
    told = "1 events (0.0 MB) wait in the outbox, the oldest for 6 minutes"
    wait_until(lambda: told in caplog.text, told)
