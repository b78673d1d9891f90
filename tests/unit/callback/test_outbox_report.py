"""What an operator is told of the outbox: by looks into the folder, in the log, in Prometheus."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from local.waiting import PATIENCE_SECONDS, wait_until
from request_events import log, prometheus
from request_events import outbox_stats as stats_module
from request_events import sender as sender_module
from request_events.outbox import Outbox
from request_events.outbox_report import LATE_SECONDS, OutboxReporter
from request_events.outbox_stats import FolderScanner, FolderStats
from tests.children import child
from tests.unit.callback.conftest import SenderMaker
from tests.unit.callback.service import Response, Service, error, ok, response

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


def test_a_scan_counts_what_everybody_has_appended(outbox: Outbox, folder: Path) -> None:
    scanner = FolderScanner(folder)
    assert replace(scanner.scan(), free=0) == FolderStats(free=0)  # others write to this disk too
    other = Outbox(folder)
    written = 0
    for number in range(10):
        for each in (outbox, other):
            each.append(event(number))
            written += len(event(number))
        if number % 3 == 0:
            other.seal()
        stats = scanner.scan()
        assert (stats.events, stats.bytes) == (2 * number + 2, written)
    other.close()
    outbox.quarantine(event(1), "HTTP 422")
    stats = scanner.scan()
    assert stats.rejected_bytes == sum(path.stat().st_size for path in (folder / "rejected").iterdir())
    assert stats.stranger is None


def test_the_oldest_event_is_known_by_its_time_and_not_by_its_file(folder: Path) -> None:
    """A segment may be made long before its first event: it is there from the last delivery on."""
    path = folder / OLD
    path.touch()
    scanner = FolderScanner(folder)
    assert scanner.scan().oldest is None
    later = START + timedelta(hours=2)
    path.write_bytes(event(1, later) + event(2, START))
    assert scanner.scan().oldest == later.timestamp()
    path.unlink()
    assert scanner.scan().oldest is None


@pytest.mark.parametrize(
    "first",
    [
        event(1, datetime(1970, 1, 1, tzinfo=UTC)),
        b"\0" * 100 + b"\n",
        b"[]\n",
        b'{"ts":5}\n',
        b'{"ts":"now"}\n',
        b'{"ts":"2026-11-24T12:00:00"}\n',
        b'{"ts":',
        b"[" * 60_000 + b"\n",
    ],
)
def test_an_event_of_no_usable_time_waits_since_its_file_was_made(folder: Path, first: bytes) -> None:
    (folder / OLD).write_bytes(first)
    assert FolderScanner(folder).scan().oldest == START.timestamp()


def test_a_scan_takes_no_longer_than_it_may_and_estimates_the_rest(
    outbox: Outbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1000):
        outbox.append(event(number + 1000))
        if number % 100 == 99:
            outbox.seal()
    scanner = FolderScanner(folder)
    monkeypatch.setattr(stats_module, "READING_SECONDS", -1)
    assert scanner.scan().events == round(1000 * len(event(1000)) / stats_module.EVENT_BYTES)
    monkeypatch.setattr(stats_module, "READING_SECONDS", 10)
    assert scanner.scan().events == 1000
    monkeypatch.setattr(stats_module, "READING_SECONDS", -1)
    for number in range(100):
        outbox.append(event(number + 1000))
    assert scanner.scan().events == 1100


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


def test_causes_are_bounded_and_still_logged(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(10_000):
        log.warn(f"cause {number}", "number %d", number)
    assert len(log._last) == log.CAUSES_MAX + 1
    assert len(caplog.records) == log.CAUSES_MAX + 1


# Prometheus, with its own client, in processes of their own: what is registered stays so.

WORKER = """
import sys, time
from pathlib import Path
if "early" in sys.argv:
    import prometheus_client
from request_events import prometheus, sender
from request_events.outbox import Outbox
sender.REPORT_SECONDS = 0.02
delivering = sender.Sender(Outbox(Path(sys.argv[1])), sys.argv[2], "t0ken", flush_seconds=0.01)
delivering.start()
for number in range(int(sys.argv[3])):
    delivering.send(b'{"eventId":"%d-%d","ts":"2020-01-01T00:00:00Z"}\\n' % (id(delivering), number))
print("ready", flush=True)
sys.stdin.readline()
if "late" in sys.argv:
    import prometheus_client
    while b"impact_events_delivered_total" not in prometheus_client.generate_latest():
        time.sleep(0.01)
delivering.close(10)
if "prometheus_client" in sys.modules:
    print(sys.modules["prometheus_client"].generate_latest().decode())
