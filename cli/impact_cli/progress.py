"""How far a long command is: on a terminal, one line on standard error that is rewritten."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

PAUSE_SECONDS = 0.1
_CLEAR = "\r\x1b[K"


class Progress:
    """Shows a line now and then. Where standard error is no terminal, it prints nothing."""

    def __init__(self, *, is_wanted: bool = True) -> None:
        self._is_shown = is_wanted and sys.stderr.isatty()
        self._due = 0.0

    def show(self, line: str) -> None:
        if self._is_shown and time.monotonic() >= self._due:
            self._due = time.monotonic() + PAUSE_SECONDS
            sys.stderr.write(_CLEAR + line)
            sys.stderr.flush()

    def clear(self) -> None:
        if self._is_shown:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()

    def of(self, steps: Iterable[T], what: str, *, done: int = 0) -> Iterator[T]:
        """Yield the steps; `what` follows the number of steps that are done."""
        try:
            for number, step in enumerate(steps, start=done + 1):
                self.show(f"{number:,} {what}")
                yield step
        finally:
            self.clear()
