"""Lambda authorizer: a bearer token allows the routes of its scope. Standard library only, to start fast.

The stack holds SHA-256 digests, never a token. Several tokens can be valid at once, to rotate them.
API Gateway caches the answer by token and route.
"""

import hashlib
import hmac
import os
import re
from typing import Any

# RFC 9110 11.1 and 11.6.2: the scheme in any case, spaces, a token68.
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", flags=re.IGNORECASE | re.ASCII)


def _digests(variable: str) -> list[bytes]:
    listed = os.environ.get(variable, "").replace(",", " ").split()
    return [digest.lower().encode() for digest in listed]


_ALLOWED = {"POST": _digests("INGEST_TOKEN_HASHES"), "GET": _digests("READ_TOKEN_HASHES")}


def handler(event: dict[str, Any], context: object) -> dict[str, bool]:
    """Answer an HTTP API request authorizer (payload 2.0, simple responses)."""
    method = str(event.get("routeKey", "")).partition(" ")[0]
    return {"isAuthorized": _is_allowed(_token(event), _ALLOWED.get(method, []))}


def _token(event: dict[str, Any]) -> str:
    """Return the token of the Authorization header. Several headers, joined by commas, hold none."""
    headers = (event.get("headers") or {}).items()
    sent = [str(value) for name, value in headers if name.lower() == "authorization"]
    bearer = _BEARER.fullmatch(sent[0].strip(" \t")) if len(sent) == 1 else None
    return bearer[1] if bearer else ""


def _is_allowed(token: str, digests: list[bytes]) -> bool:
    presented = hashlib.sha256(token.encode()).hexdigest().encode()
    # Every digest is compared, each in constant time, so the time tells nothing about a match.
    matches = [hmac.compare_digest(presented, digest) for digest in digests]
    return bool(token) and any(matches)
