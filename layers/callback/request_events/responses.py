"""What the service's answer, or somebody else's, says of the events that were sent."""

import http.client
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from request_events.limits import AHEAD_SECONDS

SERVICE_HEADER = "Impact-Service"
"""By which the service names itself in its answers; those of its first versions do not have it."""
ID = re.compile(r"[0-9a-f]{8,64}", flags=re.ASCII)
RETRY_AFTER_SECONDS_MAX = 3600.0
EARLY_SECONDS_MAX = 3600.0
"""So long at most an event that came too early waits for its next try."""
EARLY_SECONDS = 60.0
"""The same where it is not known by how much it was early."""
EARLY_SECONDS_MIN = 10.0
"""And so long at least: `Date` and the clock that judged an event may differ."""

_TOO_LARGE = 413
_BAD_INPUT = (400, 422)
_ADVICE = {
    401: "check IMPACT_SERVICE_TOKEN",
    403: "check IMPACT_SERVICE_TOKEN",
    407: "check the proxy's user and password",
    408: "it is busy",
    429: "it is busy",
}
_GATEWAY_SAYS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
}
"""API Gateway's own words, which have nothing to do with what is in a batch. Not its 5xx: an event could be
what a function fails at."""

Lines = list[bytes]


@dataclass
class BatchOutcome:
    """What became of a batch: what is to be sent again, in which parts, and what never can be delivered."""

    again: list[Lines] = field(default_factory=list)
    rejected: list[tuple[bytes, Any]] = field(default_factory=list)
    early: list[tuple[bytes, float]] = field(default_factory=list)
    """Events whose time is too far ahead by now, and in how many seconds it is not any more."""
    problem: str = ""
    """Why the batch is to be sent again after a while; empty where the service took its decision."""
    retry_after: float = 0.0
    is_foreign: bool = False
    """Whether it is not the service's own word, so that it may be about what is in the batch."""


