"""Events on disk until the service has them: appended on the event loop, delivered by any living process.

A folder holds segments, files of one JSON event a line. A process appends to a segment of its own and
holds a lock (`flock`) on it, which the kernel frees when the process ends, however it ends. A segment that
nobody locks is due for delivery; who delivers it locks it meanwhile, and deletes it in the end. So it makes
no difference whether a process has let go of a segment, or was killed; and processes may share a folder.
"""

import contextlib
import errno
import io
import json
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from request_events.log import warn
from request_events.outbox_stats import REJECTED, SEGMENT, FolderScanner, OutboxStats
from request_events.service_folders import ServiceFolders

try:
    import fcntl
except ImportError:  # Windows: without flock nothing on disk can be shared safely
    fcntl = None  # type: ignore[assignment]

SEGMENT_BYTES = 1_000_000
"""At this size a segment is let go of, also while nothing can be delivered."""
MEMORY_EVENTS = 20_000
"""How many events wait in memory while the disk takes none."""
FOLDER_BYTES = 4_000_000_000
"""How much may wait in the folder, of all processes: ten million events, which is eleven days of ten requests
a second. Time enough to mend anything; and the disk, which others need as well, does not fill without end."""
REJECTED_BYTES = 1_000_000_000
"""How much is kept of what can never be delivered."""
LINE_BYTES = 65_536
"""No event is as long by far: the most that is read at once of a file that holds something else."""
SHRINK_BYTES = 64_000_000
"""A larger file is none of ours, and is not made smaller."""
MOVES_MAX = 100
"""So often at most are lines copied within a file that is made smaller: each time waits twice for the disk.
The gap grows as lines move up, so this is enough, but where there is little to gain."""
SLOW_SECONDS = 0.05
"""A write that takes longer than this is one that the event loop should not wait for."""
SLOW_MODE_SECONDS = 10.0
"""For so long after a slow write, events go to memory first, and from there to disk by a thread."""
SPILL_EVENTS = 500


@dataclass(frozen=True)
class Postponed:
    """Of a segment that could not be delivered as a whole: when its next turn comes."""

    until: float = 0.0
    """On the monotonic clock."""
    turns: int = 0
    """How many turns in a row it was refused for what is in it."""
    answers_seen: int | None = None
    """How often the service had answered before the last failure, if it failed for want of an answer."""


class Segment:
    """Some events that are due, held by this process until it is closed."""

    def __init__(
        self,
        lines: Iterator[bytes],
        *,
        keep: Callable[[Collection[bytes]], None],
        close: Callable[[], None],
        postpone: Callable[[Postponed], None],
        before: Postponed,
        stuck: Collection[bytes] = (),
    ) -> None:
        self._lines = lines
        self.keep = keep
        """Forget all events but these: they are delivered, or put aside."""
        self.close = close
        self.postpone = postpone
        """Let it have its next turn later."""
        self.before = before
        """What came of its last turn."""
        self.stuck = stuck
        """What is no event and could not be put aside: it is kept in any case."""

    def reorder(self, how: Callable[[list[bytes]], list[bytes]]) -> None:
        """Let its events come in another order."""
        self._lines = iter(how(list(self._lines)))

    def delete(self) -> None:
        """Forget the events: they are delivered."""
        self.keep(())

    def batches(self, events: int, size: int) -> Iterator[list[bytes]]:
        """The events, in batches of at most so many, and of at most so many bytes (one event at least)."""
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


