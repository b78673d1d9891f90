"""Requests and responses of the HTTP API (payload format 2.0), in JSON."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import simplejson

from impact.types import FieldErrors

Event = dict[str, Any]
Response = dict[str, Any]

_EMULATOR = ".execute-api.localhost"
_THIS_MACHINE = re.compile(r"(localhost|127\.0\.0\.1)(:[0-9]{1,5})?", re.ASCII)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class HttpError(Exception):
    """A response other than 2xx: its status, a code for programs, a message and details for people."""

    def __init__(self, status: int, code: str, message: str, details: FieldErrors | None = None):
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, "details": details or []}}

    def response(self) -> Response:
        return respond(self.status, self.body)


def not_json() -> HttpError:
    return HttpError(400, "not_json", "The body is not JSON.", [{"field": "body", "message": "is not JSON"}])


def respond(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Make a JSON response. A Decimal is written as a number, with all its digits."""
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", **(headers or {})},
        "body": _json(body),
    }


def sent_bytes(value: Any) -> int:
    """Bytes that a value takes in Lambda's response: JSON within a string of JSON.

    A quotation mark or a backslash takes two bytes there. All else is UTF-8 as it is, from Python 3.12 on.
    """
    text = _json(value)
    return len(text.encode()) + text.count('"') + text.count("\\")


def _json(value: Any) -> str:
    """Write JSON in UTF-8, half as large as with escapes. Lone surrogates are escaped: UTF-8 has none."""
    text = simplejson.dumps(value, separators=(",", ":"), use_decimal=True, ensure_ascii=False)
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def header(event: Event, name: str) -> str:
    for key, value in (event.get("headers") or {}).items():
        if key.lower() == name:
            return str(value)
    return ""


def own_origin(event: Event) -> str:
    """The origin that the browser sees. The emulator's API has no domain: a proxy before it names its own."""
    domain = str(event["requestContext"]["domainName"])
    forwarded = header(event, "x-forwarded-host")
    if domain.endswith(_EMULATOR) and _THIS_MACHINE.fullmatch(forwarded):
        return f"http://{forwarded}"
    return f"https://{domain}"


def body_bytes(event: Event) -> bytes:
    """Return the body as it was sent. Raises HttpError (400) for invalid base64."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise not_json() from None


def caller(event: Event) -> dict[str, str]:
    """Return who the authorizer says that calls: `kind`, and `userId` where it is one person.

    Raises KeyError where no authorizer was asked: then nobody's figures may be shown.
    """
    context: dict[str, str] = event["requestContext"]["authorizer"]["lambda"]
    return context


def query(event: Event) -> dict[str, str]:
    return event.get("queryStringParameters") or {}
