"""How the callback ends with its process: in a server that stops as uvicorn does, and in the real LiteLLM."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.callback.proxy import LITELLM, Proxy, received, server
from local.waiting import PATIENCE_SECONDS, wait_until
from tests.children import child
from tests.leaks import PLANTED, leaks
from tests.unit.callback.service import Service, running_service, unused_port

HOST = '''
"""A server that loads the callback once it runs, and ends on SIGTERM the way uvicorn does."""
import asyncio, json, signal, sys, threading, time
from pathlib import Path

kwargs = json.loads(Path(sys.argv[1]).read_text())["kwargs"]
stopped = asyncio.Event()
captured = []


def handle_exit(number, frame):
    captured.append(number)
    stopped.set()


async def report(name):
    from litellm_callbacks import proxy_handler_instance as handler
    named = kwargs | {"litellm_call_id": name}
    await handler.async_log_success_event(kwargs=named, response_obj=None, start_time=None, end_time=None)


async def serve():
    from request_events import shutdown
    original = signal.signal(signal.SIGTERM, handle_exit)
    await report("first")
    if "patient" in sys.argv:  # a busy machine may need longer than is usual
        shutdown.CLOSE_SECONDS = shutdown.EXIT_SECONDS = 600.0
    if "busy" in sys.argv:  # something that would keep the process for ever
        threading.Thread(target=time.sleep, args=(60,)).start()
    print("ready", flush=True)
    while not stopped.is_set():
        await asyncio.sleep(0.01)
    await report("last request")
    signal.signal(signal.SIGTERM, original)
    for number in captured:
        signal.raise_signal(number)
    print("ended", flush=True)
    await report("queued")

asyncio.run(serve())
'''
STUB = '''
import asyncio, atexit


class Worker:
    """LiteLLM's queue of calls to its callbacks, which it hands over at exit."""

    def __init__(self):
        atexit.register(self._flush_on_exit)

    def _flush_on_exit(self):
        from __main__ import report
        asyncio.run(report("queued till exit"))


GLOBAL_LOGGING_WORKER = Worker()
'''
PAYLOAD = Path(__file__).parents[1] / "unit/callback/payloads/plain_async_success.json"


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture
def start(tmp_path: Path, service: Service) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the server above, with a stand-in for LiteLLM, and wait until it is ready."""
    for name, source in {"integrations": "class CustomLogger: pass", "litellm_core_utils": STUB}.items():
        package = tmp_path / "stub/litellm" / name
        package.mkdir(parents=True)
        module = "custom_logger.py" if name == "integrations" else "logging_worker.py"
        (package / module).write_text(source)
    (tmp_path / "host.py").write_text(HOST)

    def start(*arguments: str, url: str = service.url) -> subprocess.Popen[str]:
        environ = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(tmp_path / "stub"), *sys.path]),
            "IMPACT_OUTBOX": str(tmp_path / "outbox"),
            "IMPACT_SERVICE_URL": url,
            "IMPACT_SERVICE_TOKEN": "t0ken",
            "IMPACT_FLUSH_SECONDS": "1",
        }
        command = [sys.executable, str(tmp_path / "host.py"), str(PAYLOAD), *arguments]
        process = running.enter_context(child(command, env=environ, stdout=subprocess.PIPE))
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process

    with ExitStack() as running:
        yield start


ALL = {"first", "last request", "queued", "queued till exit"}


def calls(service: Service) -> set[str]:
    """The calls of which the service has events."""
    return {event_id.partition(":")[0] for event_id in service.taken}


def test_sigterm_delivers_everything_first_and_still_is_what_ended_it(
    start: Callable[..., subprocess.Popen[str]], service: Service, tmp_path: Path
) -> None:
    process = start("patient")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGTERM
    assert calls(service) == ALL
    assert not list((tmp_path / "outbox").glob("*.jsonl"))


def test_sigterm_does_not_wait_for_a_service_that_hangs_and_keeps_the_rest(
    start: Callable[..., subprocess.Popen[str]], service: Service
) -> None:
    with service.hanging():
        process = start()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGTERM
        assert not service.taken
    start()
    service.wait_for(lambda s: calls(s) >= ALL)


def test_a_second_sigterm_ends_it_at_once(
    start: Callable[..., subprocess.Popen[str]], service: Service
) -> None:
    with service.hanging():
        process = start("patient")
        process.send_signal(signal.SIGTERM)
        assert process.stdout
        assert process.stdout.readline() == "ended\n"  # the sender does not
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGTERM


def test_a_thread_that_never_ends_does_not_keep_the_process(
    start: Callable[..., subprocess.Popen[str]], service: Service
) -> None:
    process = start("busy")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGTERM
    service.wait_for(lambda s: {"first", "last request"} <= calls(s))


def test_kill_9_loses_nothing(start: Callable[..., subprocess.Popen[str]], service: Service) -> None:
    down = start(url=f"http://127.0.0.1:{unused_port()}/")
    down.kill()
    down.wait()
    start()
    service.wait_for(lambda s: "first" in calls(s))


needs_litellm = pytest.mark.skipif(not LITELLM.exists(), reason="LiteLLM is not installed in .venv-proxy")


@contextmanager
def proxy(folder: Path, provider: int, ingest: int) -> Iterator[Proxy]:
    url = f"http://127.0.0.1:{ingest}/api/request-event"
    callbacks = ("prometheus", "litellm_callbacks.proxy_handler_instance")
    running = Proxy(folder, provider, *callbacks, IMPACT_SERVICE_URL=url)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.process.kill()
        running.process.wait()
    said = [line for line in running.log.read_text().splitlines() if "impact service:" in line]
    assert not leaks(said, [*PLANTED, "benchmark"])


def chat(running: Proxy, requests: int) -> None:
    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(lambda _: running.chat(), range(requests))) == [200] * requests


@pytest.mark.long
@needs_litellm
def test_the_real_proxy_loses_nothing_to_sigterm_to_a_hung_ingest_or_to_kill_9(tmp_path: Path) -> None:
    with server("provider") as provider, server("ingest", "60") as hung, server("ingest", "0.05") as ingest:
        with proxy(tmp_path, provider, ingest) as running:
            chat(running, 50)
            assert running.stop() == -signal.SIGTERM
            # On a busy machine two seconds may be too short: the next start delivers the rest.
            assert sum(received(ingest).values()) + events_in(tmp_path / "outbox") == 50
        with proxy(tmp_path, provider, hung) as running:
            chat(running, 20)
            assert running.stop() == -signal.SIGTERM
        with proxy(tmp_path, provider, unused_port()) as running:
            chat(running, 20)
            waiting = 90 - sum(received(ingest).values())
            wait_until(lambda: events_in(tmp_path / "outbox") == waiting, "all events in the outbox")
            wait_until(lambda: running.metrics().get("impact_outbox_events") == waiting, "the metrics")
            running.stop(signal.SIGKILL)
        with proxy(tmp_path, provider, ingest) as running:
            wait_until(lambda: len(received(ingest)) == 90, "all events at the ingest")
            wait_until(
                lambda: running.metrics().get("impact_events_delivered_total") == waiting, "the metrics"
            )
            running.stop()
        assert set(received(ingest).values()) == {1}


def events_in(outbox: Path) -> int:
    return sum(len(path.read_bytes().splitlines()) for path in outbox.glob("*.jsonl"))
