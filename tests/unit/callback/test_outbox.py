"""The outbox alone: what was appended is there, whatever happens to the process."""

import errno
import fcntl
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from request_events import outbox as module
from request_events.outbox import Outbox
from request_events.segment import SEGMENT_BYTES, Postponed, Segment
from tests.children import child


def lines(segment: Segment | None) -> list[bytes]:
    assert segment is not None
    return [line for batch in segment.batches(100, 10**6) for line in batch]


def take_all(outbox: Outbox) -> list[bytes]:
    """Deliver everything that is due."""
    taken: list[bytes] = []
    while segment := outbox.next_segment():
        taken += lines(segment)
        segment.delete()
        segment.close()
    return taken


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def test_events_are_due_once_they_are_released(outbox: Outbox, folder: Path) -> None:
    assert [outbox.append(b"%d\n" % number) for number in range(3)] == [1, 2, 3]
    assert outbox.next_segment() is None
    outbox.seal()
    assert outbox.append(b"3\n") == 1
    assert take_all(outbox) == [b"0", b"1", b"2"]
    outbox.seal()
    assert take_all(outbox) == [b"3"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files(folder))


def test_what_is_not_deleted_is_due_again(outbox: Outbox) -> None:
    outbox.append(b"1\n")
    outbox.seal()
    segment = outbox.next_segment()
    assert lines(segment) == [b"1"]
    assert segment
    segment.close()
    assert take_all(outbox) == [b"1"]


def test_the_oldest_goes_first(outbox: Outbox) -> None:
    for number in range(5):
        outbox.append(b"%d\n" % number)
        outbox.seal()
    assert take_all(outbox) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_batch_is_bounded_in_events_and_in_bytes(outbox: Outbox) -> None:
    for size in (1, 1, 1, 50, 200, 1):
        outbox.append(b"1" * size + b"\n")
    outbox.seal()
    segment = outbox.next_segment()
    assert segment
    assert [[len(line) for line in batch] for batch in segment.batches(2, 100)] == [
        [1, 1],
        [1, 50],
        [200],
        [1],
    ]
    segment.close()


def test_two_of_a_folder_share_the_work(outbox: Outbox, folder: Path) -> None:
    other = Outbox(folder)
    for number in range(2):
        outbox.append(b"%d\n" % number)
        outbox.seal()
    other.append(b'"other"\n')  # not released: nobody else may have it
    first, second = outbox.next_segment(), other.next_segment()
    assert (lines(first), lines(second)) == ([b"0"], [b"1"])
    assert outbox.next_segment() is None
    assert first
    first.close()
    assert take_all(other) == [b"0"]
    assert second
    second.close()
    other.close()


@pytest.fixture
def deleted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that another process deletes each, when this one has opened it and has not locked it yet."""
    to_delete: list[Path] = []
    lock = fcntl.flock

    def late(fd: int, operation: int) -> None:
        for path in to_delete:
            path.unlink(missing_ok=True)
        to_delete.clear()
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    return to_delete


def test_what_another_process_has_just_delivered_is_not_delivered_again(
    outbox: Outbox, folder: Path, deleted: list[Path]
) -> None:
    outbox.append(b"1\n")
    outbox.seal()
    outbox.close()
    deleted += files(folder)
    assert outbox.next_segment() is None


def test_a_file_that_is_deleted_as_soon_as_it_is_made_gets_no_event(
    outbox: Outbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has taken it, empty as it was."""
    lock = fcntl.flock
    made: list[int] = []

    def late(fd: int, operation: int) -> None:
        made.append(fd)
        if len(made) == 1:
            [path] = files(folder)
            path.unlink()
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    outbox.append(b"1\n")
    assert [path.read_bytes() for path in files(folder)] == [b"1\n"]
    assert outbox.in_memory == 0


