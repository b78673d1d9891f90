"""Requests and answers of the HTTP API (payload format 2.0), in the contract's JSON."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import simplejson

from impact.types import FieldErrors

Event = dict[str, Any]
Response = dict[str, Any]

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class HttpError(Exception):
    """An answer that is not a 2xx: its status, a code for programs, a message and details for people."""

    def __init__(self, status: int, code: str, message: str, details: FieldErrors | None = None):
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, "details": details or []}}

    def response(self) -> Response:
        return respond(self.status, self.body)


def not_json() -> HttpError:
    return HttpError(400, "not_json", "The body is not JSON.", [{"field": "body", "message": "is not JSON"}])


def respond(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Answer in JSON; a Decimal is written as the number it is, digit by digit."""
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", **(headers or {})},
        "body": _json(body),
    }


def sent_bytes(value: Any) -> int:
    """Bytes that a value takes in a response of Lambda's: JSON, in a string of another JSON.

    So each quotation mark and each backslash takes two. All else is UTF-8: Lambda's runtimes escape nothing
    more, from Python 3.12 on.
    """
    text = _json(value)
    return len(text.encode()) + text.count('"') + text.count("\\")


def _json(value: Any) -> str:
    """Write JSON as it is, in UTF-8 half as large as with escapes; a lone surrogate has no other form."""
    text = simplejson.dumps(value, separators=(",", ":"), use_decimal=True, ensure_ascii=False)
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def header(event: Event, name: str) -> str:
    for key, value in (event.get("headers") or {}).items():
        if key.lower() == name:
            return str(value)
    return ""


def body_bytes(event: Event) -> bytes:
    """Take the body as it was sent. Raises HttpError (400) where API Gateway's base64 is none."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise not_json() from None


def query(event: Event) -> dict[str, str]:
    return event.get("queryStringParameters") or {}
