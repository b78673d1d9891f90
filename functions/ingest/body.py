"""The body of a POST: its size and its JSON. The events in it are validated elsewhere."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from impact.http import Event, HttpError, body_bytes, header, not_json
from request_events.limits import BODY_BYTES_MAX, EVENTS_MAX


def read_body(event: Event) -> Any:
    """Read the body's JSON, with its numbers exactly as written. Raises HttpError."""
    if header(event, "content-encoding").strip().lower() not in ("", "identity"):
        message = "Send plain JSON, without a Content-Encoding."
        raise HttpError(415, "content_encoding", message, [_reason("Content-Encoding", "is not supported")])
    raw = body_bytes(event)
    if len(raw) > BODY_BYTES_MAX:
        message = f"A body holds at most {BODY_BYTES_MAX} bytes."
        raise HttpError(413, "too_large", message, [_reason("body", f"has {len(raw)} bytes")])
    try:
        text = raw.decode("utf-8-sig")
        body = json.loads(text, parse_float=_decimal, parse_int=_integer, parse_constant=Decimal)
    except (ValueError, RecursionError):
        raise not_json() from None
    if isinstance(body, list) and not body:
        raise HttpError(422, "invalid", "The array holds no event.", [_reason("events", "must not be empty")])
    if isinstance(body, list) and len(body) > EVENTS_MAX:
        message = f"An array holds at most {EVENTS_MAX} events."
        raise HttpError(413, "too_many", message, [_reason("events", f"has {len(body)} elements")])
    return body


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what decimal can hold
        return Decimal("Infinity")


def _integer(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:  # more digits than Python reads
        return Decimal("Infinity")


def _reason(field: str, message: str) -> dict[str, str]:
    return {"field": field, "message": message}
