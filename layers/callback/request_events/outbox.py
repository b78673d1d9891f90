"""Events on disk until the service has them: appended on the event loop, delivered by any living process.

Processes may share a folder of segments (segment.py), because of these rules for locks on files:

- Create: a process locks its new segment before it writes to it. If another one held the empty file first,
  and deleted it, the creator finds no link to it and creates another one.
- Append: only the creator appends, while it holds the lock.
- Seal: the creator closes the file, which frees the lock. It never appends to it again.
- Hold: a process that gets the lock without waiting may deliver the segment.
- Delete, shrink: only the holder does that. Who locks the file next finds no link to it, or what is left.
- Killed: the kernel frees the locks. The segment is as if sealed; an incomplete last line is quarantined.
- Rescue: if somebody deletes a file in use, its creator finds no link to it when it seals it. The events go
  to memory until they are on disk again.

So an event is at each moment in a segment or in memory, until the service or the quarantine has it, and no
two processes deliver a segment at a time. If a holder is killed after the service took events and before they
are deleted, they are sent again, and the service calls them duplicates.
"""

import contextlib
import errno
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from itertools import accumulate, islice
from pathlib import Path

from request_events import quarantine
from request_events.file_lock import HAS_LOCKS, open_locked
from request_events.log import warn
from request_events.outbox_stats import FolderScanner, OutboxStats
from request_events.quarantine import REJECTED, REJECTED_BYTES
from request_events.segment import NEVER, SEGMENT_NAME, FileSegment, Postponed, Segment, delete_or_empty
from request_events.service_folders import ServiceFolders

MEMORY_EVENTS = 20_000  # how many events wait in memory while the disk takes none
FOLDER_BYTES = 4_000_000_000  # how much may wait on disk: ten million events, days enough to mend anything
SLOW_SECONDS = 0.05  # the event loop should not wait for a write that takes longer than this
SLOW_MODE_SECONDS = 10.0  # so long after a slow write, events go to memory, and a thread writes them
SPILL_EVENTS = 500  # how many events go from memory to disk, or to the service, at a time