class Outbox:
    """A folder of undelivered events. `append` may be called by any thread, the rest by one at a time."""

    def __init__(self, folder: Path, *, is_default: bool = False) -> None:
        """`is_default`: nobody has named the folder, so proxies of several services may share it unawares."""
        self._folder = folder
        self._is_default = is_default
        self._folders: ServiceFolders | None = None
        self.others: tuple[Path, ...] = ()
        """Other folders whose events are delivered as well: those of the same service under another name."""
        self._lock = threading.Lock()  # held for a moment only: the event loop waits for it
        self._writing = threading.Lock()  # of the threads that write what waits in memory, or change files
        self._is_spilling = False
        self._slow_until = 0.0
        self._memory: deque[bytes] = deque()
        self._memory_later: list[bytes] = []  # of those, what was refused
        self._memory_before = Postponed()
        self._postponed: dict[str, Postponed] = {}  # by the path of a segment
        self._held: set[int] = set()  # what is being delivered
        self._fd: int | None = None  # the segment that is appended to
        self._path = folder
        self._size = 0
        self._count = 0
        self._due: deque[Path] = deque()  # what is left of the last look into the folder
        self._scanner = FolderScanner(folder)
        self._scanners: dict[Path, FolderScanner] = {}
        self._room = FOLDER_BYTES
        self._room_rejected = REJECTED_BYTES
        self.dropped = self.rejected = self.rejected_dropped = 0
        """Events that had no room; that were put aside; that had no room to be put aside."""
        if fcntl is None:
            warn("flock", "this system has no file locks: undelivered events are kept in memory only")

    def claim(self, url: str, token: str | None = None) -> ServiceFolders | None:
        """Keep the events for one service from now on; in a folder of their own if this one is another's."""
        if fcntl is None:
            return None
        self._folders = ServiceFolders(self._folder, url, token, is_default=self._is_default)
        self._folder = self._path = self._folders.own
        self._scanner = FolderScanner(self._folder)
        return self._folders

    def append(self, line: bytes) -> int:
        """Keep one event (a line of JSON); tell how many this process has kept since the last `seal`."""
        with self._lock:
            if self._memory or self._is_spilling or self.is_slow or not self._on_disk(line):
                self._in_memory(line)
            self._count += 1
            return self._count

    @property
    def count(self) -> int:
        """How many events this process has kept since the last `seal`."""
        return self._count

    @property
    def is_slow(self) -> bool:
        """Whether a write took so long a while ago that a thread should do it: see `spill`."""
        return bool(self._slow_until) and time.monotonic() < self._slow_until

    @property
    def waits_in_memory(self) -> bool:
        """Whether the disk did not take some events yet."""
        return bool(self._memory) and fcntl is not None

    @property
    def in_memory(self) -> int:
        """How many events wait in memory."""
        return len(self._memory) + len(self._memory_later)

    @property
    def is_postponed(self) -> bool:
        """Whether some events wait for a later turn."""
        return bool(self._postponed) or bool(self._memory_later)

    @property
    def size(self) -> int:
        """Bytes in the segment that this process appends to."""
        return self._size

    def spill(self) -> None:
        """Bring to disk what waits in memory, while `append` goes on. For a thread that may wait."""
        with self._writing:
            self._spill()

    def seal(self) -> None:
        """Let go of what this process has appended, so that it is due for delivery."""
        with self._writing:
            self._spill()
            with self._lock:
                self._count = 0
            if self._size:
                self._renew()

    def _renew(self) -> None:
        path, fresh = self._path, None
        with contextlib.suppress(OSError):  # the next append tries again, and tells
            path, fresh = self._create()
        with self._lock:
            full, size = self._fd, self._size
            self._path, self._fd, self._size = path, fresh, 0
        if full is not None:
            self._rescue(full, size)
            os.close(full)

    def _rescue(self, fd: int, size: int) -> None:
        """Keep the events of a segment that somebody has deleted while we appended to it."""
        if os.fstat(fd).st_nlink:
            return
        warn("deleted", "a file of the outbox was deleted while in use; its events are kept")
        with self._lock:
            for line in os.pread(fd, size, 0).splitlines(keepends=True):
                self._in_memory(line)

    def take(self, fresh_only: bool = False) -> Segment | None:
        """The oldest segment that nobody holds and whose turn it is, or None where there is none.

        One that was not deleted is due again once the others had their turn: it holds up none of them.
        `fresh_only`: not one that was refused before for what is in it.
        """
        for path in self._turns():
            before = self._postponed.get(str(path), _NEVER)
            if before.until > time.monotonic() or (fresh_only and before.turns):
                continue
            try:
                if (segment := self._hold(path, before)) is not None:
                    return segment
            except FileNotFoundError:  # delivered meanwhile
                continue
            except OSError as problem:
                self._warn(problem)
        return self._from_memory(fresh_only)

    def measure(self) -> OutboxStats:
        """See how much waits, and so how much more may come. Not for the event loop: it reads files."""
        before = self._room
        stats = self._scanner.scan()
        with self._lock:
            appended = before - self._room  # since then; the look may have seen it or not
            self._room = FOLDER_BYTES - stats.bytes - appended
        self._room_rejected = REJECTED_BYTES - stats.rejected_bytes
        self._scanners = {
            folder: self._scanners.get(folder) or FolderScanner(folder) for folder in self.others
        }
        return stats.with_others([scanner.scan() for scanner in self._scanners.values()])

    def _turns(self) -> Iterator[Path]:
        """What is left of the last look into the folder, then what a new one finds."""
        while self._due:
            yield self._due.popleft()
        self._due.extend(self._paths())
        while self._due:
            yield self._due.popleft()

    def _paths(self) -> list[Path]:
        """What is due, the oldest first. Most of many files wait for a later turn: those cost little here."""
        now, due, postponed = time.monotonic(), [], {}
        for folder in self._ours():
            for name in self._names(folder):
                path = f"{folder}{os.sep}{name}"
                before = self._postponed.get(path)
                if before is not None:
                    postponed[path] = before
                if before.until <= now if before else SEGMENT.fullmatch(name):
                    due.append((name, path))
        self._postponed = postponed
        return [Path(path) for _, path in sorted(due)]

    def _ours(self) -> list[Path]:
        """The folders to deliver from. Whose they are is seen each time: a disk may be mounted by now."""
        if self._folders is None:
            return [self._folder, *self.others]
        with contextlib.suppress(OSError):  # `append` tells of it
            self._claim()
        return [folder for folder in (self._folder, *self.others) if self._folders.is_ours(folder)]

    def _claim(self) -> None:
        """Keep what comes from now on in a folder that is ours. Raises OSError."""
        if self._folders is not None and (own := self._folders.claim()) != self._folder:
            self._folder, self._scanner = own, FolderScanner(own)

    def _names(self, folder: Path) -> list[str]:
        try:
            return os.listdir(folder) if fcntl else []
        except FileNotFoundError:  # not made yet
            return []
        except OSError as problem:
            self._warn(problem)
            return []

    def quarantine(self, line: bytes, reason: object) -> bool:
        """Keep an event that can never be delivered where people find it; tell whether there was room for it.

        Raises OSError where it could not be written, and its segment on disk still has it.
        """
        now = datetime.now(UTC)
        record: dict[str, Any] = {"time": now.isoformat(timespec="seconds"), "reason": reason}
        try:
            data = json.dumps(record | {"event": json.loads(line)})
        except (ValueError, RecursionError):
            data = json.dumps(record | {"event": line.decode("utf-8", "replace")})
        try:
            is_kept = self._keep_aside(data.encode() + b"\n", now)
        except OSError:
            with self._lock:
                if line + b"\n" not in self._memory and line + b"\n" not in self._memory_later:
                    raise
            is_kept = False  # in memory it would hold up all that came after it
        if is_kept:
            self.rejected += 1
        else:
            self.rejected_dropped += 1
        return is_kept

    def _keep_aside(self, data: bytes, now: datetime) -> bool:
        if len(data) > self._room_rejected:
            return False
        folder = self._folder / REJECTED
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / f"{now:%Y-%m-%d}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            _append(fd, data)
        finally:
            os.close(fd)
        self._room_rejected -= len(data)
        return True

    def close(self) -> None:
        """Let go of everything, and leave no empty file."""
        with self._writing, self._lock:
            if self._fd is not None:
                if not self._size:
                    self._path.unlink(missing_ok=True)
                os.close(self._fd)
            self._fd, self._size, self._count = None, 0, 0

    def after_fork(self) -> None:
        """Start anew in a child process: what was appended so far is its parent's."""
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._memory.clear()
        self._memory_later.clear()
        for fd in self._held | ({self._fd} if self._fd is not None else set()):
            os.close(fd)  # the parent's locks stay: they end when nobody has the file open
        self._held, self._fd = set(), None
        self._size = self._count = 0
        self._is_spilling = False

    def _on_disk(self, line: bytes) -> bool:
        if not fcntl or len(line) > self._room:
            return False
        try:
            self._write(line)
        except OSError as problem:
            self._warn(problem)
            return False
        return True

    def _write(self, data: bytes) -> None:
        """Write, and see how long it takes."""
        began = time.monotonic()
        try:
            self._append(data)
        finally:
            ended = time.monotonic()
            if ended - began > SLOW_SECONDS:
                self._slow_until = ended + SLOW_MODE_SECONDS

    def _in_memory(self, line: bytes) -> None:
        if self.in_memory < MEMORY_EVENTS:
            self._memory.append(line)
        else:  # the newest: all that came before are safe, and may be on their way already
            self.dropped += 1

    def _append(self, data: bytes) -> None:
        if self._fd is None:
            self._path, self._fd = self._create()
            self._size = 0
        written = os.write(self._fd, data)
        if written < len(data):  # the disk is full
            self._cut()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written
        self._room -= written

    def _cut(self) -> None:
        """Take back what was written in part; where that fails too, let go of the segment, torn as it is."""
        assert self._fd is not None
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            os.close(self._fd)
            self._fd, self._size = None, 0
            raise

    def _create(self) -> tuple[Path, int]:
        """Make a new segment, with our lock on it."""
        self._claim()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = self._folder / f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
            fd = _open_locked(path, os.O_APPEND | os.O_CREAT | os.O_EXCL)
            if fd is not None:  # else somebody took it, empty as it was, before we had locked it
                return path, fd

    def _hold(self, path: Path, before: Postponed) -> Segment | None:
        fd = _open_locked(path)
        if fd is None:
            return None
        if not os.fstat(fd).st_size:
            _forget(path, fd)
            os.close(fd)
            return None
        self._held.add(fd)
        stuck: set[bytes] = set()

        def keep(lines: Collection[bytes]) -> None:
            if kept := {*lines, *stuck}:
                _shrink(fd, kept)
            else:
                _forget(path, fd)
                self._postponed.pop(str(path), None)

        def postpone(record: Postponed) -> None:
            self._postponed[str(path)] = record

        return Segment(
            self._whole(fd, stuck),
            keep=keep,
            close=lambda: self._let_go(fd),
            postpone=postpone,
            before=before,
            stuck=stuck,
        )

    def _let_go(self, fd: int) -> None:
        self._held.discard(fd)
        os.close(fd)

    def _whole(self, fd: int, stuck: set[bytes]) -> Iterator[bytes]:
        """The events of a segment. What is none goes aside: it would hold up the rest.

        `stuck` gets what is none and could not be put aside: the disk is full.
        """
        with os.fdopen(fd, "rb", closefd=False) as file:
            while line := file.readline(LINE_BYTES):
                if line.endswith(b"\n") and b"\0" not in line and len(line) > 1:
                    yield line[:-1]  # or what only the service can tell from an event
                    continue
                rest = line.strip(b"\0\n")  # zeros stand where the disk never got what was to be there
                if not rest:
                    continue
                warn("torn", "what was written in part only is kept in the outbox's folder %s/", REJECTED)
                try:
                    self.quarantine(rest, "incomplete")
                except OSError as problem:
                    self._warn(problem)
                    stuck.add(line.removesuffix(b"\n"))

    def _from_memory(self, fresh_only: bool) -> Segment | None:
        with self._lock:
            lines = list(islice(self._memory, 500))
        if lines:
            return self._in_memory_segment(lines, Postponed())
        before = self._memory_before
        if self._memory_later and not fresh_only and before.until <= time.monotonic():
            return self._in_memory_segment(self._memory_later[:500], before)
        return None

    def _in_memory_segment(self, lines: list[bytes], before: Postponed) -> Segment:
        def keep(kept: Collection[bytes]) -> None:
            """Those that are kept have their next turn after all others."""
            with self._lock:
                for line in lines:
                    if self._memory and self._memory[0] is line:  # and not on disk meanwhile
                        self._memory.popleft()
                    elif not _remove(self._memory_later, line):
                        continue
                    if line[:-1] in kept:
                        self._memory_later.append(line)

        def postpone(record: Postponed) -> None:
            self._memory_before = record

        given = (line[:-1] for line in lines)
        return Segment(given, keep=keep, close=lambda: None, postpone=postpone, before=before)

    def _spill(self) -> None:
        """Bring to disk what had to wait in memory, a little at a time.

        `append` does not touch the segment meanwhile, and does not wait for it either.
        """
        try:
            while lines := self._next_to_spill():
                self._write(b"".join(lines))
                with self._lock:
                    for line in lines:
                        if self._memory and self._memory[0] is line:  # and not delivered meanwhile
                            self._memory.popleft()
                        else:
                            _remove(self._memory_later, line)
        except OSError as problem:
            self._warn(problem)
        finally:
            self._is_spilling = False

    def _next_to_spill(self) -> list[bytes]:
        with self._lock:
            first = list(islice(self._memory, SPILL_EVENTS)) or self._memory_later[:SPILL_EVENTS]
            ends = accumulate(map(len, first))
            some = [line for line, end in zip(first, ends, strict=True) if end <= self._room]
            self._is_spilling = bool(some) and fcntl is not None
            return some if self._is_spilling else []

    def _warn(self, problem: OSError) -> None:
        warn(
            "outbox",
            "cannot use the outbox %s (IMPACT_OUTBOX): %s",
            self._folder,
            problem.strerror or problem,
        )


