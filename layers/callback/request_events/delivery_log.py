"""What the log says about deliveries. No line holds anything of an event but its id."""

import json
import logging
import socket
from typing import Any

from request_events.limits import AHEAD_SECONDS
from request_events.log import warn

CLOCKS_DIFFER_SECONDS = 120.0  # a difference to the service's clock of this much is logged


def log_clock_difference(seconds: float | None) -> None:
    """`seconds`: how far this machine's clock is ahead of the service's; None if that is unknown."""
    if seconds is None or abs(seconds) < CLOCKS_DIFFER_SECONDS:
        return
    what = "behind the service's: requests count for a time, or a day, that is too early"
    if seconds > 0:
        what = "ahead of the service's"
    if seconds > AHEAD_SECONDS:
        what += ": events wait until their time has come"
    text = "the clock of this machine (%s) is %d minutes %s; set it right"
    minutes = round(abs(seconds) / 60)
    warn("clock", text, socket.gethostname(), minutes, what, every=600, level=logging.ERROR)


def log_rejected(line: bytes, reason: Any, *, is_kept: bool) -> None:
    """Name the event, and the fields that the service rejected it for."""
    try:
        event_id = json.loads(line).get("eventId")
    except (ValueError, AttributeError, RecursionError):
        event_id = None
    errors = reason if isinstance(reason, list) else []
    fields = sorted({str(error.get("field")) for error in errors if isinstance(error, dict)})
    kept = "kept in" if is_kept else "lost, because it could not be put into"
    text = "event %s is rejected (%s); it is %s the outbox's folder rejected/"
    warn("rejected", text, event_id, ", ".join(fields) or "not valid", kept)


def log_blocked(problem: str, events: int) -> None:
    text = "%s, but only to some events: %d of them wait in the outbox for what is in them, while others "
    text += "get through. Does a firewall on the way do that? They are tried again, in an hour at most"
    warn(f"blocked: {problem}", text, problem, events)
