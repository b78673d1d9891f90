"""An identity provider (OpenID Connect) on this machine: its configuration, keys, sign-in page and tokens.

Its sign-in page believes whoever names a user: `user` in the query, or typed into its form.
"""

import html
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from local.http_server import running_server

CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/keys"
AUTHORIZE = "/authorize"
CLIENT_ID = "impact-page"
LIFETIME_SECONDS = 3600


@cache
def private_key(number: int) -> rsa.RSAPrivateKey:
    """A key of this process: the same for a number."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_jwk(number: int, **changes: Any) -> dict[str, Any]:
    """The public half of a key, as providers list it."""
    listed = {"kid": f"key-{number}", "use": "sig", "alg": "RS256"}
    return RSAAlgorithm.to_jwk(private_key(number).public_key(), as_dict=True) | listed | changes


@dataclass
class Issuer:
    """A running provider. `answers` has what a path serves in place of its own."""

    url: str
    client_id: str = CLIENT_ID
    redirect_uris: set[str] = field(default_factory=set)
    """The registered ones, to which it sends tokens. Empty: any on this machine."""
    listed_keys: list[int] = field(default_factory=lambda: [1])
    """The numbers of its published keys. The last one signs."""
    claims: dict[str, Any] = field(default_factory=dict)
    """What the sign-in page puts into each token, besides the usual claims."""
    answers: dict[str, bytes | int | None] = field(default_factory=dict)
    """By path: content, the status of an error, or None for silence."""
    asked: list[str] = field(default_factory=list)
    """The paths of all requests."""
    queries: list[str] = field(default_factory=list)
    """Their queries."""

    def token(self, user: str, headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Sign a token of a user. A claim of None is left out."""
        number, now = self.listed_keys[-1], int(time.time())
        usual = {
            "iss": self.url,
            "aud": self.client_id,
            "sub": user,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        payload = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(payload, private_key(number), "RS256", {"kid": f"key-{number}", **(headers or {})})

    def rotate(self) -> None:
        """Sign with a new key, and take the old one from the list."""
        self.listed_keys = [self.listed_keys[-1] + 1]

    def answer(self, path: str) -> bytes | int | None:
        """What a GET of a path brings: content, the status of an error, or None for silence."""
        if path in self.answers:
            return self.answers[path]
        found: dict[str, Any] = {
            CONFIGURATION: {
                "issuer": self.url,
                "jwks_uri": self.url + KEYS,
                "authorization_endpoint": self.url + AUTHORIZE,
                "response_types_supported": ["code", "id_token", "code id_token"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "subject_types_supported": ["public"],
            },
            KEYS: {"keys": [public_jwk(number) for number in self.listed_keys]},
        }
        return json.dumps(found[path]).encode() if path in found else 404

    def refusal(self, asked: Mapping[str, str]) -> str | None:
        """Why a request to sign somebody in is refused on the spot, without a redirect."""
        uri = asked.get("redirect_uri", "")
        on_this_machine = urlsplit(uri).hostname in ("localhost", "127.0.0.1")
        if not (uri in self.redirect_uris if self.redirect_uris else on_this_machine):
            return "This redirect_uri is not registered."
        if asked.get("client_id") != self.client_id or asked.get("response_type") != "id_token":
            return "Unknown client_id or response_type."
        return None if "openid" in asked.get("scope", "").split() else "The scope lacks openid."

    def redirect(self, asked: Mapping[str, str]) -> str:
        """Where the browser goes once its user is known, with the token in the fragment."""
        token = self.token(asked["user"], nonce=asked.get("nonce"), **self.claims)
        return f"{asked['redirect_uri']}#{urlencode({'id_token': token, 'state': asked.get('state', '')})}"


def _form(asked: Mapping[str, str]) -> str:
    """The sign-in page."""
    hidden = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in asked.items()
    )
    return (
        "<!doctype html><html lang=en><title>Sign in</title><link rel=icon href=data:,>"
        f'<form action="{AUTHORIZE}">{hidden}<label>User <input name="user" required></label>'
        "<button>Sign in</button></form>"
    )


@contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[Issuer]:
    """Serve on a free port until the end of the block."""
    ended = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            issuer.asked.append(parts.path)
            issuer.queries.append(parts.query)
            if parts.path == AUTHORIZE:
                self._sign_in(dict(parse_qsl(parts.query)))
                return
            content = issuer.answer(parts.path)
            if content is None:
                ended.wait(30)
            elif isinstance(content, int):
                self._respond(content, b"", {"Location": "/elsewhere"} if 300 <= content < 400 else {})
            else:
                self._respond(200, content, {"Content-Type": "application/json"})

        def _sign_in(self, asked: dict[str, str]) -> None:
            if reason := issuer.refusal(asked):
                self._respond(400, reason.encode(), {"Content-Type": "text/plain"})
            elif asked.get("user"):
                self._respond(302, b"", {"Location": issuer.redirect(asked)})
            else:
                self._respond(200, _form(asked).encode(), {"Content-Type": "text/html; charset=utf-8"})

        def _respond(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with running_server(ThreadingHTTPServer((host, 0), Handler)) as http:
        issuer = Issuer(f"http://127.0.0.1:{http.server_port}")
        try:
            yield issuer
        finally:
            ended.set()
