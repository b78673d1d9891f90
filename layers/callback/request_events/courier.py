"""Delivers what the outbox holds, from a thread of its own, for as long as it takes."""

import http.client
import json
import math
import os
import random
import ssl
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from request_events.notices import warn
from request_events.outbox import SEGMENT_BYTES, Outbox
from request_events.status import Status

BATCH_EVENTS_MAX = 500
"""The service takes no more at once."""
BODY_BYTES_MAX = 900_000
ANSWER_SECONDS = 25.0
"""So long an answer is waited for. The service needs up to 20 s to say which events it has stored: who does
not wait for that sends all of them again, and again."""
ANSWER_BYTES_MAX = 6_000_000
"""No Lambda answers more."""
BACKOFF_SECONDS = 0.5
BACKOFF_SECONDS_MAX = 60.0
RETRY_AFTER_SECONDS_MAX = 3600.0
LOOK_SECONDS = 1.0
"""How often the size of a segment is looked at while nothing can be delivered."""
REPORT_SECONDS = 10.0
"""How often it is looked at how much waits in the outbox."""
HURRY_SECONDS = 0.05
"""How soon an event is sent once the process is about to end."""

_TOO_LARGE = 413
_BAD_INPUT = (400, 422)
_ADVICE = {
    401: "check IMPACT_SERVICE_TOKEN",
    403: "check IMPACT_SERVICE_TOKEN",
    408: "it is busy",
    429: "it is busy",
}

Lines = list[bytes]


@dataclass
class Answer:
    """What became of a batch: what is to be sent again, in which parts, and what never can be delivered."""

    again: list[Lines] = field(default_factory=list)
    rejected: list[tuple[bytes, Any]] = field(default_factory=list)
    problem: str = ""
    """Why the batch is to be sent again after a while; empty where the service took its decision."""
    retry_after: float = 0.0


