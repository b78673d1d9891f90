"""A disk that takes its time with each write, as one on a network: the event loop must not wait for it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.waiting import wait_until
from request_events import outbox as module
from request_events.outbox import Outbox
from request_events.sender import Sender
from tests.children import child
from tests.unit.callback.conftest import SenderMaker
from tests.unit.callback.service import Service, error
from tests.unit.callback.test_outbox import take_all
from tests.unit.callback.test_sender import on_disk, send

SLOW_SECONDS = module.SLOW_SECONDS  # as it is outside of tests


class SlowDisk:
    """Each write waits until it is let through, but for those of the thread that made it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._write, self._loop = os.write, threading.current_thread()
        self.writes: list[threading.Thread] = []
        self.is_open = threading.Event()
        self.waits = threading.Event()
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(module, "SLOW_SECONDS", SLOW_SECONDS)

    def write(self, fd: int, data: bytes) -> int:
        if not data.startswith(b'{"eventId"'):  # of somebody else
            return self._write(fd, data)
        self.writes.append(threading.current_thread())
        if threading.current_thread() is self._loop:
            time.sleep(SLOW_SECONDS * 1.2)
        else:
            self.waits.set()
            self.is_open.wait()
            time.sleep(SLOW_SECONDS * 1.2)
        return self._write(fd, data)

    @property
    def writes_of_the_loop(self) -> int:
        return self.writes.count(self._loop)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    made = SlowDisk(monkeypatch)
    yield made
    made.is_open.set()


def test_the_event_loop_meets_one_slow_write_and_nothing_is_lost(
    make_sender: SenderMaker, service: Service, tmp_path: Path, disk: SlowDisk
) -> None:
    """Also while the disk hangs: the lock that `send` needs is not held meanwhile."""
    service.always = lambda _: error(503, Retry_After="3600")
    sender = make_sender()
    sender.start()
    send(sender, 0)
    send(sender, 1)
    assert disk.waits.wait(10)
    send(sender, *range(2, 200))  # the disk hangs: a thread waits for it, and this one does not
    assert disk.writes_of_the_loop == 1
    disk.is_open.set()
    everything = {b"%d" % number for number in range(200)}
    wait_until(lambda: on_disk(tmp_path) == everything, "all events on disk, though none can be delivered")
    # Those that a delivery took from memory before they were on disk come twice: duplicates for the service.
    wait_until(lambda: not sender._outbox.in_memory, "what is on disk is not in memory any more")
    assert disk.writes_of_the_loop == 1
    assert len(disk.writes) < 20  # in batches
    service.always = None
    sender.drain()
    service.wait_for(lambda s: len(s.taken) == 200)
    assert set(service.taken.values()) <= {1, 2}