class Outbox:
    """A folder of undelivered events. `append` may be called by any thread, the rest by one at a time."""

    def __init__(self, folder: Path, *, is_default: bool = False) -> None:
        """`is_default`: nobody named the folder, so proxies of several services may share it by accident."""
        self._folder = folder
        self._is_default = is_default
        self._service_folders: ServiceFolders | None = None
        self.others: tuple[Path, ...] = ()  # other folders of the same service, to deliver from as well
        self._lock = threading.Lock()  # held for a moment only: the event loop waits for it
        self._writing = threading.Lock()  # of threads that write events from memory, or seal a segment
        self._is_spilling = False
        self._slow_until = 0.0
        self._memory: deque[bytes] = deque()
        self._memory_later: list[bytes] = []  # in memory as well: events that were left after a run
        self._memory_postponed = NEVER
        self._postponed: dict[str, Postponed] = {}  # by the path of a segment
        self._held: set[int] = set()  # files that are being delivered
        self._fd: int | None = None  # the segment that this process appends to
        self._path = folder
        self.size = 0  # bytes in that segment
        self.count = 0  # events that this process has kept since the last `seal`
        self._due: deque[Path] = deque()  # what is left of the last listing of the folders
        self._scanner = FolderScanner(folder)
        self._other_scanners: dict[Path, FolderScanner] = {}
        self._room = FOLDER_BYTES
        self._room_rejected = REJECTED_BYTES
        self.dropped = 0  # events that had no room
        self.rejected = self.rejected_dropped = 0  # rejected events that had room in the quarantine, or not
        if not HAS_LOCKS:
            warn("flock", "this system has no file locks: undelivered events are kept in memory only")

    def claim(self, url: str, token: str | None = None) -> ServiceFolders | None:
        """Keep events for one service from now on, in another folder if this one is another service's."""
        if not HAS_LOCKS:
            return None
        self._service_folders = ServiceFolders(self._folder, url, token, is_default=self._is_default)
        self._folder = self._path = self._service_folders.own
        self._scanner = FolderScanner(self._folder)
        return self._service_folders

    def append(self, line: bytes) -> int:
        """Keep one event (a line of JSON). Return how many this process has kept since the last `seal`."""
        with self._lock:
            if self._memory or self._is_spilling or self.is_slow or not self._on_disk(line):
                self._in_memory(line)
            self.count += 1
            return self.count

    @property
    def is_slow(self) -> bool:
        """Whether a thread should write instead of the event loop, because a write was slow: see `spill`."""
        return bool(self._slow_until) and time.monotonic() < self._slow_until

    @property
    def waits_in_memory(self) -> bool:
        """Whether the disk has not taken some events yet."""
        return bool(self._memory) and HAS_LOCKS

    @property
    def in_memory(self) -> int:
        """How many events wait in memory."""
        return len(self._memory) + len(self._memory_later)

    @property
    def is_postponed(self) -> bool:
        """Whether some events wait for a later run."""
        return bool(self._postponed) or bool(self._memory_later)

    def spill(self) -> None:
        """Write the events in memory to disk, while `append` goes on. For a thread that may wait."""
        with self._writing:
            self._spill()

    def seal(self) -> None:
        """Close the segment that this process appends to, so that it is due for delivery."""
        with self._writing:
            self._spill()
            with self._lock:
                self.count = 0
            if self.size:
                self._replace_segment()

    def next_segment(self, fresh_only: bool = False) -> Segment | None:
        """Hold the oldest segment that is due and that nobody else holds. None if there is none.

        A segment whose events were not all settled is due again only after the others. `fresh_only` leaves
        out segments that were blocked in their last run.
        """
        for path in self._due_paths():
            previous = self._postponed.get(str(path), NEVER)
            if previous.until > time.monotonic() or (fresh_only and previous.blocked_runs):
                continue
            try:
                if (segment := self._hold(path)) is not None:
                    return segment
            except FileNotFoundError:  # delivered meanwhile
                continue
            except OSError as problem:
                self._warn(problem)
        return self._from_memory(fresh_only)

    def measure(self) -> OutboxStats:
        """Scan the folders, and update how much room is left. Reads files: not for the event loop."""
        before = self._room
        here = self._scanner.scan()
        with self._lock:
            appended = before - self._room  # during the scan, which may have seen it or not
            self._room = FOLDER_BYTES - here.bytes - appended
        self._room_rejected = REJECTED_BYTES - here.rejected_bytes
        known = self._other_scanners
        self._other_scanners = {folder: known.get(folder) or FolderScanner(folder) for folder in self.others}
        return OutboxStats(here, [scanner.scan() for scanner in self._other_scanners.values()])

    def quarantine(self, line: bytes, reason: object) -> bool:
        """Keep a rejected event in the folder `rejected/`. Return False if that has no room: it is dropped.

        Raises OSError where it could not be written, and its segment on disk still has it.
        """
        now = datetime.now(UTC)
        data = quarantine.record(line, reason, now)
        is_kept = len(data) <= self._room_rejected
        if is_kept:
            try:
                quarantine.write(self._folder, data, now)
                self._room_rejected -= len(data)
            except OSError:
                with self._lock:
                    if line + b"\n" not in self._memory and line + b"\n" not in self._memory_later:
                        raise
                is_kept = False  # in memory it would hold up all later events
        if is_kept:
            self.rejected += 1
        else:
            self.rejected_dropped += 1
        return is_kept

    def close(self) -> None:
        """Close the segment that this process appends to, and delete it if it is empty."""
        with self._writing, self._lock:
            if self._fd is not None:
                if not self.size:
                    self._path.unlink(missing_ok=True)
                os.close(self._fd)
            self._fd, self.size, self.count = None, 0, 0

    def after_fork(self) -> None:
        """Start anew in a child process: the events so far are its parent's."""
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._memory.clear()
        self._memory_later.clear()
        for fd in self._held | ({self._fd} if self._fd is not None else set()):
            os.close(fd)  # the parent's locks stay: they end when nobody has the file open
        self._held, self._fd = set(), None
        self.size = self.count = 0
        self._is_spilling = False

    # Which segments are due

    def _due_paths(self) -> Iterator[Path]:
        """What is left of the last listing, then what a new one finds."""
        while self._due:
            yield self._due.popleft()
        self._due.extend(self._list_due())
        while self._due:
            yield self._due.popleft()

    def _list_due(self) -> list[Path]:
        """All due segments, the oldest first. Thousands of postponed ones cost little here."""
        now, due, postponed = time.monotonic(), [], {}
        for folder in self._folders():
            for name in self._names(folder):
                path = f"{folder}{os.sep}{name}"
                previous = self._postponed.get(path)
                if previous is not None:
                    postponed[path] = previous
                if previous.until <= now if previous else SEGMENT_NAME.fullmatch(name):
                    due.append((name, path))
        self._postponed.clear()
        self._postponed.update(postponed)
        return [Path(path) for _, path in sorted(due)]

    def _folders(self) -> list[Path]:
        """The folders to deliver from. Their owner is checked each time: a disk may be mounted by now."""
        if self._service_folders is None:
            return [self._folder, *self.others]
        with contextlib.suppress(OSError):  # `append` logs it
            self._claim()
        return [folder for folder in (self._folder, *self.others) if self._service_folders.is_ours(folder)]

    def _claim(self) -> None:
        """Keep events from now on in a folder that is this service's. Raises OSError."""
        if self._service_folders is not None and (own := self._service_folders.claim()) != self._folder:
            self._folder, self._scanner = own, FolderScanner(own)

    def _names(self, folder: Path) -> list[str]:
        try:
            return os.listdir(folder) if HAS_LOCKS else []
        except FileNotFoundError:  # not created yet
            return []
        except OSError as problem:
            self._warn(problem)
            return []

    def _hold(self, path: Path) -> Segment | None:
        fd = open_locked(path)
        if fd is None:
            return None
        if not os.fstat(fd).st_size:
            delete_or_empty(path, fd)
            os.close(fd)
            return None
        return FileSegment(path, fd, self._postponed, self._held, self._quarantine_incomplete)

    def _quarantine_incomplete(self, rest: bytes) -> bool:
        warn("torn", "what was written in part only is kept in the outbox's folder %s/", REJECTED)
        try:
            self.quarantine(rest, "incomplete")
        except OSError as problem:
            self._warn(problem)
            return False
        return True

    # Writing

    def _on_disk(self, line: bytes) -> bool:
        if not HAS_LOCKS or len(line) > self._room:
            return False
        try:
            self._write(line)
        except OSError as problem:
            self._warn(problem)
            return False
        return True

    def _write(self, data: bytes) -> None:
        """Write, and enter the slow mode if that takes long."""
        began = time.monotonic()
        try:
            self._append(data)
        finally:
            ended = time.monotonic()
            if ended - began > SLOW_SECONDS:
                self._slow_until = ended + SLOW_MODE_SECONDS

    def _append(self, data: bytes) -> None:
        if self._fd is None:
            self._path, self._fd = self._create()
            self.size = 0
        written = os.write(self._fd, data)
        if written < len(data):  # the disk is full
            self._cut()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += written
        self._room -= written

    def _cut(self) -> None:
        """Remove an incomplete line; where that fails too, close the segment with it."""
        assert self._fd is not None
        try:
            os.ftruncate(self._fd, self.size)
        except OSError:
            os.close(self._fd)
            self._fd, self.size = None, 0
            raise

    def _create(self) -> tuple[Path, int]:
        """Create a segment, and lock it."""
        self._claim()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = self._folder / f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
            fd = open_locked(path, os.O_APPEND | os.O_CREAT | os.O_EXCL)
            if fd is not None:  # else another process held the empty file before it was locked
                return path, fd

    def _replace_segment(self) -> None:
        path, fresh = self._path, None
        with contextlib.suppress(OSError):  # the next append tries again, and logs it
            path, fresh = self._create()
        with self._lock:
            full, size = self._fd, self.size
            self._path, self._fd, self.size = path, fresh, 0
        if full is not None:
            self._rescue(full, size)
            os.close(full)

    def _rescue(self, fd: int, size: int) -> None:
        """Keep the events of a segment that somebody deleted while this process appended to it."""
        if os.fstat(fd).st_nlink:
            return
        warn("deleted", "a file of the outbox was deleted while in use; its events are kept")
        with self._lock:
            for line in os.pread(fd, size, 0).splitlines(keepends=True):
                self._in_memory(line)

    # Memory

    def _in_memory(self, line: bytes) -> None:
        if self.in_memory < MEMORY_EVENTS:
            self._memory.append(line)
        else:  # the newest event: earlier ones are safe, and may be on their way already
            self.dropped += 1

    def _spill(self) -> None:
        """Write the events in memory to disk, some at a time.

        `append` does not touch the segment meanwhile, and does not wait for it either.
        """
        try:
            while lines := self._next_to_spill():
                self._write(b"".join(lines))
                with self._lock:
                    for line in lines:
                        self._remove(line)
        except OSError as problem:
            self._warn(problem)
        finally:
            self._is_spilling = False

    def _next_to_spill(self) -> list[bytes]:
        with self._lock:
            first = list(islice(self._memory, SPILL_EVENTS)) or self._memory_later[:SPILL_EVENTS]
            ends = accumulate(map(len, first))
            some = [line for line, end in zip(first, ends, strict=True) if end <= self._room]
            self._is_spilling = bool(some) and HAS_LOCKS
            return some if self._is_spilling else []

    def _remove(self, line: bytes) -> bool:
        """Remove an event from memory. Return whether it was there: it may have been delivered or written."""
        if self._memory and self._memory[0] is line:
            self._memory.popleft()
            return True
        for index, each in enumerate(self._memory_later):
            if each is line:
                del self._memory_later[index]
                return True
        return False

    def _from_memory(self, fresh_only: bool) -> Segment | None:
        with self._lock:
            lines = list(islice(self._memory, SPILL_EVENTS))
        if lines:
            return _MemorySegment(self, lines, NEVER)
        previous = self._memory_postponed
        if self._memory_later and not fresh_only and previous.until <= time.monotonic():
            return _MemorySegment(self, self._memory_later[:SPILL_EVENTS], previous)
        return None

    def _warn(self, problem: OSError) -> None:
        text = "cannot use the outbox %s (IMPACT_OUTBOX): %s"
        warn("outbox", text, self._folder, problem.strerror or problem)


class _MemorySegment(Segment):
    """Events that no disk has taken."""

    def __init__(self, outbox: Outbox, lines: list[bytes], previous: Postponed) -> None:
        super().__init__((line[:-1] for line in lines), previous)
        self._outbox = outbox
        self._given = lines

    def keep(self, lines: Collection[bytes]) -> None:
        """Events that are kept have their next run after all others."""
        with self._outbox._lock:
            for line in self._given:
                if self._outbox._remove(line) and line[:-1] in lines:
                    self._outbox._memory_later.append(line)

    def postpone(self, record: Postponed) -> None:
        self._outbox._memory_postponed = record
