"""Pages of rows in a response, and the cursor of the next one."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from impact.http import sent_bytes
from impact.types import Item

T = TypeVar("T")

ROWS_BYTES = 5_000_000
"""Most bytes of rows in a response. Lambda's limit is 6 MB: the rest is for a total with models."""


class BadCursor(ValueError):
    """A cursor that this API did not return."""


@dataclass
class PageOfRows:
    """The rows of a page: as many as fit, and at least one."""

    rows: list[Item] = field(default_factory=list)
    room: int = field(default_factory=lambda: ROWS_BYTES)

    def add(self, row: Item) -> bool:
        """Add a row if there is room for it. Return whether there was."""
        self.room -= sent_bytes(row) + 1
        if self.rows and self.room < 0:
            return False
        self.rows.append(row)
        return True


def cursor_of(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def parse_cursor(cursor: str, parse: Callable[[Any], T]) -> T:
    """Decode a cursor, and check with `parse` what is in it. Raises BadCursor."""
    try:
        return parse(json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True)))
    except (ValueError, TypeError, RecursionError):
        raise BadCursor("is not one that this API returned") from None
