"""How much waits in an outbox's folder, whichever process wrote it."""

import json
import math
import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from request_events.quarantine import REJECTED
from request_events.segment import SEGMENT_NAME
from request_events.service_folders import SERVICE

READING_SECONDS = 0.05  # how long one scan may read: it estimates the rest, which the next scans read
CHUNK_BYTES = 65_536
EVENT_BYTES = 400  # bytes of a typical event, for an estimate while nothing has been read yet


@dataclass(frozen=True)
class FolderStats:
    """What waits in one folder."""

    events: int = 0
    bytes: int = 0
    oldest: float | None = None  # since when the oldest event waits, in seconds since 1970
    rejected_bytes: int = 0
    free: float = math.inf  # bytes that the disk still has
    stranger: str | None = None  # the name of a file that is not the outbox's own, or a newer version's


@dataclass(frozen=True)
class OutboxStats:
    """What waits in the outbox's own folder, and in other folders of the same service."""

    here: FolderStats
    others: list[FolderStats]

    @property
    def events(self) -> int:
        return self.here.events + sum(each.events for each in self.others)

    @property
    def bytes(self) -> int:
        return self.here.bytes + sum(each.bytes for each in self.others)

    @property
    def oldest(self) -> float | None:
        waiting = [each.oldest for each in (self.here, *self.others) if each.oldest is not None]
        return min(waiting, default=None)


@dataclass(frozen=True)
class _Contents:
    """What is known of the first `size` bytes of a segment."""

    size: int = 0
    events: int = 0
    since: float | None = None


class FolderScanner:
    """Scans a folder again and again. Of each segment it reads only what it has not read before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, _Contents] = {}

    def scan(self) -> FolderStats:
        """Raises OSError where the folder cannot be read."""
        until = time.monotonic() + READING_SECONDS
        stranger, size, unread = None, 0, 0
        known: dict[str, _Contents] = {}
        for name, entry in _entries(self._folder):
            try:
                if not SEGMENT_NAME.fullmatch(name):
                    is_ours = name == SERVICE or name.startswith(".")
                    stranger = name if entry.is_file() and not is_ours else stranger
                    continue
                bytes_ = entry.stat().st_size
                contents = self._known.get(name, _Contents())
                if bytes_ != contents.size and time.monotonic() < until:
                    contents = _read(entry.path, contents if contents.size < bytes_ else _Contents())
            except OSError:  # delivered meanwhile, or not readable
                continue
            known[name] = contents
            size += bytes_
            unread += max(0, bytes_ - contents.size)
        self._known = known
        events = sum(contents.events for contents in known.values())
        usual = ((size - unread) / events if events else 0) or EVENT_BYTES
        waiting = [contents.since for contents in known.values() if contents.since is not None]
        return FolderStats(
            events=events + round(unread / usual),
            bytes=size,
            oldest=min(waiting, default=None),
            rejected_bytes=sum(entry.stat().st_size for _, entry in _entries(self._folder / REJECTED)),
            free=shutil.disk_usage(self._folder).free if self._folder.exists() else math.inf,
            stranger=stranger,
        )


def _entries(folder: Path) -> list[tuple[str, "os.DirEntry[str]"]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry) for entry in entries)
    except FileNotFoundError:  # not created yet
        return []


def _read(path: str, known: _Contents) -> _Contents:
    """Count the events after the known ones."""
    with open(path, "rb", buffering=0) as file:
        since = known.since if known.size else _since(os.path.basename(path), file.read(CHUNK_BYTES))
        file.seek(known.size)
        events = known.events
        last = b""
        while chunk := file.read(CHUNK_BYTES):
            text = last + chunk
            # A line that is empty, or ends with a zero byte, holds no event.
            events += chunk.count(b"\n") - text.count(b"\0\n") - text.count(b"\n\n")
            last = chunk[-1:]
        return _Contents(file.tell(), events, since)


def _since(name: str, beginning: bytes) -> float | None:
    """Since when a segment's first event waits, by its `ts`, but not before the segment was created."""
    if not beginning:
        return None
    created = int(name[:20]) / 1e9
    try:
        ts = datetime.fromisoformat(json.loads(beginning.partition(b"\n")[0])["ts"])
        return max(created, (ts if ts.tzinfo else ts.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return created