_NEVER = Postponed()


def _remove(lines: list[bytes], line: bytes) -> bool:
    for index, each in enumerate(lines):
        if each is line:
            del lines[index]
            return True
    return False


def _shrink(fd: int, lines: set[bytes]) -> None:
    """Leave only these lines in a segment that we hold.

    In place, because a full disk has no room for another file. Each of them is in there at every moment, and
    nothing that nobody wrote, whoever is killed and if power is lost: lines are copied further ahead, to
    where zeros were written before, so that a copy that is not whole holds zeros; and the originals are
    overwritten only once their copies are on disk. What would cover itself in part stays where it is.
    """
    size = os.fstat(fd).st_size
    if size > SHRINK_BYTES:
        return
    data = os.pread(fd, size, 0)
    kept = deque(_found(data, lines))
    end = moves = 0  # end: of what is done
    while kept:
        start, line = kept[0]
        copies = _fitting(kept, start - end) if moves < MOVES_MAX else b""
        if copies:
            moves += 1
            covered = min(data.find(b"\n", end + len(copies) - 1) + 1 or start, start)
            for written in (_nothing(covered - end), copies):
                _overwrite(fd, written, end)
                os.fsync(fd)
            end += len(copies)
        else:
            kept.popleft()
            _overwrite(fd, _nothing(start - end), end)
            end = start + len(line)
    if end < size:
        os.ftruncate(fd, end)


