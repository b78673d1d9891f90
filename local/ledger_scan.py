"""A look at each event of the ledger for those of one user, in parts, that goes on where it was stopped.

A part is a segment of a Scan. Which ones are done stands in a file, so that a run that was stopped costs the
parts that it was in, and no more. The file names nobody: neither the user (its name is a digest) nor any key.
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
"""About so much of the table is in a part: 64 pages of a Scan."""
SEGMENTS_MAX = 1_000_000
"""DynamoDB's limit."""
WORKERS = 16
"""Parts looked at at a time."""


@dataclass
class Position:
    """Which parts of a ledger have been looked at for a user."""

    path: Path
    segments: int
    done: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, table: Any, user_id: str) -> "Position":
        """Take up the position that an earlier run left, or begin. `table`: as DescribeTable has it."""
        path = _folder() / f"{_digest(table, user_id)}.json"
        try:
            kept = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            wanted = math.ceil(table["TableSizeBytes"] / SEGMENT_BYTES)
            return cls(path, segments=min(max(WORKERS, wanted), SEGMENTS_MAX))
        return cls(path, kept["segments"], set(kept["done"]))

    def note(self, segment: int) -> None:
        """Keep that a part is done, for the eyes of this user of the machine only."""
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
    """Hand the keys of the user's events to `on_page`, page by page, and yield each part once it is done.

    Several threads call `on_page`. Reads are eventually consistent: the last second may be missing.
    Raises BotoCoreError, ClientError, and what `on_page` raises.
    """

    noting = Lock()

    def look(segment: int) -> int:
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
    random.shuffle(left)  # neighbours lie in the same partition of DynamoDB, whose reads are limited
    with ThreadPoolExecutor(WORKERS) as workers:
        yield from workers.map(look, left)


def _folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "impact-service" / "erase"


def _digest(table: Any, user_id: str) -> str:
    """A table that was made anew under the same name is another one."""
    whose = [table["TableArn"], str(table["CreationDateTime"]), user_id]
    return blake2b(json.dumps(whose).encode(), digest_size=16).hexdigest()
