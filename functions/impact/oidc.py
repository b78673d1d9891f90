"""Tokens of an identity provider (OpenID Connect): who has signed one, and whose it is. Pure: no network.

As API Gateway's own JWT authorizer does, this takes RSA signatures only (RS256, RS384, RS512). Checking one
takes a modular power and no secret, so the standard library is enough; the package `cryptography` would make
the zip larger by two thirds. The padding of a signature is never parsed. The one right encoding is built and
compared as a whole (RFC 8017, 8.2.2 and 9.2), so what is forged into the padding cannot be overlooked.
"""

import base64
import binascii
import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from impact.keys import has_room
from request_events.limits import USER_ID_MAX, is_somebody

TOKEN_MAX = 16 * 1024
"""Most characters of a token."""
LEEWAY_SECONDS = 60
"""How far the clocks of the identity provider and of this service may be apart."""
MODULUS_BITS_MIN = 2048
MODULUS_BITS_MAX = 8192
EXPONENT_BITS_MAX = 256  # what FIPS 186-5 allows; a larger one only takes time

# The hash function of an algorithm, and what stands before the hash in a signature (RFC 8017, 9.2, note 1).
_ALGORITHMS = {
    "RS256": (hashlib.sha256, bytes.fromhex("3031300d060960864801650304020105000420")),
    "RS384": (hashlib.sha384, bytes.fromhex("3041300d060960864801650304020205000430")),
    "RS512": (hashlib.sha512, bytes.fromhex("3051300d060960864801650304020305000440")),
}
_OTHER_ALGORITHMS = (
    *("none", "HS256", "HS384", "HS512", "ES256", "ES384", "ES512"),
    *("PS256", "PS384", "PS512", "EdDSA"),
)
"""Algorithms that a reason may name. What else a token says could be anything, so no log has it."""
_TYPES = ("jwt", "at+jwt", "application/jwt", "application/at+jwt")
"""What the header's `typ` may say: not a logout token (`logout+jwt`), for example."""
_BASE64URL = re.compile("[A-Za-z0-9_-]*", re.ASCII)


class InvalidToken(ValueError):
    """A token that opens nothing. The text is for the log: it has no part of the token."""


@dataclass(frozen=True)
class Terms:
    """What the operator has set: whose tokens are good for what, and which claim is the user id of events."""

    issuer: str
    audience: str
    user_claim: str = "sub"


@dataclass(frozen=True)
class Key:
    """A public key of the issuer: its id, the algorithm it is for (None: any), modulus and exponent."""

    kid: str
    algorithm: str | None
    n: int
    e: int


@dataclass(frozen=True)
class Token:
    """The parts of a token of which nothing is known to be true yet."""

    algorithm: str
    kid: str
    signed: bytes
    payload: bytes
    signature: bytes


def keys_in(document: Any) -> list[Key]:
    """Return those keys of a JWK set (RFC 7517) that can check a signature here. It may have others, too."""
    listed = document.get("keys") if isinstance(document, dict) else None
    return [key for key in map(_key, listed if isinstance(listed, list) else []) if key]


def parse(token: str) -> Token:
    """Take a token apart. Raises InvalidToken."""
    if len(token) > TOKEN_MAX:
        raise InvalidToken("it is too long")
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise InvalidToken("it is not a signed JSON Web Token")
    header = _json_object(_decoded(parts[0]))
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
        known = algorithm if algorithm in _OTHER_ALGORITHMS else "an unknown algorithm"
        raise InvalidToken(f"it is signed with {known}, not with RS256, RS384 or RS512")
    if not isinstance(kid, str):
        raise InvalidToken("it does not say which key has signed it")
    if "crit" in header:
        raise InvalidToken("its header has extensions that must be understood")
    if str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise InvalidToken("its header says that it is neither an access token nor an id token")
    return Token(algorithm, kid, f"{parts[0]}.{parts[1]}".encode(), _decoded(parts[1]), _decoded(parts[2]))


def is_signed(token: Token, keys: Iterable[Key]) -> bool:
    """Whether one of the keys has signed a token."""
    return any(_has_signed(key, token) for key in keys)


def user_of(token: Token, keys: Iterable[Key], terms: Terms, now: float) -> str:
    """Return the user id that a token names, if one of the keys has signed it. Raises InvalidToken.

    `now` is in seconds since 1970. Nothing of the payload is read before the signature is known to be right.
    An e-mail address counts only if the token says `email_verified`: else it can be anybody's.
    """
    if not is_signed(token, keys):
        raise InvalidToken("the signature is wrong, or by a key that the issuer does not list")
    claims = _json_object(token.payload)
    _check_origin(claims, terms)
    _check_times(claims, now)
    return _user(claims, terms.user_claim)