def test_a_disk_that_is_quick_again_is_written_to_at_once(
    make_sender: SenderMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    service.always = lambda _: error(503, Retry_After="3600")
    monkeypatch.setattr(module, "SLOW_MODE_SECONDS", 0.2)
    sender = make_sender()
    sender.start()
    with monkeypatch.context() as slow:
        disk = SlowDisk(slow)
        disk.is_open.set()
        send(sender, "slow")
    assert sender._outbox.is_slow
    wait_until(lambda: not sender._outbox.is_slow and sender._writer is None, "the end of the slow mode")
    send(sender, "quick")
    assert on_disk(tmp_path) == {b"slow", b"quick"}


@contextmanager
def waiting_for_an_answer(make_sender: SenderMaker, service: Service) -> Iterator[Sender]:
    """A sender that has sent event 0, and gets no answer within the block."""
    with service.hanging():
        sender = make_sender(flush_seconds=0.01)
        sender.start()
        send(sender, 0)
        service.wait_for(lambda s: len(s.requests) > 0)
        yield sender


def test_an_end_while_the_disk_is_slow_loses_nothing(
    make_sender: SenderMaker, tmp_path: Path, service: Service, disk: SlowDisk
) -> None:
    disk.is_open.set()
    with waiting_for_an_answer(make_sender, service) as sender:
        send(sender, *range(1, 50))
        sender.close(0.5)  # the sender waits for an answer, and is left behind
        assert on_disk(tmp_path) == {b"%d" % number for number in range(50)}


def test_where_no_thread_can_be_started_any_more_nothing_is_lost(
    make_sender: SenderMaker,
    tmp_path: Path,
    service: Service,
    disk: SlowDisk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From Python 3.12 on exit handlers cannot start threads; and events come after ours as well."""
    disk.is_open.set()
    with waiting_for_an_answer(make_sender, service) as sender:

        def start(thread: threading.Thread) -> None:
            raise RuntimeError("can't create new thread at interpreter shutdown")

        with monkeypatch.context() as ending:
            ending.setattr(threading.Thread, "start", start)
            send(sender, *range(1, 50))
            assert sender._outbox.in_memory
            sender.close(0.1)
            send(sender, *range(50, 60))
        assert on_disk(tmp_path) == {b"%d" % number for number in range(60)}


EXIT = """
import atexit, os, sys, time
from pathlib import Path
from request_events.sender import Sender
from request_events.outbox import Outbox
from request_events.shutdown import Shutdown
sender = Sender(Outbox(Path(sys.argv[1])), "http://127.0.0.1:1/", "t0ken", flush_seconds=3600)
sender.start()
write = os.write
def slow(fd, data):
    time.sleep(0.1)
    return write(fd, data)
def late(numbers):
    os.write = slow
    for number in numbers:
        sender.send(b'{"eventId": "%d"}\\n' % number)
atexit.register(late, range(10, 15))
Shutdown(sender)
atexit.register(late, range(10))
"""


def test_what_exit_handlers_send_on_a_slow_disk_is_not_lost(folder: Path, outbox: Outbox) -> None:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", EXIT, str(folder)], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("Traceback") == 0
    assert sorted(take_all(outbox)) == sorted(b'{"eventId": "%d"}' % number for number in range(15))


def test_a_spill_and_a_delivery_at_once_lose_nothing(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is delivered from memory while it is being written comes twice, which does no harm."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: 0)  # full
    for number in range(5):
        outbox.append(b"%d\n" % number)
    taken: list[bytes] = []

    def deliver_meanwhile(fd: int, data: bytes) -> int:
        if not taken:
            segment = outbox.next_segment()
            assert segment
            first = next(segment.batches(3, 10**6))
            taken.extend(first)
            segment.keep([b"3", b"4"])
            outbox.append(b"5\n")
        return write(fd, data)

    monkeypatch.setattr(os, "write", deliver_meanwhile)
    outbox.spill()
    outbox.seal()
    assert outbox.in_memory == 0
    assert {*taken, *take_all(outbox)} == {b"%d" % number for number in range(6)}


WRITER = """
import os, sys
from pathlib import Path
from request_events.sender import Sender
from request_events.outbox import Outbox
import time
write = os.write
def slow(fd, data):
    if data.startswith(b'{"eventId"'):
        time.sleep(0.1)
    return write(fd, data)
os.write = slow
sender = Sender(Outbox(Path(sys.argv[1])), "http://127.0.0.1:1/", "t0ken")
sender.start()
number = 0
while True:
    sender.send(b'{"eventId": "%d"}\\n' % number)
    number += 1
    write(1, b"%d\\n" % number)
    time.sleep(0.005)
"""


def test_a_kill_on_a_slow_disk_costs_what_came_during_a_write_or_two(folder: Path, outbox: Outbox) -> None:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, str(folder)]
    with child(command, env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for _ in range(200):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        sent = 200 + len(process.stdout.readlines())
        process.wait()
    kept = take_all(outbox)
    assert [b'{"eventId": "%d"}' % number for number in range(len(kept))] == kept  # the first ones, in order
    assert 0 < sent - len(kept) < 100