def parse_response(lines: Lines, status: int, headers: http.client.HTTPMessage, body: bytes) -> BatchOutcome:
    """Tell from an answer what became of a batch. Nothing counts as taken that it does not say."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and status in (200, 503):
        answer = _taken(lines, content) if status == 200 else _partly_taken(lines, content)
        if answer is not None:
            answer.retry_after = _retry_after(headers)
            _spare_early(answer, headers)
            return answer
    if status in (200, *_BAD_INPUT) and (broken := [line for line in lines if not _is_json(line)]):
        whole = [line for line in lines if line not in broken]
        return BatchOutcome([whole] if whole else [], [(line, "incomplete") for line in broken])
    is_service = _is_service(content, headers)
    # Others answer 400, 413 and 422 as well: only the service's own words, with reasons, refuse for good.
    if status in (_TOO_LARGE, *_BAD_INPUT) and is_service:
        if _details(content):
            answer = _find_refused(lines, status, content)
            _spare_early(answer, headers)
            return answer
        is_service = False  # which would have said why
    advice = _ADVICE.get(status, "check IMPACT_SERVICE_URL" if status < 500 else "it will recover")
    return BatchOutcome(
        [lines],
        problem=f"the service answers {status} ({advice})",
        retry_after=_retry_after(headers),
        is_foreign=not (is_service or status == 407 or _is_gateways(status, content)),
    )


def _is_service(content: object, headers: http.client.HTTPMessage) -> bool:
    """Tell whether an answer that is not a 2xx is the service's own.

    The header says so, or the exact shape of an error: the service's first versions send no header.
    An `error` with a `code` says nothing: Google, Azure, OpenAI and many gateways answer that.
    """
    error = content.get("error") if isinstance(content, dict) else None
    if not isinstance(error, dict):
        return False
    if ID.fullmatch(headers.get(SERVICE_HEADER, "")):
        return "code" in error
    texts = (error.get("code"), error.get("message"))
    return (
        error.keys() == {"code", "message", "details"}
        and _are_texts(texts)
        and _are_details(error["details"])
    )


def _are_details(details: object) -> bool:
    return isinstance(details, list) and all(
        isinstance(each, dict) and _are_texts((each.get("field"), each.get("message"))) for each in details
    )


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def ahead(headers: http.client.HTTPMessage, sent: float, received: float) -> float | None:
    """Seconds by which our clock is ahead of the service's, negative if behind; None if it does not say.

    `sent` and `received` are our times, in seconds since 1970: what the answer took is no difference.
    """
    date = _date(headers)
    if date is None:
        return None
    theirs = date.timestamp()
    if sent > theirs + 1:
        return sent - theirs
    return min(0.0, received - theirs)


def _is_gateways(status: int, content: object) -> bool:
    return status in _GATEWAY_SAYS and content == {"message": _GATEWAY_SAYS[status]}


def _taken(lines: Lines, content: dict[str, Any]) -> BatchOutcome | None:
    rejected = _named(lines, content.get("rejected"))
    if rejected is None or _stored(content) + len(rejected) != len(lines):
        return None
    return BatchOutcome(rejected=[(lines[index], errors) for index, errors in rejected.items()])


def _partly_taken(lines: Lines, content: dict[str, Any]) -> BatchOutcome | None:
    again = _named(lines, content.get("retry"))
    rejected = _named(lines, content.get("rejected"))
    if not again or rejected is None or _stored(content) + len(rejected | again) != len(lines):
        return None
    return BatchOutcome(
        [[lines[index] for index in again]],
        [(lines[index], errors) for index, errors in rejected.items() if index not in again],
        problem="the service is short of storage (503)",
    )


def _stored(content: dict[str, Any]) -> float:
    """How many events an answer says are stored; NaN, which equals no number, where it does not say."""
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


def halves(lines: Lines) -> list[Lines]:
    """Two parts of some events; the first one last, as they are taken from the end."""
    middle = len(lines) // 2
    return [lines[middle:], lines[:middle]]


def _find_refused(lines: Lines, status: int, content: object) -> BatchOutcome:
    """Find the event that a batch was refused for."""
    if len(lines) == 1:
        return BatchOutcome(rejected=[(lines[0], _details(content) or f"HTTP {status}")])
    return BatchOutcome(again=halves(lines))


def _details(content: object) -> object:
    error = content.get("error") if isinstance(content, dict) else None
    return error.get("details") if isinstance(error, dict) else None


def _spare_early(answer: BatchOutcome, headers: http.client.HTTPMessage) -> None:
    """Keep what is refused for its time only, because that is still to come: it is right, a clock is not."""
    date = _date(headers)
    rejected, answer.rejected = answer.rejected, []
    for line, errors in rejected:
        seconds = 0.0
        if _is_about_time_only(errors):
            seconds = _seconds_early(line, date.timestamp()) if date else _said_to_be_ahead(errors)
        if seconds > 0:
            answer.early.append((line, min(seconds, EARLY_SECONDS_MAX)))
        else:
            answer.rejected.append((line, errors))


def _is_about_time_only(errors: object) -> bool:
    return (
        isinstance(errors, list)
        and bool(errors)
        and all(isinstance(error, dict) and error.get("field") == "ts" for error in errors)
    )


def _seconds_early(line: bytes, now: float) -> float:
    """In how many seconds the service will take an event; 0 if its time is no reason not to take it."""
    try:
        ts = datetime.fromisoformat(json.loads(line)["ts"].upper())
        time = (ts if ts.tzinfo else ts.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return 0.0
    if time <= now:  # too old: by days
        return 0.0
    return max(EARLY_SECONDS_MIN, time - AHEAD_SECONDS - now + 1)


def _said_to_be_ahead(errors: list[Any]) -> float:
    """The same by the service's words, where its answer has no `Date`."""
    return EARLY_SECONDS if any("ahead" in str(error.get("message")) for error in errors) else 0.0


def _date(headers: http.client.HTTPMessage) -> datetime | None:
    try:
        date = parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _retry_after(headers: http.client.HTTPMessage) -> float:
    """Seconds, from a number or from an HTTP date."""
    text = headers.get("Retry-After", "").strip()
    try:
        if text.isdecimal():
            seconds = float(text)
        else:
            now = _date(headers) or datetime.now(UTC)  # by the clock that the answer was written by
            seconds = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), RETRY_AFTER_SECONDS_MAX)