class Courier:
    """Sends the outbox's events to the service, in batches, again and again until it has them."""

    def __init__(
        self,
        outbox: Outbox,
        url: str,
        token: str,
        *,
        batch_size: int = 100,
        flush_seconds: float = 1.0,
        timeout: float = ANSWER_SECONDS,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// URL")
        self._outbox = outbox
        self._address = (parts.hostname, parts.port)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._timeout = timeout
        self._batch_size = min(batch_size, BATCH_EVENTS_MAX)
        self._flush_seconds = flush_seconds
        self._status = Status(outbox, flush_seconds)
        self._connection: http.client.HTTPConnection | None = None
        self._thread: threading.Thread | None = None
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def start(self) -> None:
        """Deliver in the background from now on, first what a former process has left."""
        self._forked = False
        self._thread = threading.Thread(target=self._run, name="impact-courier", daemon=True)
        self._thread.start()

    def send(self, line: bytes) -> None:
        """Accept one event, a line of JSON. It is safe on disk when this returns; it never waits for more."""
        full = self._outbox.append(line) == self._batch_size and self._idle
        if full or self._outbox.size >= SEGMENT_BYTES:
            self._wake.set()
        if self._forked:
            self.start()

    def flush(self) -> bool:
        """Deliver now, in this thread, trying once; tell whether nothing is left."""
        with self._delivering:
            return self._deliver_all(patient=False)

    def hurry(self) -> None:
        """Send at once from now on, what waits and what comes: the process is about to end."""
        self._flush_seconds = min(self._flush_seconds, HURRY_SECONDS)
        self._hurried = True
        self._wake.set()

    def close(self, seconds: float) -> None:
        """Deliver what can be delivered within so many seconds. The rest stays in the outbox."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                return
            self._report()
        self._disconnect()
        self._outbox.close()

    def _reset(self) -> None:
        self._wake = threading.Event()
        self._delivering = threading.Lock()
        self._idle = self._closing = self._hurried = self._forked = False
        self._report_at = -REPORT_SECONDS

    def _after_fork(self) -> None:
        """A fork takes no threads along, and its parent's connection is not its own."""
        in_background = self._forked or self._thread is not None
        self._outbox.after_fork()
        self._connection = self._thread = None
        self._reset()
        self._forked = in_background

    def _run(self) -> None:
        failures = 0
        while True:
            closing = self._closing  # read first: what is appended before it is set is still delivered
            try:
                with self._delivering:
                    self._deliver_all(patient=True)
                failures = 0
            except Exception as error:  # whatever it is, it must not end the deliveries
                name = type(error).__name__  # and no more of it: its text can hold the token
                warn(name, "delivery failed (%s) and is tried again", name)
                if not self._closing:
                    self._wake.wait(_backoff(failures, BACKOFF_SECONDS))
                failures += 1
            if closing:
                return
            self._rest()

    def _rest(self) -> None:
        """Wait for a full batch, or for as long as an event may wait for others."""
        self._idle = True  # set first: from here on `send` wakes us, and it could not before
        if not self._closing and self._outbox.count < self._batch_size:
            self._wake.wait(self._flush_seconds)
        self._idle = False
        self._wake.clear()

    def _deliver_all(self, patient: bool) -> bool:
        self._outbox.release()
        while (segment := self._outbox.take()) is not None:
            try:
                self._look()
                for batch in segment.batches(self._batch_size, BODY_BYTES_MAX):
                    if not self._deliver(batch, patient):
                        return False
                segment.delete()
            finally:
                segment.close()
        self._look()
        return True

    def _deliver(self, batch: Lines, patient: bool) -> bool:
        """Send a batch until every event of it is taken or put aside, or until there is no time left."""
        parts = [batch]
        attempt = 0
        while parts:
            part = parts.pop()
            answer = self._send(part)
            for line, reason in answer.rejected:
                _report(line, reason, is_kept=self._outbox.put_aside(line, reason))
            self._status.delivered(len(part) - len(answer.rejected) - sum(map(len, answer.again)))
            parts += answer.again
            if answer.problem:
                warn(answer.problem, "%s; no event is lost, delivery is tried again", answer.problem)
                if not patient or not self._pause(_backoff(attempt, answer.retry_after)):
                    return False
                attempt += 1
        return True

    def _pause(self, seconds: float) -> bool:
        """Wait before the next try, but not when in a hurry; False if there is to be none."""
        end = time.monotonic() + seconds
        while not self._closing:
            remaining = end - time.monotonic()
            if remaining <= 0 or self._hurried:
                self._hurried = False  # one try at once, then as always
                return True
            self._wake.wait(min(remaining, LOOK_SECONDS))
            self._wake.clear()
            self._look()
        return False

    def _look(self) -> None:
        """See after the outbox while deliveries go on, or fail: segments stay small, and people are told."""
        if self._outbox.size >= SEGMENT_BYTES or self._outbox.waits_in_memory:
            self._outbox.release()
        if time.monotonic() >= self._report_at:
            self._report()

    def _report(self) -> None:
        self._report_at = time.monotonic() + REPORT_SECONDS
        try:
            self._status.report(time.time())
        except Exception as error:  # what nobody can be told is no reason not to deliver
            name = type(error).__name__
            warn(f"report {name}", "cannot tell how much waits in the outbox (%s)", name)

    def _send(self, lines: Lines) -> Answer:
        try:
            status, headers, body = self._post(b"[" + b",".join(lines) + b"]")
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            problem = f"no answer from {self._address[0]} ({type(error).__name__}): check IMPACT_SERVICE_URL"
            return Answer([lines], problem=problem)
        return judge(lines, status, headers, body)

    def _post(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        if self._connection is not None:
            try:
                return self._exchange(self._connection, body)
            except (ConnectionError, http.client.BadStatusLine):
                self._disconnect()  # the server had closed it while it was idle
        host, port = self._address
        if self._tls:
            self._connection = http.client.HTTPSConnection(
                host, port, timeout=self._timeout, context=self._tls
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
        return self._exchange(self._connection, body)

    def _exchange(
        self, connection: http.client.HTTPConnection, body: bytes
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection.request("POST", self._path, body, self._headers)
        response = connection.getresponse()
        content = response.read(ANSWER_BYTES_MAX)
        if response.will_close or not response.isclosed():
            self._disconnect()
        return response.status, response.headers, content

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def judge(lines: Lines, status: int, headers: http.client.HTTPMessage, body: bytes) -> Answer:
    """Tell from the service's answer what became of a batch. Nothing counts as taken that it does not say."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and status in (200, 503):
        answer = _taken(lines, content) if status == 200 else _partly_taken(lines, content)
        if answer is not None:
            answer.retry_after = _retry_after(headers)
            return answer
    if status in (200, *_BAD_INPUT) and (broken := [line for line in lines if not _is_json(line)]):
        whole = [line for line in lines if line not in broken]
        return Answer([whole] if whole else [], [(line, "incomplete") for line in broken])
    # Others answer 400 and 422 as well: only the service's own words are a refusal for good.
    if status == _TOO_LARGE or (status in _BAD_INPUT and _is_ours(content)):
        return _halves(lines, status, content)
    advice = _ADVICE.get(status, "check IMPACT_SERVICE_URL" if status < 500 else "it will recover")
    return Answer(
        [lines], problem=f"the service answers {status} ({advice})", retry_after=_retry_after(headers)
    )


def _taken(lines: Lines, content: dict[str, Any]) -> Answer | None:
    rejected = _named(lines, content.get("rejected"))
    if rejected is None or _stored(content) + len(rejected) != len(lines):
        return None
    return Answer(rejected=[(lines[index], errors) for index, errors in rejected.items()])


def _partly_taken(lines: Lines, content: dict[str, Any]) -> Answer | None:
    again = _named(lines, content.get("retry"))
    rejected = _named(lines, content.get("rejected"))
    if not again or rejected is None or _stored(content) + len(rejected | again) != len(lines):
        return None
    return Answer(
        [[lines[index] for index in again]],
        [(lines[index], errors) for index, errors in rejected.items() if index not in again],
        problem="the service is short of storage (503)",
    )


def _stored(content: dict[str, Any]) -> float:
    """How many events an answer says are stored; no number that could be right where it does not."""
    created, duplicates = content.get("created"), content.get("duplicates")
    if type(created) is int and type(duplicates) is int and min(created, duplicates) >= 0:
        return created + duplicates
    return math.nan


def _named(lines: Lines, entries: object) -> dict[int, Any] | None:
    """The errors of the events that a part of an answer names by their index; None if it is no such part."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    indexes = [entry.get("index") for entry in entries]
    if not all(type(index) is int and 0 <= index < len(lines) for index in indexes):
        return None
    return {entry["index"]: entry.get("errors") for entry in entries}


def _is_json(line: bytes) -> bool:
    """Tell an event from garbage, of which a batch holds none, or several, or is no JSON at all."""
    try:
        json.loads(line.decode())
    except (ValueError, RecursionError):
        return False
    return True


def _halves(lines: Lines, status: int, content: object) -> Answer:
    """Find the event that a batch was refused for."""
    if len(lines) == 1:
        return Answer(rejected=[(lines[0], _details(content) or f"HTTP {status}")])
    middle = len(lines) // 2
    return Answer(again=[lines[middle:], lines[:middle]])


def _is_ours(content: object) -> bool:
    error = content.get("error") if isinstance(content, dict) else None
    return isinstance(error, dict) and "code" in error


def _details(content: object) -> object:
    error = content.get("error") if isinstance(content, dict) else None
    return error.get("details") if isinstance(error, dict) else None


def _report(line: bytes, reason: Any, *, is_kept: bool) -> None:
    """Log a rejected event by its id and by what is wrong with it, without anything that is in it."""
    try:
        event_id = json.loads(line).get("eventId")
    except (ValueError, AttributeError, RecursionError):
        event_id = None
    errors = reason if isinstance(reason, list) else []
    fields = sorted({str(error.get("field")) for error in errors if isinstance(error, dict)})
    warn(
        "rejected",
        "event %s is refused for good (%s); it is %s the outbox's folder rejected/",
        event_id,
        ", ".join(fields) or "not valid",
        "kept in" if is_kept else "lost, because it could not be put into",
    )


def _backoff(attempt: int, retry_after: float) -> float:
    longest = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2 ** min(attempt, 10))
    jitter = random.uniform(0, longest)  # noqa: S311  # nosec B311  # nothing secret
    return max(jitter, retry_after)


def _retry_after(headers: http.client.HTTPMessage) -> float:
    """Seconds, from a number or from an HTTP date."""
    text = headers.get("Retry-After", "").strip()
    try:
        if text.isdecimal():
            seconds = float(text)
        else:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), RETRY_AFTER_SECONDS_MAX)