"""


@contextmanager
def worker(folder: Path, url: str, *arguments: str, **environment: str) -> "Iterator[subprocess.Popen[str]]":
    """A process that has kept some events, and delivers until it gets a line."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
    command = [sys.executable, "-c", WORKER, str(folder), url, *arguments]
    with child(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process


def samples(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(impact_\w+) (\S+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("when", ["early", "late"])
def test_prometheus_shows_what_waits_and_what_became_of_the_rest(
    folder: Path, service: Service, when: str
) -> None:
    service.script.append(lambda _: ok(created=9, rejected=({"index": 0, "errors": []},)))
    with worker(folder, service.url, "10", when) as process:
        service.wait_for(lambda s: len(s.requests) > 0)
        shown = samples(process.communicate("\n", timeout=PATIENCE_SECONDS)[0])
    assert shown.pop("impact_outbox_rejected_bytes") > 0
    assert {name: value for name, value in shown.items() if not name.endswith("_created")} == {
        "impact_outbox_events": 0,
        "impact_outbox_bytes": 0,
        "impact_outbox_limit_bytes": 4e9,
        "impact_outbox_oldest_age_seconds": 0,
        "impact_outbox_memory_events": 0,
        "impact_events_delivered_total": 9 + sum(service.taken.values()),
        "impact_events_rejected_total": 1,
        "impact_events_dropped_total": 0,
    }


def test_where_prometheus_is_not_in_use_nothing_is_shown(folder: Path, service: Service) -> None:
    with worker(folder, service.url, "10") as process:
        service.wait_for(lambda s: len(s.taken) == 10)
        assert process.communicate("\n", timeout=PATIENCE_SECONDS)[0] == ""


def test_a_client_that_is_still_being_imported_is_not_in_use_yet(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """LiteLLM does that in the main thread, while we deliver already."""
    monkeypatch.setitem(sys.modules, "prometheus_client", ModuleType("prometheus_client"))
    assert prometheus.publish({"impact_outbox_events": 1}, {}) is False
    assert not caplog.records


def test_workers_are_added_up_but_the_folder_is_counted_once(
    folder: Path, tmp_path: Path, service: Service
) -> None:
    shared = tmp_path / "prometheus"
    shared.mkdir()
    shown: dict[str, float] = {}
    one_at_a_time = threading.Lock()

    def take_twenty(events: list[Any]) -> Response:
        with one_at_a_time:
            room = 20 - len(service.taken)
            service.take(events[:room])
            retry = [{"index": index} for index in range(room, len(events))]
            content = {"created": len(events) - len(retry), "duplicates": 0, "rejected": [], "retry": retry}
            return response(503 if retry else 200, content)

    service.always = take_twenty

    def all_have_reported() -> bool:
        shown.update(added_up(shared))
        return shown.get("impact_events_delivered_total") == 20 and shown["impact_outbox_events"] == 10

    with ExitStack() as running:
        for _ in range(3):
            setting = {"PROMETHEUS_MULTIPROC_DIR": str(shared)}
            running.enter_context(worker(folder, service.url, "10", "early", **setting))
        service.wait_for(lambda s: len(s.taken) == 20)
        wait_until(all_have_reported, "the metrics of all three")
    assert shown["impact_outbox_oldest_age_seconds"] > 0
    assert shown["impact_outbox_memory_events"] == 0


def added_up(shared: Path) -> dict[str, float]:
    """The metrics of all processes, as LiteLLM shows them."""
    command = (
        "from prometheus_client import CollectorRegistry, generate_latest, multiprocess as m;"
        "r = CollectorRegistry(); m.MultiProcessCollector(r); print(generate_latest(r).decode())"
    )
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(shared)}
    return samples(subprocess.check_output([sys.executable, "-c", command], env=environ, text=True))


def test_a_conflict_of_names_costs_the_metrics_but_no_delivery(folder: Path, service: Service) -> None:
    source = WORKER.replace(
        "    import prometheus_client\n",
        "    import prometheus_client\n    prometheus_client.Gauge('impact_outbox_bytes', 'somebody else')\n",
    )
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", source, str(folder), service.url, "10", "early"]
    result = subprocess.run(
        command, env=environ, input="\n", text=True, capture_output=True, timeout=PATIENCE_SECONDS, check=True
    )
    assert result.stderr.count("no metrics in Prometheus") == 1
    assert len(service.taken) == 10


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


def test_what_waits_for_the_service_in_its_other_folders_counts_too(folder: Path, outbox: Outbox) -> None:
    other = folder.parent / "other"
    left = Outbox(other)
    for _ in range(3):
        left.append(b'{"eventId": "left"}\n')
    left.close()
    outbox.append(b'{"eventId": "own"}\n')
    alone = outbox.measure()
    outbox.others = (other,)
    both = outbox.measure()
    assert (alone.events, both.events) == (1, 4)
    assert both.here == alone.here
    assert both.bytes - alone.bytes == sum(each.bytes for each in both.others)
    assert both.oldest
    assert alone.oldest
    assert both.oldest < alone.oldest
    outbox.others = ()
    assert outbox.measure() == alone


def test_lines_of_zeros_are_no_events(folder: Path, outbox: Outbox) -> None:
    lines = b'{"eventId": "1"}\n' + b"\0" * 99 + b"\n" + b'{"eventId": "2"}\n\n' + b"\0\n" * 70_000
    folder.mkdir(exist_ok=True)
    (folder / "00001795418608164711-1-00000000.jsonl").write_bytes(lines)
    assert outbox.measure().events == 2