def test_other_files_are_left_alone(outbox: Outbox, folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.jsonl").write_text("{}\n")
    (folder / "v2-01795418608164711000-1-00000000.jsonl").write_text("{}\n")
    assert outbox.next_segment() is None
    assert len(files(folder)) == 2


APPENDER = """
import sys
from pathlib import Path
from request_events.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]))
number = 0
while True:
    number = number + 1
    outbox.append(b"%d\\n" % number)
    print(number, flush=True)
    if number % 1000 == 0:
        outbox.seal()
"""


@contextmanager
def appender(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which appends 1, 2, 3 ... and says so each time."""
    command = [sys.executable, "-c", APPENDER, str(folder)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with child(command, env=environ, stdout=subprocess.PIPE) as process:
        yield process


def test_kill_9_loses_nothing_that_was_appended(outbox: Outbox, folder: Path) -> None:
    with appender(folder) as process:
        assert process.stdout
        for _ in range(1500):
            process.stdout.readline()
        first = outbox.next_segment()  # what it has let go of, and never what it still appends to
        assert lines(first) == [b"%d" % number for number in range(1, 1001)]
        process.send_signal(signal.SIGKILL)
        said = [int(line) for line in process.stdout]
        process.wait()
    assert first
    first.close()
    taken = sorted(int(line) for line in take_all(outbox))
    assert taken == list(range(1, len(taken) + 1))  # the first thousand too: they were not deleted
    assert len(taken) >= max(said, default=1500)


def test_a_full_disk_delays_events_but_loses_none(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.append(b"1\n")
    write = os.write

    def half(fd: int, data: bytes) -> int:
        return write(fd, data[: len(data) // 2])

    def none(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    outbox.append(b"2\n")
    monkeypatch.setattr(os, "write", none)
    outbox.append(b"3\n")
    outbox.seal()
    assert len(caplog.records) == 1
    assert "IMPACT_OUTBOX" in caplog.text
    monkeypatch.setattr(os, "write", write)
    outbox.append(b"4\n")
    outbox.seal()
    assert take_all(outbox) == [b"1", b"2", b"3", b"4"]


def test_without_a_disk_events_are_delivered_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    outbox = Outbox(tmp_path / "file" / "outbox")
    monkeypatch.setattr(module, "MEMORY_EVENTS", 3)
    for number in range(5):
        outbox.append(b"%d\n" % number)
    outbox.seal()
    assert take_all(outbox) == [b"0", b"1", b"2"]
    outbox.append(b"5\n")
    assert take_all(outbox) == [b"5"]
    assert caplog.records


def test_without_file_locks_events_are_delivered_from_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "HAS_LOCKS", False)
    outbox = Outbox(folder)
    outbox.append(b"1\n")
    outbox.seal()
    assert take_all(outbox) == [b"1"]
    assert "no file locks" in caplog.text
    assert not folder.exists()


def test_on_a_file_system_without_locks_events_are_delivered_from_memory(
    outbox: Outbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    outbox.append(b"1\n")
    outbox.seal()
    assert take_all(outbox) == [b"1"]
    assert files(folder) == []


def test_what_the_disk_takes_over_from_memory_is_not_forgotten(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: 0)
        outbox.append(b"1\n")
        segment = outbox.next_segment()
    assert lines(segment) == [b"1"]
    outbox.seal()  # the disk is back
    outbox.append(b"2\n")
    assert segment
    segment.delete()
    outbox.seal()
    assert take_all(outbox) == [b"1", b"2"]


def test_a_file_that_cannot_be_read_does_not_block_the_rest(
    outbox: Outbox, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "00001795418608164711-1-00000000.jsonl").mkdir(parents=True)
    outbox.append(b"1\n")
    outbox.seal()
    assert take_all(outbox) == [b"1"]
    assert "IMPACT_OUTBOX" in caplog.text


def test_what_came_to_disk_while_it_was_on_its_way_is_not_kept_in_memory_too(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    outbox.append(b"1\n")
    segment = outbox.next_segment()
    assert segment
    monkeypatch.setattr(os, "write", write)
    outbox.spill()
    segment.keep([b"1"])  # it was blocked
    segment.close()
    assert outbox.in_memory == 0
    outbox.seal()
    assert take_all(outbox) == [b"1"]


def test_a_child_closes_no_file_that_was_delivered_before_the_fork(outbox: Outbox, tmp_path: Path) -> None:
    """Its number may be another file's by then."""
    outbox.append(b"1\n")
    outbox.seal()
    assert take_all(outbox) == [b"1"]
    held = [(tmp_path / str(number)).open("w") for number in range(3)]
    outbox.after_fork()
    for file in held:
        assert os.fstat(file.fileno())
        file.close()


def test_a_closed_outbox_leaves_no_empty_file(outbox: Outbox, folder: Path) -> None:
    outbox.append(b"1\n")
    outbox.seal()
    take_all(outbox)
    outbox.close()
    assert files(folder) == []


def test_a_forked_child_has_a_segment_of_its_own(outbox: Outbox, folder: Path) -> None:
    outbox.append(b'"parent"\n')

    def child() -> None:
        outbox.after_fork()
        outbox.append(b'"child"\n')
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert take_all(outbox) == [b'"child"']
    outbox.seal()
    assert take_all(outbox) == [b'"parent"']


def test_a_million_events_are_few_files(outbox: Outbox, folder: Path) -> None:
    """As the sender does it in an outage: it looks at the size now and then."""
    line = b"1" * 399 + b"\n"
    for _ in range(100):
        for _ in range(100):
            outbox.append(line)
        if outbox.size >= SEGMENT_BYTES:
            outbox.seal()
    assert len(files(folder)) <= 5
    outbox.seal()
    assert len(take_all(outbox)) == 10_000


def test_a_scan_at_thousands_of_files_that_wait_makes_nothing_of_them(
    outbox: Outbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    for number in range(2000):
        (folder / f"{number:020d}-1-00000000.jsonl").write_bytes(b"waits\n")
    while (segment := outbox.next_segment()) is not None:
        segment.postpone(Postponed(time.monotonic() + 3600, 1))
        segment.close()
    made: list[str] = []

    def path(name: str) -> Path:
        made.append(name)
        return Path(name)

    outbox.append(b"new\n")
    outbox.seal()
    monkeypatch.setattr(module, "Path", path)
    assert take_all(outbox) == [b"new"]
    assert len(made) < 10  # not those that wait
    assert outbox.is_postponed