def _check_origin(claims: dict[str, Any], terms: Terms) -> None:
    if claims.get("iss") != terms.issuer:
        raise InvalidToken("it is of another issuer")
    # Access tokens of Amazon Cognito have no `aud`. API Gateway looks at `client_id` then, too.
    audience = claims["aud"] if "aud" in claims else claims.get("client_id")
    if terms.audience not in (audience if isinstance(audience, list) else [audience]):
        raise InvalidToken("it is for another audience")
    if "events" in claims:  # RFC 8417; logout tokens of older providers have no `typ`
        raise InvalidToken("it tells of an event, such as a logout")


def _check_times(claims: dict[str, Any], now: float) -> None:
    expires, begins, issued = (_seconds(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise InvalidToken("it never expires")
    if now >= expires + LEEWAY_SECONDS:
        raise InvalidToken("it has expired")
    if begins is not None and begins > now + LEEWAY_SECONDS:
        raise InvalidToken("it is not good yet")
    if issued is not None and issued > now + LEEWAY_SECONDS:
        raise InvalidToken("it was made in the future")


def _seconds(claims: dict[str, Any], name: str) -> float | None:
    """Return a time in seconds since 1970, None if there is none. Raises InvalidToken."""
    if name not in claims:
        return None
    value = claims[name]
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return value
    raise InvalidToken("a time in it is no number")


def _user(claims: dict[str, Any], name: str) -> str:
    user = claims.get(name)
    if type(user) is not str or not user:
        raise InvalidToken("the claim for the user id is missing, or no text")
    if name == "email" and claims.get("email_verified") is not True:
        raise InvalidToken("the e-mail address is not verified")
    if len(user) > USER_ID_MAX or not has_room(user):
        raise InvalidToken("the user id is too long, or cannot be stored")
    if not is_somebody(user):
        raise InvalidToken("the user id names nobody")
    return user


def _has_signed(key: Key, token: Token) -> bool:
    """RSASSA-PKCS1-v1_5 (RFC 8017, 8.2.2), for a key with the id and the algorithm that the token names."""
    if key.kid != token.kid or key.algorithm not in (None, token.algorithm):
        return False
    size, signature = (key.n.bit_length() + 7) // 8, int.from_bytes(token.signature)
    if len(token.signature) != size or signature >= key.n:
        return False
    return pow(signature, key.e, key.n).to_bytes(size) == _encoded(token, size)


def _encoded(token: Token, size: int) -> bytes:
    """EMSA-PKCS1-v1_5 (RFC 8017, 9.2): what a signature of so many bytes must contain, to the last byte."""
    hash_function, prefix = _ALGORITHMS[token.algorithm]
    content = b"\x00" + prefix + hash_function(token.signed).digest()
    return b"\x00\x01".ljust(size - len(content), b"\xff") + content


def _key(jwk: Any) -> Key | None:
    """Read a key (RFC 7517, RFC 7518 6.3), None for one that cannot check a signature here."""
    if not isinstance(jwk, dict) or jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig":
        return None
    kid, algorithm, operations = jwk.get("kid"), jwk.get("alg"), jwk.get("key_ops", ["verify"])
    if not isinstance(kid, str) or not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        n, e = (int.from_bytes(_decoded(jwk.get(name))) for name in ("n", "e"))
    except InvalidToken:
        return None
    is_strong = MODULUS_BITS_MIN <= n.bit_length() <= MODULUS_BITS_MAX and n % 2 == 1
    is_usable = is_strong and 1 < e < 2**EXPONENT_BITS_MAX and e % 2 == 1
    return Key(kid, algorithm, n, e) if is_usable else None


def _decoded(text: Any) -> bytes:
    """Read base64url without padding. There is one way to write some bytes, and no other is taken."""
    if isinstance(text, str) and _BASE64URL.fullmatch(text):
        try:
            content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            content = b""
        if base64.urlsafe_b64encode(content).rstrip(b"=") == text.encode():
            return content
    raise InvalidToken("a part of it is not base64url")


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        raise InvalidToken("a part of it is not JSON, or has a name twice") from None
    if not isinstance(value, dict):
        raise InvalidToken("a part of it is no JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ on which of two values counts, so none does."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found
