"""The outbox on disks that are full, read-only or torn, with more events than there is room for."""

import errno
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.waiting import wait_until
from request_events import log
from request_events import outbox as module
from request_events import outbox_report as report_module
from request_events import segment as segment_module
from request_events import sender as sender_module
from request_events.outbox import Outbox
from request_events.outbox_report import OutboxReporter
from request_events.sender import Sender
from tests.unit.callback.conftest import SenderMaker
from tests.unit.callback.service import Response, Service, error, ok
from tests.unit.callback.test_outbox import files, lines, take_all
from tests.unit.callback.test_quarantine import rejected

SEGMENT = "00001795418608164711-1-00000000.jsonl"


def event(number: int) -> bytes:
    """A line as long as a usual event, and each as long as another."""
    text = {"eventId": f"e-{number}", "userId": "alice", "ts": "2026-11-24T12:00:00Z"}
    return json.dumps(text | {"padding": "x" * (320 - len(str(number)))}).encode() + b"\n"


def fill(outbox: Outbox | Sender, numbers: range) -> None:
    for number in numbers:
        outbox.append(event(number)) if isinstance(outbox, Outbox) else outbox.send(event(number))


# Torn: what is whole is delivered, what is not is quarantined, and nothing holds up the rest.

WHOLE = [event(number) for number in range(60)]


@settings(max_examples=150, deadline=None)
@given(
    start=st.integers(0, sum(map(len, WHOLE))),
    length=st.integers(1, 6000),
    damage=st.sampled_from(["cut off", "zeros", "garbage", "newlines"]),
    seed=st.binary(min_size=16, max_size=16),
)
def test_damage_costs_only_the_events_that_it_touches(
    start: int, length: int, damage: str, seed: bytes
) -> None:
    """A kill cuts a segment off; a loss of power leaves zeros, or old data, anywhere in it."""
    data = b"".join(WHOLE)
    end = min(start + length, len(data))
    filler = {"cut off": b"", "zeros": b"\0", "newlines": b"\n", "garbage": seed}[damage]
    inside = (filler * (end - start))[: end - start]
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / SEGMENT).write_bytes(data[:start] + inside + (data[end:] if inside else b""))
        taken = take_all(Outbox(Path(name)))
        assert not (Path(name) / SEGMENT).exists()
    offset = 0
    for whole in WHOLE:
        is_before, is_after = offset + len(whole) <= start, offset > end  # with the line break before it
        if is_before or (is_after and damage != "cut off"):
            assert whole[:-1] in taken
        offset += len(whole)
    assert not any(b"\0" in line for line in taken)


def test_a_long_hole_of_zeros_is_nothing_to_keep(outbox: Outbox, folder: Path) -> None:
    folder.mkdir()
    (folder / SEGMENT).write_bytes(event(1) + b"\0" * 1_000_000)
    assert take_all(outbox) == [event(1)[:-1]]
    assert rejected(folder) == []
    assert files(folder) == []


def test_a_file_of_garbage_is_read_in_small_parts(outbox: Outbox, folder: Path) -> None:
    folder.mkdir()
    (folder / SEGMENT).write_bytes(b"x" * 1_000_000 + b"\n" + event(1))
    assert [len(line) for line in take_all(outbox)] == [1_000_000 % segment_module.LINE_BYTES, SIZE - 1]
    assert max(len(record["event"]) for record in rejected(folder)) <= segment_module.LINE_BYTES


def test_a_segment_that_is_deleted_while_in_use_loses_nothing(outbox: Outbox, folder: Path) -> None:
    fill(outbox, range(3))
    [path] = files(folder)
    path.unlink()
    fill(outbox, range(3, 5))
    outbox.seal()
    outbox.seal()
    assert take_all(outbox) == [event(number)[:-1] for number in range(5)]


