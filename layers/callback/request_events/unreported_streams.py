"""Streams that end early, and that LiteLLM does not report.

LiteLLM 1.106.2 and 1.110.2 call no log hook for a stream that its client gives up before the first part, nor,
with a cache, for /v1/messages of a model that is not Anthropic's. Of some streams that break they report
neither tokens nor a provider, as if they had refused the request. Providers may charge for all of these. For
other streams the log hook is called some milliseconds after the end. So whoever sees a stream end early waits
for the hook, and reports the stream where no event comes of it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WAIT_SECONDS = 5.0
"""How long LiteLLM's own report is waited for. It came after 3 to 290 ms."""
WAITING_MAX = 10_000
"""How many streams may wait at once."""
REPORTED = "impact_service_reported"
"""Marks a call's details: of which try a report has come. That may be before the end of a stream is seen."""

Key = tuple[str, Any]


@dataclass(frozen=True)
class Ended:
    """A stream that ended early."""

    call: Any
    """LiteLLM's logging object of the call. Its `model_call_details` are the log hooks' `kwargs`."""
    reason: BaseException
    """A cancellation or a GeneratorExit where the client has gone, else what broke the stream."""
    time: datetime
    """Local time, as LiteLLM's own times are."""


class UnreportedStreams:
    """The streams that ended early, until LiteLLM reports them or the wait is over.

    Not thread-safe: everything happens on the event loop, but for `report_all` once that has ended.
    """

    def __init__(self, report: Callable[[Ended], None], is_behind: Callable[[], bool]) -> None:
        """`is_behind` tells whether LiteLLM has reports to hand over still: a stream's may be among them."""
        self._report = report
        self._is_behind = is_behind
        self._waiting: dict[Key, Ended] = {}
        self._pid = os.getpid()

    def add(self, ended: Ended, later: Callable[..., object]) -> None:
        """Take a stream that has just ended. `later` is the event loop's `call_later`."""
        details = ended.call.model_call_details
        key = _key(details)
        if REPORTED in details and details[REPORTED] == key:
            return
        if key is None or len(self._waiting) >= WAITING_MAX:
            self._report(ended)
        else:
            self._waiting[key] = ended
            later(WAIT_SECONDS, self._end_the_wait, key, later)

    def reported(self, details: dict[str, Any]) -> None:
        """LiteLLM reports this call itself."""
        key = _key(details)
        details[REPORTED] = key
        if self._waiting and key is not None:
            self._waiting.pop(key, None)

    def report_all(self) -> None:
        """Stop waiting: the process ends. In a forked child it does nothing: the streams are its parent's."""
        while self._waiting and os.getpid() == self._pid:
            self._report(self._waiting.popitem()[1])

    def _end_the_wait(self, key: Key, later: Callable[..., object]) -> None:
        if key not in self._waiting:
            return
        if self._is_behind():
            later(WAIT_SECONDS, self._end_the_wait, key, later)
        else:
            self._report(self._waiting.pop(key))


def start_of_the_try(details: dict[str, Any]) -> Any:
    """When this try at a provider began, not the client's whole request: a datetime, or None."""
    return details.get("api_call_start_time") or details.get("start_time")


def _key(details: dict[str, Any]) -> Key | None:
    """One try. A caller can choose the call id, but not the microsecond of the start."""
    call_id, start = details.get("litellm_call_id"), start_of_the_try(details)
    return (call_id, start) if isinstance(call_id, str) and start is not None else None
