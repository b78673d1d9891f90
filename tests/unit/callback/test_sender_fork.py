"""What a forked child inherits of a sender, and must not use; what is on disk is for its owner only."""

import atexit
import json
import os
import signal
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPMessage
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from request_events.outbox import Outbox
from request_events.responses import RETRY_AFTER_SECONDS_MAX, parse_response
from request_events.sender import Sender
from request_events.shutdown import Shutdown
from tests.unit.callback.conftest import SenderMaker
from tests.unit.callback.service import Service
from tests.unit.callback.test_sender import send

DONE = 7


def in_child(work: Callable[[], object]) -> None:
    """Do something in a forked child, which ends without any exit handler; see that it came to its end."""

    def run() -> None:
        work()
        os._exit(DONE)

    process = get_context("fork").Process(target=run)
    process.start()
    try:
        process.join(30)
        assert process.exitcode == DONE
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize(
    "lock", ["_outbox._lock", "_outbox._writing", "_delivering", "_moving", "_wake._cond", "_write._cond"]
)
def test_a_lock_that_was_held_at_the_fork_holds_up_no_child(
    sender: Sender, service: Service, lock: str
) -> None:
    send(sender, "parent")
    held: Any = sender
    for name in lock.split("."):
        held = getattr(held, name)

    def work() -> None:
        send(sender, "child")
        sender.start()
        sender.close(10)

    with held:
        in_child(work)
    assert service.taken == {"child": 1}
    assert sender.flush()
    assert service.taken == {"child": 1, "parent": 1}


def test_a_child_has_none_of_its_parents_events(
    make_sender: SenderMaker, service: Service, folder: Path
) -> None:
    """Neither those in memory nor those that the parent has appended or is delivering."""
    former = Outbox(folder)
    former.append(b'{"eventId": "held"}\n')
    former.close()
    sender = make_sender()
    outbox = sender._outbox
    held = outbox.next_segment()
    assert held
    send(sender, "on disk")
    outbox._memory.append(b'{"eventId": "in memory"}\n')
    outbox._memory_later.append(b'{"eventId": "later in memory"}\n')

    def work() -> None:
        sender.flush()
        outbox.close()

    in_child(work)
    assert not service.taken
    held.close()
    assert sender.flush()
    assert set(service.taken) == {"held", "on disk", "in memory", "later in memory"}


def test_a_child_that_lives_on_keeps_no_lock_of_its_parent(sender: Sender, folder: Path) -> None:
    """A lock lasts until the last process that has the file open has closed it."""
    outbox = sender._outbox
    send(sender, "due")
    outbox.seal()
    held = outbox.next_segment()
    assert held
    send(sender, "appended")
    context = get_context("fork")
    is_there = context.Event()

    def child() -> None:
        is_there.set()
        signal.pause()

    process = context.Process(target=child)
    process.start()
    try:
        assert is_there.wait(30)
        held.close()
        outbox.close()
        other = Outbox(folder)
        taken = [segment for segment in (other.next_segment(), other.next_segment()) if segment]
        for segment in taken:
            segment.close()
        assert len(taken) == 2
    finally:
        process.kill()
        process.join()


def test_a_child_has_a_connection_of_its_own(sender: Sender, service: Service) -> None:
    send(sender, "before")
    assert sender.flush()

    def work() -> None:
        send(sender, "child")
        sender.flush()

    in_child(work)
    send(sender, "after")
    assert sender.flush()
    before, child, after = service.clients
    assert before == after
    assert child != before


def test_a_child_starts_a_thread_of_its_own_with_its_first_event(sender: Sender, service: Service) -> None:
    sender.start()
    parents = sender._thread

    def work() -> None:
        assert sender._thread is None
        assert sender._writer is None
        send(sender, "child")
        assert sender._thread not in (None, parents)
        sender.close(10)

    in_child(work)
    assert service.taken == {"child": 1}


def test_a_child_of_a_sender_that_was_not_started_starts_none(sender: Sender) -> None:
    """As on Lambda."""

    def work() -> None:
        send(sender, "child")
        assert sender._thread is None

    in_child(work)


def test_the_exit_of_a_child_is_not_its_parents() -> None:
    closed: list[float] = []
    former = signal.getsignal(signal.SIGTERM)
    stub: Any = SimpleNamespace(close=closed.append)
    ending = Shutdown(stub)
    try:

        def work() -> None:
            ending._sigterm_at = 0.0
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            ending.close()
            assert closed == []
            assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())

        in_child(work)
        ending.close()
        assert len(closed) == 1
    finally:
        atexit.unregister(ending.close)
        signal.signal(signal.SIGTERM, former)


def test_what_is_on_disk_is_for_its_owner_only(make_sender: SenderMaker, folder: Path) -> None:
    """Whatever files are made with elsewhere in the process."""
    former = os.umask(0)
    try:
        sender = make_sender()
        send(sender, "a")
        sender._outbox.seal()
        send(sender, "b")
        sender._outbox.quarantine(b'{"eventId": "c"}', "not valid")
    finally:
        os.umask(former)
    found = [folder, *folder.rglob("*")]
    assert {path.name for path in found} > {"rejected", "service.json"}
    assert len(found) == 6  # two segments, and what is put aside
    for path in found:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ("3600", 3600),
        ("3601", RETRY_AFTER_SECONDS_MAX),
        ("9" * 400, RETRY_AFTER_SECONDS_MAX),
        (timedelta(days=365), RETRY_AFTER_SECONDS_MAX),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_SECONDS_MAX),
        (timedelta(days=-1), 0),
        ("soon", 0),
    ],
)
def test_nobody_makes_us_wait_for_longer_than_an_hour(after: str | timedelta, seconds: float) -> None:
    headers = HTTPMessage()
    date = after if isinstance(after, str) else format_datetime(datetime.now(UTC) + after, usegmt=True)
    headers["Retry-After"] = date
    content = {"error": {"code": "storage", "message": "x", "details": []}}
    assert parse_response([b"{}"], 503, headers, json.dumps(content).encode()).retry_after == seconds
