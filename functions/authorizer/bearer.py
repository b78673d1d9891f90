"""The bearer token of a request, and lists of SHA-256 digests. Standard library only, to start fast."""

import hashlib
import hmac
import os
import re
from typing import Any

# RFC 9110 11.1 and 11.6.2: the scheme in any case, spaces, a token68.
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", flags=re.IGNORECASE | re.ASCII)


def bearer_token(event: dict[str, Any]) -> str:
    """Return the token of the Authorization header. Several headers, joined by commas, hold none."""
    headers = (event.get("headers") or {}).items()
    sent = [str(value) for name, value in headers if name.lower() == "authorization"]
    bearer = _BEARER.fullmatch(sent[0].strip(" \t")) if len(sent) == 1 else None
    return bearer[1] if bearer else ""


def digests_of(variable: str) -> list[bytes]:
    """Read the SHA-256 digests (hex) that an environment variable lists."""
    listed = os.environ.get(variable, "").replace(",", " ").split()
    return [digest.lower().encode() for digest in listed]


def is_listed(token: str, digests: list[bytes]) -> bool:
    presented = hashlib.sha256(token.encode()).hexdigest().encode()
    # Every digest is compared, each in constant time, so the time tells nothing about a match.
    matches = [hmac.compare_digest(presented, digest) for digest in digests]
    return bool(token) and any(matches)
