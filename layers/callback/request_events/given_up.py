"""Streams that a client gives up, and that LiteLLM does not report.

LiteLLM 1.106.2 and 1.110.2 call no log hook for a stream that its client gives up before the first part, nor,
with a cache, for /v1/messages of a model that is not Anthropic's. Providers may charge for both. For other
streams the log hook is called some milliseconds after the client has gone. So whoever sees a client go waits
for the hook, and reports the stream where it does not come.
"""

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

WAIT_SECONDS = 5.0
"""How long LiteLLM's own report is waited for. It came after 3 to 290 ms."""
WAITING_MAX = 10_000
"""How many streams may wait at once."""

Key = tuple[str, str]


class GivenUp:
    """The streams whose client has gone, until LiteLLM reports them or the wait is over.

    A stream is LiteLLM's logging object of a call; its `model_call_details` are the log hooks' `kwargs`.
    Not thread-safe: everything happens on the event loop, but for `report_all` once that has ended.
    """

    def __init__(self, report: Callable[[Any, datetime], None], is_behind: Callable[[], bool]) -> None:
        """`report` gets a stream, and when its client went (local time, as LiteLLM's own times are).

        `is_behind` tells whether LiteLLM still has reports to hand over: that of a stream may be among them.
        """
        self._report = report
        self._is_behind = is_behind
        self._waiting: dict[Key, tuple[Any, datetime]] = {}
        self._pid = os.getpid()

    def add(self, stream: Any, later: Callable[..., object]) -> None:
        """Take a stream whose client has just gone. `later` is the event loop's `call_later`."""
        key = _key(stream.model_call_details)
        if key is None or len(self._waiting) >= WAITING_MAX:
            self._report(stream, datetime.now())
        else:
            self._waiting[key] = (stream, datetime.now())
            later(WAIT_SECONDS, self._end_the_wait, key, later)

    def reported(self, details: dict[str, Any]) -> None:
        """LiteLLM reports this call itself."""
        if self._waiting and (key := _key(details)) is not None:
            self._waiting.pop(key, None)

    def report_all(self) -> None:
        """Stop waiting: the process ends. In a forked child it does nothing: the streams are its parent's."""
        while self._waiting and os.getpid() == self._pid:
            self._report(*self._waiting.popitem()[1])

    def _end_the_wait(self, key: Key, later: Callable[..., object]) -> None:
        if key not in self._waiting:
            return
        if self._is_behind():
            later(WAIT_SECONDS, self._end_the_wait, key, later)
        else:
            self._report(*self._waiting.pop(key))


def _key(details: dict[str, Any]) -> Key | None:
    """One call: a caller can choose the call id, but not the microsecond of the start."""
    call_id, start = details.get("litellm_call_id"), details.get("start_time")
    return (call_id, str(start)) if isinstance(call_id, str) and start is not None else None
