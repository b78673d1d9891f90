"""Scan the whole ledger for the events of one user; a stopped scan continues where it was.

The scan has parts, which are segments of DynamoDB's Scan. A file keeps which parts are done, so that the next
run repeats only the parts that were interrupted. The file contains no user id and no key; its name is a
digest.
"""

import json
import math
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any

from impact.types import WireItem

SEGMENT_BYTES = 64 * 2**20
"""Approximate size of a part: 64 pages of a Scan."""
SEGMENTS_MAX = 1_000_000
"""DynamoDB's limit of segments."""
WORKERS = 16
"""Parts scanned at a time."""


@dataclass
class Position:
    """Which parts of a ledger have been scanned for a user."""

    path: Path
    segments: int
    done: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, table: Any, user_id: str) -> "Position":
        """Load the position that an earlier run saved, or begin. `table` is the response of DescribeTable."""
        path = _folder() / f"{_digest(table, user_id)}.json"
        try:
            saved = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            wanted = math.ceil(table["TableSizeBytes"] / SEGMENT_BYTES)
            return cls(path, segments=min(max(WORKERS, wanted), SEGMENTS_MAX))
        return cls(path, saved["segments"], set(saved["done"]))

    def note(self, segment: int) -> None:
        """Save that a part is done, in a file that only this user of the machine can read."""
        self.done.add(segment)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"segments": self.segments, "done": sorted(self.done)}, file)
        new.replace(self.path)

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def scan(
    client: Any, table: str, user_id: str, position: Position, on_page: Callable[[list[WireItem]], None]
) -> Iterator[int]:
    """Pass the keys of the user's events to `on_page`, page by page, and yield each part once it is done.

    Several threads call `on_page`. Reads are eventually consistent: events of the last second may be missing.
    Raises BotoCoreError, ClientError, and what `on_page` raises.
    """

    noting = Lock()

    def scan_segment(segment: int) -> int:
        pages = client.get_paginator("scan").paginate(
            TableName=table,
            Segment=segment,
            TotalSegments=position.segments,
            FilterExpression="userId = :u",
            ExpressionAttributeValues={":u": {"S": user_id}},
            ProjectionExpression="dayShard, userEvent",
        )
        for page in pages:
            on_page(page["Items"])
        with noting:
            position.note(segment)
        return segment

    left = [segment for segment in range(position.segments) if segment not in position.done]
    random.shuffle(left)  # neighbouring segments share a partition of DynamoDB, whose reads are limited
    with ThreadPoolExecutor(WORKERS) as workers:
        yield from workers.map(scan_segment, left)


def _folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "impact-service" / "erase"


def _digest(table: Any, user_id: str) -> str:
    """A table that was recreated under the same name has another digest."""
    whose = [table["TableArn"], str(table["CreationDateTime"]), user_id]
    return blake2b(json.dumps(whose).encode(), digest_size=16).hexdigest()
