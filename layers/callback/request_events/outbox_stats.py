"""How much waits in an outbox's folder, whoever appended it."""

import json
import math
import os
import re
import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

REJECTED = "rejected"
"""The folder, within the outbox, of what the service refused for good."""
SERVICE = "service.json"
"""The file, within an outbox, that says whose it is."""
SEGMENT = re.compile(r"(\d{20})-\d+-[0-9a-f]{8}\.jsonl")
"""The name of a segment: when it was made (nanoseconds since 1970), by which process, and chance."""

READING_SECONDS = 0.05
"""How long one look may read. What it does not get to is estimated, and read by the next ones."""
CHUNK_BYTES = 65_536
EVENT_BYTES = 400
"""Of a usual event: what an estimate takes where nothing has been read yet."""


@dataclass(frozen=True)
class OutboxStats:
    """What one look has found."""

    events: int = 0
    bytes: int = 0
    oldest: float | None = None
    """Since when the oldest event waits, in seconds since 1970; None where none waits."""
    rejected_bytes: int = 0
    free: float = math.inf
    """Bytes that the disk still has."""
    stranger: str | None = None
    """The name of a file that is none of ours, or a newer version's."""
    bytes_elsewhere: int = 0
    """Of the bytes, those in other folders of the service: each has a bound of its own."""

    @property
    def bytes_here(self) -> int:
        """Of the bytes, those that the outbox's own bound is for."""
        return self.bytes - self.bytes_elsewhere

    def with_others(self, others: "list[OutboxStats]") -> "OutboxStats":
        """Count also what waits for the same service in other folders."""
        elsewhere = sum(each.bytes for each in others)
        return replace(
            self,
            events=self.events + sum(each.events for each in others),
            bytes=self.bytes + elsewhere,
            oldest=min((d.oldest for d in (self, *others) if d.oldest is not None), default=None),
            bytes_elsewhere=elsewhere,
        )


@dataclass(frozen=True)
class Contents:
    """What is known of a segment: of so many bytes at its beginning."""

    size: int = 0
    events: int = 0
    since: float | None = None


class FolderScanner:
    """Looks into a folder, and reads of each segment only what it has not read before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Contents] = {}

    def scan(self) -> OutboxStats:
        """See what waits. Raises OSError where the folder cannot be read."""
        until = time.monotonic() + READING_SECONDS
        stranger, size, unread = None, 0, 0
        known: dict[str, Contents] = {}
        for name, entry in _entries(self._folder):
            try:
                if not SEGMENT.fullmatch(name):
                    is_ours = name == SERVICE or name.startswith(".")
                    stranger = name if entry.is_file() and not is_ours else stranger
                    continue
                bytes_ = entry.stat().st_size
                contents = self._known.get(name, Contents())
                if bytes_ != contents.size and time.monotonic() < until:
                    contents = _read(entry.path, contents if contents.size < bytes_ else Contents())
            except OSError:  # delivered meanwhile, or not readable: nothing that we could tell of
                continue
            known[name] = contents
            size += bytes_
            unread += max(0, bytes_ - contents.size)
        self._known = known
        events = sum(contents.events for contents in known.values())
        usual = ((size - unread) / events if events else 0) or EVENT_BYTES
        waiting = [contents.since for contents in known.values() if contents.since is not None]
        return OutboxStats(
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
    except FileNotFoundError:  # not made yet
        return []


def _read(path: str, known: Contents) -> Contents:
    """Count the events that came after those that are known."""
    with open(path, "rb", buffering=0) as file:
        since = known.since if known.size else _since(os.path.basename(path), file.read(CHUNK_BYTES))
        file.seek(known.size)
        events = known.events
        last = b""
        while chunk := file.read(CHUNK_BYTES):
            text = last + chunk
            # Zeros, or nothing, before the line break: there is no event in that line.
            events += chunk.count(b"\n") - text.count(b"\0\n") - text.count(b"\n\n")
            last = chunk[-1:]
        return Contents(file.tell(), events, since)


def _since(name: str, beginning: bytes) -> float | None:
    """Since when a segment's first event waits: from its `ts`, but never before the segment was made."""
    if not beginning:
        return None
    made = int(name[:20]) / 1e9
    try:
        ts = datetime.fromisoformat(json.loads(beginning.partition(b"\n")[0])["ts"])
        return max(made, (ts if ts.tzinfo else ts.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return made
