"""The metrics of the outbox in Prometheus."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from local.waiting import PATIENCE_SECONDS, wait_until
from request_events import prometheus
from tests.children import child
from tests.unit.callback.service import Response, Service, ok, response

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "outbox"
    made.mkdir()
    return made


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
