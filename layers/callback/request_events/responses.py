"""Reads from an HTTP response, the service's or somebody else's, what became of a batch of events."""

import http.client
import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from request_events.limits import AHEAD_SECONDS

SERVICE_HEADER = "Impact-Service"  # by which the service names itself, but for its first versions
ID = re.compile(r"[0-9a-f]{8,64}", flags=re.ASCII)
RETRY_AFTER_SECONDS_MAX = 3600.0
EARLY_SECONDS_MAX = 3600.0  # an event that came too early waits at most this long for its next try
EARLY_SECONDS = 60.0  # it waits this long where the response does not tell by how much it was early
EARLY_SECONDS_MIN = 10.0  # and at least this long: `Date` and the clock that checked the event may differ

_TOO_LARGE = 413
_BAD_INPUT = (400, 422)
_ADVICE = {
    **dict.fromkeys((401, 403), "check IMPACT_SERVICE_TOKEN"),
    407: "check the proxy's user and password",
    **dict.fromkeys((408, 429), "it is busy"),
}
_GATEWAY_SAYS = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests"}
"""API Gateway's own responses, which do not depend on the events. Its 5xx may: an event can crash code."""

Lines = list[bytes]


@dataclass
class BatchOutcome:
    """What became of a batch. Events that are in none of the lists are delivered."""

    again: list[Lines] = field(default_factory=list)  # to send again, in these parts, the last part first
    rejected: list[tuple[bytes, Any]] = field(default_factory=list)  # each with the reason
    early: list[tuple[bytes, float]] = field(default_factory=list)  # each with the seconds until it is taken
    problem: str = ""  # why events are to be sent again after a pause; empty if the service decided on them
    retry_after: float = 0.0  # seconds that the response asks to wait
    is_foreign: bool = False  # not the service's own response: something on the way may block the events


def parse_response(lines: Lines, status: int, headers: http.client.HTTPMessage, body: bytes) -> BatchOutcome:
    """Read what became of a batch. No event counts as delivered unless the response says so."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and status in (200, 503):
        outcome = _delivered(lines, content) if status == 200 else _partly_delivered(lines, content)
        if outcome is not None:
            outcome.retry_after = _retry_after(headers)
            _keep_early(outcome, headers)
            return outcome
    if status in (200, *_BAD_INPUT) and (broken := [line for line in lines if not _is_json(line)]):
        whole = [line for line in lines if line not in broken]
        return BatchOutcome([whole] if whole else [], [(line, "incomplete") for line in broken])
    is_service = _is_service(content, headers)
    # Gateways respond 400, 413 and 422 as well: only the service rejects events, and it gives reasons.
    if status in (_TOO_LARGE, *_BAD_INPUT) and is_service:
        if reason := _details(content):  # divide the batch until the event that is wrong is alone
            alone = BatchOutcome(rejected=[(lines[0], reason)])
            outcome = BatchOutcome(again=halves(lines)) if len(lines) > 1 else alone
            _keep_early(outcome, headers)
            return outcome
        is_service = False  # the service would have given reasons
    is_gateways = status in _GATEWAY_SAYS and content == {"message": _GATEWAY_SAYS[status]}
    advice = _ADVICE.get(status, "check IMPACT_SERVICE_URL" if status < 500 else "it will recover")
    return BatchOutcome(
        [lines],
        problem=f"the service answers {status} ({advice})",
        retry_after=_retry_after(headers),
        is_foreign=not (is_service or is_gateways or status == 407),
    )


def _is_service(content: object, headers: http.client.HTTPMessage) -> bool:
    """Whether a response that is not a 2xx is the service's own.

    The header tells, or the exact shape of an error: the first versions of the service send no header. An
    `error` with a `code` tells nothing: Google, Azure, OpenAI and many gateways respond so.
    """
    error = content.get("error") if isinstance(content, dict) else None
    if not isinstance(error, dict):
        return False
    if ID.fullmatch(headers.get(SERVICE_HEADER, "")):
        return "code" in error
    details = error.get("details")
    return (
        error.keys() == {"code", "message", "details"}
        and _has_texts(error, "code", "message")
        and isinstance(details, list)
        and all(isinstance(each, dict) and _has_texts(each, "field", "message") for each in details)
    )


def _has_texts(values: dict[str, Any], *names: str) -> bool:
    return all(isinstance(values.get(name), str) for name in names)


def clock_ahead(headers: http.client.HTTPMessage, sent: float, received: float) -> float | None:
    """Seconds by which this machine's clock is ahead of the service's, negative if behind; None if unknown.

    `sent` and `received` are by this machine's clock, in seconds since 1970.
    """
    date = _date(headers)
    if date is None:
        return None
    theirs = date.timestamp()
    if sent > theirs + 1:
        return sent - theirs
    return min(0.0, received - theirs)


def _delivered(lines: Lines, content: dict[str, Any]) -> BatchOutcome | None:
    rejected = _named(lines, content.get("rejected"))
    if rejected is None or _stored(content) + len(rejected) != len(lines):
        return None
    return BatchOutcome(rejected=[(lines[index], errors) for index, errors in rejected.items()])


def _partly_delivered(lines: Lines, content: dict[str, Any]) -> BatchOutcome | None:
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
    """How many events the service has stored; NaN, which equals no number, if that is missing or invalid."""
    created, duplicates = content.get("created"), content.get("duplicates")
    if type(created) is int and type(duplicates) is int and min(created, duplicates) >= 0:
        return created + duplicates
    return math.nan


def _named(lines: Lines, entries: object) -> dict[int, Any] | None:
    """The errors of the events that a part of the response names, by index. None if the part is invalid."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    indexes = [entry.get("index") for entry in entries]
    if not all(type(index) is int and 0 <= index < len(lines) for index in indexes):
        return None
    return {entry["index"]: entry.get("errors") for entry in entries}


