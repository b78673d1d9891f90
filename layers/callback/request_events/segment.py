"""Segments: undelivered events that are delivered together, in a file of the outbox or in memory.

A file holds one JSON object a line. Its name says when it was created (nanoseconds since 1970) and by which
process, and ends with random digits.
"""

import errno
import io
import os
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

SEGMENT_NAME = re.compile(r"(\d{20})-\d+-[0-9a-f]{8}\.jsonl")
SEGMENT_BYTES = 1_000_000  # a segment of this size is sealed, also while nothing can be delivered
LINE_BYTES = 65_536  # how much of a line is read at once. No event is nearly as long.
SHRINK_BYTES = 64_000_000  # a larger file is not the outbox's own, and is not shrunk
MOVES_MAX = 100  # how often lines are copied while a file is shrunk: each copy waits for the disk twice


@dataclass(frozen=True)
class Postponed:
    """When a segment that could not be delivered as a whole has its next run."""

    until: float = 0.0  # on the monotonic clock
    blocked_runs: int = 0  # runs in a row that left blocked events, or rejected ones without room
    responses_seen: int | None = None  # how often the service had responded before the last failure


NEVER = Postponed()
Quarantine = Callable[[bytes], bool]  # returns False if the disk did not take it


class Segment:
    """Some events that are due. This process holds them until `close`."""

    def __init__(self, lines: Iterator[bytes], previous: Postponed) -> None:
        self._lines = lines
        self.previous = previous  # what came of the last run
        self.stuck: set[bytes] = set()  # incomplete lines that no quarantine took: `keep` keeps them too

    def keep(self, lines: Collection[bytes]) -> None:
        """Delete all events but these: the others are delivered or quarantined."""
        raise NotImplementedError

    def postpone(self, record: Postponed) -> None:
        """Set when the next run is."""
        raise NotImplementedError

    def close(self) -> None:
        """Let other processes have what is left."""

    def delete(self) -> None:
        """Delete the events: all are delivered or quarantined."""
        self.keep(())

    def reorder(self, how: Callable[[list[bytes]], list[bytes]]) -> None:
        """Deliver the events in another order."""
        self._lines = iter(how(list(self._lines)))

    def batches(self, events: int, size: int) -> Iterator[list[bytes]]:
        """The events in batches of at most `events`, and of at most `size` bytes or one event."""
        batch: list[bytes] = []
        room = size
        for line in self._lines:
            if batch and (len(batch) == events or len(line) > room):
                yield batch
                batch, room = [], size
            batch.append(line)
            room -= len(line) + 1
        if batch:
            yield batch


class FileSegment(Segment):
    """A file that this process has locked."""

    def __init__(
        self, path: Path, fd: int, postponed: dict[str, Postponed], held: set[int], quarantine: Quarantine
    ) -> None:
        super().__init__(self._events(), postponed.get(str(path), NEVER))
        self._path = path
        self._fd = fd
        self._postponed = postponed
        self._held = held
        self._quarantine = quarantine
        held.add(fd)

    def keep(self, lines: Collection[bytes]) -> None:
        if kept := {*lines, *self.stuck}:
            _shrink(self._fd, kept)
        else:
            delete_or_empty(self._path, self._fd)
            self._postponed.pop(str(self._path), None)

    def postpone(self, record: Postponed) -> None:
        self._postponed[str(self._path)] = record

    def close(self) -> None:
        self._held.discard(self._fd)
        os.close(self._fd)

    def _events(self) -> Iterator[bytes]:
        """The lines that may be events. Others are quarantined: they would hold up the rest."""
        with os.fdopen(self._fd, "rb", closefd=False) as file:
            while line := file.readline(LINE_BYTES):
                if line.endswith(b"\n") and b"\0" not in line and len(line) > 1:
                    yield line[:-1]
                    continue
                rest = line.strip(b"\0\n")  # the disk has zeros where bytes never reached it
                if rest and not self._quarantine(rest):
                    self.stuck.add(line.removesuffix(b"\n"))


def delete_or_empty(path: Path, fd: int) -> None:
    """Delete a locked file; empty it if its folder does not allow that."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        os.ftruncate(fd, 0)


def _shrink(fd: int, lines: set[bytes]) -> None:
    """Leave only these lines in a locked file, in place: a full disk has no room for a second file.

    At every moment the file holds each of these lines, and no line that nobody wrote, even if the process is
    killed or power is lost:
    - Lines are copied towards the beginning, to where zeros were written before. So an incomplete copy holds
      zeros.
    - The originals are overwritten only after their copies are on disk.
    - A line that would overlap its own copy stays where it is.
    """
    size = os.fstat(fd).st_size
    if size > SHRINK_BYTES:
        return
    data = os.pread(fd, size, 0)
    kept = deque(_found(data, lines))
    end = moves = 0  # before `end` all is done
    while kept:
        start, line = kept[0]
        copies = _fitting(kept, start - end) if moves < MOVES_MAX else b""
        if copies:
            moves += 1
            covered = min(data.find(b"\n", end + len(copies) - 1) + 1 or start, start)
            for written in (_blank(covered - end), copies):
                _overwrite(fd, written, end)
                os.fsync(fd)
            end += len(copies)
        else:
            kept.popleft()
            _overwrite(fd, _blank(start - end), end)
            end = start + len(line)
    if end < size:
        os.ftruncate(fd, end)


def _found(data: bytes, lines: set[bytes]) -> Iterator[tuple[int, bytes]]:
    """Where each of these lines begins, and the line with its line break."""
    file = io.BytesIO(data)
    while line := file.readline(LINE_BYTES):
        if line.removesuffix(b"\n") in lines:
            yield file.tell() - len(line), line


def _fitting(kept: deque[tuple[int, bytes]], room: int) -> bytes:
    """Remove the next lines from `kept`, as many as fit into `room` bytes, and return them."""
    copies = b""
    while kept:
        _, line = kept[0]
        copy = line if line.endswith(b"\n") else line + b"\0\n"  # an incomplete line must not look complete
        if len(copies) + len(copy) > room:
            break
        copies += copy
        kept.popleft()
    return copies


def _blank(size: int) -> bytes:
    """A line that holds no event."""
    return b"\0" * (size - 1) + b"\n" if size else b""


def _overwrite(fd: int, data: bytes, offset: int) -> None:
    if data and os.pwrite(fd, data, offset) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
