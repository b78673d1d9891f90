"""The operator's identity provider (OpenID Connect): its configuration and its keys, fetched when needed.

A function of Lambda answers one request at a time, so nothing here is locked.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import SplitResult, urlsplit, urlunsplit

from impact import oidc
from impact.observability import logger
from impact.oidc import Key, Terms

TIMEOUT = 2.0  # seconds to wait for a connection, and for each part of the response
MAX_BYTES = 256 * 1024  # what is fetched has some 10 KB
KEPT_SECONDS = 3600  # how long what was fetched is used
OUTAGE_SECONDS = 24 * 3600  # the same, at most, while the provider does not answer
PAUSE_SECONDS = 60  # at least, between two fetches: a token can name a key that there never was
RETRY_SECONDS = 10  # the same, after a fetch that failed
LOOPBACK = ("localhost", "127.0.0.1")
"""Hosts that may be asked without TLS, by an issuer that is one of them: for trials on one machine."""

T = TypeVar("T")


class IssuerUnavailable(Exception):
    """The identity provider did not answer, or not as it should."""


@dataclass(frozen=True)
class Authorization:
    """Where the provider signs people in, and the values of `response_type` that it knows there."""

    endpoint: str
    response_types: tuple[str, ...]


class IdentityProvider:
    """The provider that the stack's parameters name."""

    def __init__(self, terms: Terms):
        self.terms = terms
        self._keys = _Cached(self._fetch_keys)
        self._authorization = _Cached(self._fetch_authorization)

    @classmethod
    def from_environment(cls) -> "IdentityProvider | None":
        """Return the provider, None if the operator has named none."""
        if not os.environ.get("OIDC_ISSUER"):
            return None
        if not os.environ.get("OIDC_AUDIENCE"):
            raise ValueError("OIDC_ISSUER needs OIDC_AUDIENCE")
        claim = os.environ.get("OIDC_USER_CLAIM") or "sub"
        return cls(Terms(os.environ["OIDC_ISSUER"], os.environ["OIDC_AUDIENCE"], claim))

    def user_of(self, token: str, now: float) -> str:
        """Return the user id that an access or id token names. `now` is in seconds since 1970.

        Raises InvalidToken, and IssuerUnavailable where no keys are known, or only old ones.
        """
        parsed = oidc.parse(token)
        # A new key may have an unknown id, or the id of an old one: then the signature tells.
        keys = self._keys.get(now, lambda known: oidc.is_signed(parsed, known))
        return oidc.user_of(parsed, keys, self.terms, now)

    def authorization(self, now: float) -> Authorization:
        """Return where the provider signs people in. Raises IssuerUnavailable if that is not known."""
        return self._authorization.get(now)

    def _fetch_keys(self) -> list[Key]:
        """Fetch the keys. A list without a usable one is an answer, too: it takes all earlier keys back."""
        found = self._fetch(_text(self._fetch_configuration(), "jwks_uri"))
        if not isinstance(found.get("keys"), list):
            raise IssuerUnavailable("what it serves as its keys is no JWK set")
        keys = oidc.keys_in(found)
        if not keys:
            logger.warning("The identity provider lists no RSA key of 2,048 to 8,192 bits with an id")
        return keys

    def _fetch_authorization(self) -> Authorization:
        found = self._fetch_configuration()
        endpoint, types = _text(found, "authorization_endpoint"), found.get("response_types_supported")
        self._checked(endpoint)
        return Authorization(endpoint, tuple(types if isinstance(types, list) else ()))

    def _fetch_configuration(self) -> dict[str, Any]:
        """Fetch what the provider says about itself (OpenID Connect Discovery 1.0, 4)."""
        issuer = self.terms.issuer
        found = self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != issuer:  # else one provider could speak for another
            raise IssuerUnavailable(
                "its configuration names another issuer; OidcIssuer must be the same text"
            )
        return found

    def _fetch(self, url: str) -> dict[str, Any]:
        """Fetch a JSON object. No redirect is followed: the response must be a 200 (Discovery 1.0, 4.2)."""
        import http.client  # this and TLS take a while to import

        parts = self._checked(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            connection = kind(parts.netloc, timeout=TIMEOUT)
            try:
                target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
                connection.request("GET", target, headers={"Accept": "application/json"})
                response = connection.getresponse()
                status, content = response.status, response.read(MAX_BYTES + 1)
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as fault:
            raise IssuerUnavailable(f"{url}: {fault!r}") from fault
        if status != 200 or len(content) > MAX_BYTES:
            raise IssuerUnavailable(f"{url}: status {status}, {len(content)} bytes")
        return _json_object(url, content)

    def _checked(self, url: str) -> SplitResult:
        """Take a URL apart if it is one to be trusted. Raises IssuerUnavailable."""
        try:
            parts, issuer = urlsplit(url), urlsplit(self.terms.issuer)
        except ValueError as error:
            raise IssuerUnavailable(f"{url} is no URL") from error
        is_trial = all(part.scheme == "http" and part.hostname in LOOPBACK for part in (parts, issuer))
        if not (parts.scheme == "https" or is_trial) or not parts.hostname or "@" in parts.netloc:
            raise IssuerUnavailable(f"{url} is not https")
        return parts


class _Cached(Generic[T]):
    """What was fetched last. It is fetched again after an hour, or sooner where it is not enough.

    If a fetch fails, what was fetched before stays in use, until it is a day old.
    """

    def __init__(self, fetch: Callable[[], T]):
        self._fetch = fetch
        self._found: T | None = None
        self._fetched_at = self._next_fetch = 0.0

    def get(self, now: float, is_enough: Callable[[T], bool] = lambda found: True) -> T:
        """Return what is known. Raises IssuerUnavailable if nothing is."""
        if now >= self._fetched_at + OUTAGE_SECONDS:
            self._found = None
        found = self._found
        if found is not None and now < self._fetched_at + KEPT_SECONDS and is_enough(found):
            return found
        if now >= self._next_fetch:
            found = self._refresh(now)
        if found is None:
            raise IssuerUnavailable("it failed a moment ago")
        return found

    def _refresh(self, now: float) -> T:
        try:
            self._found = self._fetch()
        except IssuerUnavailable as fault:
            self._next_fetch = now + RETRY_SECONDS
            if self._found is None:
                raise
            logger.warning("The identity provider is not available; what it said before is used: %s", fault)
        else:
            self._fetched_at, self._next_fetch = now, now + PAUSE_SECONDS
        return self._found


def _json_object(url: str, content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise IssuerUnavailable(f"{url} is not JSON") from error
    if not isinstance(found, dict):
        raise IssuerUnavailable(f"{url} is no JSON object")
    return found


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise IssuerUnavailable(f"its configuration has no {name}")
    return value