def _found(data: bytes, lines: set[bytes]) -> Iterator[tuple[int, bytes]]:
    """Where these lines begin, and each with its line break."""
    file = io.BytesIO(data)
    while line := file.readline(LINE_BYTES):
        if line.removesuffix(b"\n") in lines:
            yield file.tell() - len(line), line


def _fitting(kept: deque[tuple[int, bytes]], room: int) -> bytes:
    """Take the next lines, as many as there is room for."""
    copies = b""
    while kept:
        _, line = kept[0]
        copy = line if line.endswith(b"\n") else line + b"\0\n"  # what is torn must not look whole
        if len(copies) + len(copy) > room:
            break
        copies += copy
        kept.popleft()
    return copies


def _nothing(size: int) -> bytes:
    """A line that holds no event."""
    return b"\0" * (size - 1) + b"\n" if size else b""


def _overwrite(fd: int, data: bytes, offset: int) -> None:
    if data and os.pwrite(fd, data, offset) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _forget(path: Path, fd: int) -> None:
    """Delete a segment that we hold; where its folder does not allow that, empty it."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        os.ftruncate(fd, 0)


def _append(fd: int, data: bytes) -> None:
    """Append all of it or nothing, where others append too."""
    with contextlib.suppress(OSError):  # a file system without locks
        if fcntl:
            fcntl.flock(fd, fcntl.LOCK_EX)
    size = os.fstat(fd).st_size
    if os.write(fd, data) < len(data):  # the disk is full
        os.ftruncate(fd, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _open_locked(path: Path, flags: int = 0) -> int | None:
    """Open a file and lock it; None where another process holds it, or has just deleted it."""
    fd = os.open(path, os.O_RDWR | flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            return fd
    except BlockingIOError:
        pass
    except OSError:  # a file system without locks
        os.close(fd)
        if flags & os.O_CREAT:
            path.unlink(missing_ok=True)
        raise
    os.close(fd)
    return None
