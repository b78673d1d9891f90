"""Signed links: a token that lets one user read their own usage until a time. Pure: no AWS.

    impact-link.<number of the key>.<payload>.<HMAC-SHA256 of all before>

The payload is base64url of JSON: the user (`sub`), when it expires (`exp`, seconds since 1970), and the
user's generation (`gen`). A link is taken back by a new generation of its user, and all links of a key by
deleting the key: no clock decides which links were made before. The prefix lets secret scanners find a token
that leaked.
"""

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import Any

from impact.keys import has_room
from request_events.limits import is_somebody

PREFIX = "impact-link"
DAYS_MAX = 366
"""Most days for which a link can be good."""
SECRET_BYTES = 32
TOKEN_MAX = 4096
"""Most characters of a token; the longest user id needs 2,200."""
_TOKEN = re.compile(rf"({PREFIX}\.([1-9][0-9]{{0,8}})\.([A-Za-z0-9_-]+))\.([A-Za-z0-9_-]{{43}})", re.ASCII)


class InvalidLink(ValueError):
    """A token that opens nothing. The text names no user."""


@dataclass(frozen=True)
class LinkKey:
    """A key that signs links."""

    number: int
    secret: bytes


@dataclass(frozen=True)
class Link:
    """What a token says."""

    user_id: str
    expires: int
    """Seconds since 1970."""
    generation: int
    """How often the user's links had been taken back when it was made."""


def sign(link: Link, key: LinkKey) -> str:
    """Make the token of a link."""
    content = {"sub": link.user_id, "exp": link.expires, "gen": link.generation}
    payload = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    signed = f"{PREFIX}.{key.number}.{_base64url(payload)}"
    return f"{signed}.{_mac(signed, key)}"


def is_link(token: str) -> bool:
    return token.startswith(f"{PREFIX}.")


def key_number(token: str) -> int:
    """Which key a token claims to be signed by. Raises InvalidLink."""
    return int(_parts(token)[2])


def verified(token: str, key: LinkKey, now: float) -> Link:
    """Return what a token says, if the key has signed it and it has not expired. Raises InvalidLink.

    `now` is in seconds since 1970. Nothing of the payload is read before the signature is known to be right.
    """
    signed, number, payload, mac = _parts(token).groups()
    if int(number) != key.number or not hmac.compare_digest(mac, _mac(signed, key)):
        raise InvalidLink("the signature is wrong")
    link = _link(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
    if now >= link.expires:
        raise InvalidLink("it has expired")
    return link


def _parts(token: str) -> re.Match[str]:
    found = _TOKEN.fullmatch(token) if len(token) <= TOKEN_MAX else None
    if found is None:
        raise InvalidLink("it is not a link's token")
    return found


def _link(content: Any) -> Link:
    """What was signed: by this release, or by another one, whose content may differ."""
    link = Link(content["sub"], content["exp"], content["gen"])
    if type(link.user_id) is not str or not is_somebody(link.user_id) or not has_room(link.user_id):
        raise InvalidLink("its user is none")
    if type(link.expires) is not int or type(link.generation) is not int:
        raise InvalidLink("its time or its generation is no number")
    return link


def _mac(signed: str, key: LinkKey) -> str:
    return _base64url(hmac.new(key.secret, signed.encode(), hashlib.sha256).digest())


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
