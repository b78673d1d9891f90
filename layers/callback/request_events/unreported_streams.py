"""Streams that end early, and that LiteLLM does not report.

LiteLLM 1.106.2 and 1.110.2 call no log hook for a stream whose client leaves before the first part, nor, with
a cache, for /v1/messages of a model that is not Anthropic's. Some streams that break they report without
tokens and without a provider, as if they had rejected the request. Providers may charge for all of these. For
other streams LiteLLM calls the log hook some milliseconds after the end. So the callback waits for the hook
after a stream has ended early, and reports the stream itself if the hook makes no event of it.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from request_events.cost import CLIENT_CLOSED_REQUEST, FAILURE, STREAM_HAD_BEGUN
from request_events.limits import UNKNOWN

WAIT_SECONDS = 5.0  # how long to wait for LiteLLM's own report. It came after 3 to 290 ms.
WAITING_MAX = 10_000  # how many streams may wait at once
REPORTED = "impact_service_reported"  # a field of a call's details: the try that LiteLLM has reported

Key = tuple[str, Any]


@dataclass(frozen=True)
class EndedStream:
    """A stream that ended early."""

    call: Any  # LiteLLM's logging object of the call. Its `model_call_details` are the log hooks' `kwargs`.
    reason: BaseException  # a cancellation or GeneratorExit if the client left, else what broke the stream
    time: datetime  # local time, as LiteLLM's own times are


class UnreportedStreams:
    """Streams that ended early, until LiteLLM reports them or the wait is over.

    Not thread-safe: for the event loop only, and `report_all` for when the loop has ended.
    """

    def __init__(self, report: Callable[[EndedStream], None], is_behind: Callable[[], bool]) -> None:
        """`is_behind`: whether LiteLLM still has calls to hand over. A stream's may be among them."""
        self._report = report
        self._is_behind = is_behind
        self._waiting: dict[Key, EndedStream] = {}
        self._pid = os.getpid()

    def add(self, ended: EndedStream, later: Callable[..., object]) -> None:
        """Wait for the report of a stream that has just ended. `later` is the event loop's `call_later`."""
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
        """Note that LiteLLM has reported this call."""
        key = _key(details)
        details[REPORTED] = key
        if self._waiting and key is not None:
            self._waiting.pop(key, None)

    def report_all(self) -> None:
        """Report the streams at once: the process ends. A forked child leaves them to its parent."""
        while self._waiting and os.getpid() == self._pid:
            self._report(self._waiting.popitem()[1])

    def _end_the_wait(self, key: Key, later: Callable[..., object]) -> None:
        if key not in self._waiting:
            return
        if self._is_behind():
            later(WAIT_SECONDS, self._end_the_wait, key, later)
        else:
            self._report(self._waiting.pop(key))


def as_failure(ended: EndedStream) -> dict[str, Any]:
    """What LiteLLM would hand its failure hook if it reported the stream as one that may be charged."""
    from litellm.litellm_core_utils.litellm_logging import get_standard_logging_object_payload

    details = ended.call.model_call_details
    payload = get_standard_logging_object_payload(
        kwargs=details,
        init_response_obj={},
        start_time=_start(details),
        end_time=ended.time,
        logging_obj=ended.call,
        status=FAILURE,
    )
    caching = getattr(ended.call, "caching_details", None)
    provider = details.get("custom_llm_provider") or UNKNOWN
    failure = {
        **(payload or {}),
        "stream": True,
        "cache_hit": isinstance(caching, dict) and caching.get("cache_hit") is True,
        "error_information": {**_error_of(ended.reason), "llm_provider": provider},
        STREAM_HAD_BEGUN: True,
    }
    return {**details, "standard_logging_object": failure}


def _error_of(reason: BaseException) -> dict[str, str]:
    if isinstance(reason, (asyncio.CancelledError, GeneratorExit)):
        return {"error_code": CLIENT_CLOSED_REQUEST, "error_class": "ClientDisconnected"}
    code = getattr(reason, "status_code", None)
    return {"error_code": str(code) if isinstance(code, int) else "", "error_class": type(reason).__name__}


def _start(details: dict[str, Any]) -> Any:
    """When this try at a provider began (a datetime or None), not the client's whole request."""
    return details.get("api_call_start_time") or details.get("start_time")


def _key(details: dict[str, Any]) -> Key | None:
    """Names one try. A caller can choose the call id, but not the microsecond of the start."""
    call_id, start = details.get("litellm_call_id"), _start(details)
    return (call_id, start) if isinstance(call_id, str) and start is not None else None