def _is_json(line: bytes) -> bool:
    """Whether a line is JSON. One that is not makes the whole batch invalid."""
    try:
        json.loads(line.decode())
    except (ValueError, RecursionError):
        return False
    return True


def halves(lines: Lines) -> list[Lines]:
    """The halves of a batch, the first half last: parts are sent from the end of the list."""
    middle = len(lines) // 2
    return [lines[middle:], lines[:middle]]


def _details(content: object) -> object:
    error = content.get("error") if isinstance(content, dict) else None
    return error.get("details") if isinstance(error, dict) else None


def _keep_early(outcome: BatchOutcome, headers: http.client.HTTPMessage) -> None:
    """Move events that were rejected only because they are ahead: they are valid, and a clock is wrong."""
    date = _date(headers)
    rejected, outcome.rejected = outcome.rejected, []
    for line, errors in rejected:
        seconds = 0.0
        if _is_about_time_only(errors):
            seconds = _seconds_early(line, date.timestamp()) if date else _said_to_be_ahead(errors)
        if seconds > 0:
            outcome.early.append((line, min(seconds, EARLY_SECONDS_MAX)))
        else:
            outcome.rejected.append((line, errors))


def _is_about_time_only(errors: object) -> bool:
    listed = errors if isinstance(errors, list) else []
    return bool(listed) and all(isinstance(each, dict) and each.get("field") == "ts" for each in listed)


def _seconds_early(line: bytes, now: float) -> float:
    """In how many seconds the service will take an event; 0 if its time is not what is wrong."""
    try:
        ts = datetime.fromisoformat(json.loads(line)["ts"].upper())
        time = (ts if ts.tzinfo else ts.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return 0.0
    if time <= now:  # rejected as too old
        return 0.0
    return max(EARLY_SECONDS_MIN, time - AHEAD_SECONDS - now + 1)


def _said_to_be_ahead(errors: list[Any]) -> float:
    """The same by the service's message, where the response has no `Date`."""
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
            now = _date(headers) or datetime.now(UTC)  # by the clock of whoever wrote the response
            seconds = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), RETRY_AFTER_SECONDS_MAX)