# Full, for real: a file system of a few pages, and a limit that the kernel cuts writes off at.


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "impact-test", str(folder)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("this user cannot mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


SMALL_SEGMENT = 50_000


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "SEGMENT_BYTES", SMALL_SEGMENT)
    monkeypatch.setattr(sender_module, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(sender_module, "REPORT_SECONDS", 0.02)


@pytest.mark.usefixtures("quick_looks")
def test_a_disk_that_is_really_full_loses_nothing_and_recovers(
    make_sender: SenderMaker, service: Service, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its first event is rejected, so that room is wanted for it where there is none."""

    def reject_the_first(events: list[Any]) -> Response:
        rejected = [index for index, each in enumerate(events) if each["eventId"] == "e-0"]
        service.take([each for each in events if each["eventId"] != "e-0"])
        named = tuple({"index": index, "eventId": "e-0", "errors": []} for index in rejected)
        return ok(created=len(events) - len(rejected), rejected=named)

    with mounted(folder, "size=512k"):
        service.always = lambda _: error(503)
        sender = make_sender(flush_seconds=0.01)
        sender.start()
        for number in range(30):
            fill(sender, range(100 * number, 100 * number + 100))
            wait_until(
                lambda: sender._outbox.size < SMALL_SEGMENT or sender._outbox.in_memory > 0,
                "a new segment, or a full disk",
            )
        assert sender._outbox.in_memory > 1000
        assert os.statvfs(folder).f_bavail < 4
        service.always = reject_the_first
        service.wait_for(lambda s: len(s.taken) == 2999)
        wait_until(
            lambda: not sender._outbox.in_memory and [*rejected(folder)] != [], "the rejected event on disk"
        )
        sender.close(10)
        assert [record["event"]["eventId"] for record in rejected(folder)] == ["e-0"]
        assert files(folder) == []
    assert "No space left on device" in caplog.text
    assert sender._outbox.dropped == 0


def test_a_write_that_the_kernel_cuts_off_is_whole_later(outbox: Outbox, folder: Path) -> None:
    fill(outbox, range(3))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (outbox.size + 100, hard))
    try:
        fill(outbox, range(3, 6))  # the first of them fits in part
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outbox.in_memory == 3
    outbox.seal()
    assert take_all(outbox) == [event(number)[:-1] for number in range(6)]
    assert rejected(folder) == []


def test_a_torn_write_that_cannot_be_taken_back_spoils_no_other(
    outbox: Outbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(outbox, range(1))
    write = os.write
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", lambda fd, data: write(fd, data[:20]))
        broken.setattr(os, "ftruncate", fails)
        fill(outbox, range(1, 2))
    fill(outbox, range(2, 4))
    outbox.seal()
    assert sorted(take_all(outbox)) == sorted(event(number)[:-1] for number in range(4))


def fails(fd: int, size: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_a_read_only_disk_is_logged_and_loses_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with mounted(folder, "size=1m"):
        former = Outbox(folder)
        fill(former, range(3))
        former.close()
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        outbox = Outbox(folder)
        fill(outbox, range(3, 6))
        outbox.seal()
        assert take_all(outbox) == [event(number)[:-1] for number in range(3, 6)]  # from memory
        fill(outbox, range(6, 8))
        assert caplog.text.count("Read-only file system") == 1
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        outbox.seal()
        assert take_all(outbox) == [event(number)[:-1] for number in (0, 1, 2, 6, 7)]
        outbox.close()


@pytest.mark.parametrize("has_locks", [True, False])
def test_a_rejected_event_in_memory_holds_up_no_other(
    tmp_path: Path,
    service: Service,
    make_sender: SenderMaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    has_locks: bool,
) -> None:
    """Where the disk takes nothing, a rejected event cannot be kept either."""
    if has_locks:
        (tmp_path / "outbox").touch()  # no folder can be made there
    else:
        monkeypatch.setattr(module, "HAS_LOCKS", False)

    def reject_the_first(events: list[Any]) -> Response:
        good = [each for each in events if each["eventId"] != "e-0"]
        service.take(good)
        rejected = [{"index": 0, "eventId": "e-0", "errors": []}] if len(good) < len(events) else []
        return ok(len(good), 0, tuple(rejected))

    service.always = reject_the_first
    sender = make_sender()
    for number in range(1000):
        sender.send(event(number))
    sender.start()
    service.wait_for(lambda s: len(s.taken) == 999)
    assert set(service.taken.values()) == {1}
    assert ("lost, because" in caplog.text) == has_locks


def test_what_cannot_be_deleted_is_not_delivered_again() -> None:
    """Its folder belongs to somebody else: this user may write the file, but not remove it."""
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / SEGMENT
        path.write_bytes(event(1))
        os.chmod(name, 0o755)
        os.chmod(path, 0o666)

        def child() -> None:
            os.setresuid(65534, 65534, 65534)
            outbox = Outbox(Path(name))
            assert take_all(outbox) == [event(1)[:-1]]
            assert outbox.next_segment() is None
            os._exit(7)

        process = get_context("fork").Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 7
        assert path.stat().st_size == 0
        assert take_all(Outbox(Path(name))) == []
        assert not path.exists()


def test_a_segment_that_fails_holds_up_no_other(outbox: Outbox) -> None:
    for number in range(3):
        fill(outbox, range(number, number + 1))
        outbox.seal()
    first = outbox.next_segment()
    assert first
    first.close()  # it was not delivered
    assert take_all(outbox) == [event(number)[:-1] for number in (1, 2, 0)]


# More than there is room for.

SIZE = len(event(100))
ROOM, MEMORY = 100, 20


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outbox with room for a hundred events, and for twenty more in memory."""
    for each in (module, report_module):
        monkeypatch.setattr(each, "FOLDER_BYTES", ROOM * SIZE)
        monkeypatch.setattr(each, "MEMORY_EVENTS", MEMORY)


@pytest.mark.usefixtures("small")
def test_several_processes_share_one_bound(folder: Path) -> None:
    pair = [Outbox(folder), Outbox(folder)]
    for number in range(2 * ROOM + MEMORY):
        fill(pair[number % 2], range(number, number + 1))
        if number % 10 == 0:
            for each in pair:
                each.measure()
    on_disk = sum(path.stat().st_size for path in files(folder))
    assert ROOM * SIZE * 0.9 < on_disk < ROOM * SIZE * 1.1  # what the other took since the last look
    assert [each.in_memory for each in pair] == [MEMORY, MEMORY]
    assert sum(each.dropped for each in pair) == 2 * ROOM + MEMORY - 2 * MEMORY - on_disk // SIZE
    for each in pair:
        each.close()


@pytest.mark.usefixtures("small")
def test_what_waits_in_memory_goes_to_disk_as_far_as_there_is_room(folder: Path) -> None:
    outbox = Outbox(folder)
    fill(outbox, range(ROOM + 5))
    assert (outbox.size, outbox.in_memory) == (ROOM * SIZE, 5)
    outbox.seal()
    assert outbox.in_memory == 5
    segment = outbox.next_segment()
    assert len(lines(segment)) == ROOM
    assert segment
    other = Outbox(folder)  # takes more than the room that is left
    fill(other, range(200, 203))
    other.close()
    outbox.measure()
    outbox.seal()
    assert outbox.in_memory == 5
    segment.delete()
    segment.close()
    outbox.measure()
    outbox.seal()
    assert outbox.in_memory == 0
    assert len(take_all(outbox)) == 8
    outbox.close()


@pytest.mark.usefixtures("small", "quick_looks")
def test_people_are_warned_long_before_an_event_is_dropped_and_the_log_says_how_many_were(
    make_sender: SenderMaker, service: Service, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service.always = lambda _: error(503)
    sender = make_sender()
    sender.start()
    fill(sender, range(ROOM // 2 - 5))
    service.wait_for(lambda s: len(s.requests) > 3)
    assert "% full" not in caplog.text
    fill(sender, range(ROOM // 2 - 5, ROOM // 2 + 5))
    half_full = "55% full: 55 events wait (0 MB), room for about 45 more"
    wait_until(lambda: half_full in caplog.text, half_full)
    assert "dropped since" not in caplog.text
    fill(sender, range(ROOM // 2 + 5, ROOM + 6))
    full = f"events wait in memory, room for {MEMORY - 6} more"
    wait_until(lambda: full in caplog.text, full)
    assert "dropped since" not in caplog.text
    fill(sender, range(ROOM + 6, ROOM + MEMORY + 9))
    dropped = "9 events were dropped since the start of this process, the newest ones: the outbox is full"
    wait_until(lambda: dropped in caplog.text, dropped)
    [record] = [each for each in caplog.records if "dropped since" in each.message]
    assert record.levelname == "ERROR"

    service.always = None  # there is room again: also what waits in memory is delivered
    sender.drain()
    service.wait_for(lambda s: len(s.taken) == ROOM + MEMORY)
    has_room = lambda: not sender._outbox.in_memory and sender._outbox._room > 50 * SIZE  # noqa: E731
    wait_until(has_room, "room in the outbox")
    fill(sender, range(1000, 1050))
    service.wait_for(lambda s: len(s.taken) == ROOM + MEMORY + 50)
    assert set(service.taken) == {f"e-{number}" for number in [*range(ROOM + MEMORY), *range(1000, 1050)]}
    assert caplog.text.count("dropped since") == 1


def test_a_small_disk_is_what_bounds_the_outbox_and_people_are_warned_all_the_same(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with mounted(folder, "size=1m"):
        outbox = Outbox(folder)
        reporter = OutboxReporter(outbox, flush_seconds=1)
        fill(outbox, range(1200))
        reporter.report(time.time())
        assert "% full" not in caplog.text
        fill(outbox, range(1200, 1500))
        reporter.report(time.time())
        assert re.search(r"5\d% full: 1500 events wait \(0 MB\), room for about 1\d\d\d more", caplog.text)
        fill(outbox, range(1500, 3000))
        assert outbox.in_memory > 0
        assert outbox.dropped == 0
        outbox.close()


def test_the_last_number_of_dropped_events_is_logged(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if the dropping ends within the minute in which nothing more is said of it."""
    monkeypatch.setattr(module, "FOLDER_BYTES", 0)
    monkeypatch.setattr(module, "MEMORY_EVENTS", 0)
    outbox.measure()
    reporter = OutboxReporter(outbox, flush_seconds=1)
    for _ in range(2):
        fill(outbox, range(10))
        reporter.report(time.time())
    log._last.clear()
    for _ in range(2):
        reporter.report(time.time())
    told = [record.getMessage().split()[2] for record in caplog.records if "dropped" in record.getMessage()]
    assert told == ["10", "20"]


MANY = 50_000
"""The whole million: `python -m benchmarks.outbox`."""
RESUME = """
import resource, sys, time
from pathlib import Path
from request_events.sender import Sender
from request_events.outbox import Outbox
sender = Sender(Outbox(Path(sys.argv[1])), sys.argv[2], "t0ken", batch_size=500)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert sender.flush()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_many_events_resume_at_once_in_little_memory(outbox: Outbox, folder: Path, service: Service) -> None:
    for number in range(MANY):
        outbox.append(event(number))
        if outbox.size >= segment_module.SEGMENT_BYTES:
            outbox.seal()
    outbox.close()
    assert len(files(folder)) < MANY * SIZE / segment_module.SEGMENT_BYTES + 2
    due: list[int] = []
    """How many files were there at each delivery."""

    def take(events: list[Any]) -> Response:
        due.append(len(files(folder)))
        return service.take(events)

    service.always = take
    command = [sys.executable, "-c", RESUME, str(folder), service.url]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    before = len(files(folder))
    grown = int(subprocess.check_output(command, env=environ))
    assert due[0] >= before  # no file is finished before the first delivery
    assert grown < 10_000  # KB
    assert len(service.taken) == MANY
    assert set(service.taken.values()) == {1}
