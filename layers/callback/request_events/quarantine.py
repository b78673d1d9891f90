"""The outbox's folder `rejected/`: events that the service will never take, each with the reason.

A file a day, one JSON object a line: `time`, `reason`, `event`.
"""

import contextlib
import errno
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from request_events.file_lock import lock

REJECTED = "rejected"
REJECTED_BYTES = 1_000_000_000  # how much the folder may hold


def record(line: bytes, reason: object, now: datetime) -> bytes:
    """The line to write about an event, or about bytes that are no event."""
    known: dict[str, Any] = {"time": now.isoformat(timespec="seconds"), "reason": reason}
    try:
        text = json.dumps(known | {"event": json.loads(line)})
    except (ValueError, RecursionError):
        text = json.dumps(known | {"event": line.decode("utf-8", "replace")})
    return text.encode() + b"\n"


def write(outbox: Path, data: bytes, now: datetime) -> None:
    """Append a record to the file of the day. Raises OSError."""
    folder = outbox / REJECTED
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder / f"{now:%Y-%m-%d}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            lock(fd)  # other processes append to it too
        size = os.fstat(fd).st_size
        if os.write(fd, data) < len(data):  # the disk is full: write all or nothing
            os.ftruncate(fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(fd)
