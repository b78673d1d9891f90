"""The authorizer: a token opens the routes of its kind, and no other."""

import hashlib
import hmac
import os
import string
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from authorizer import app, bearer
from authorizer.access import INGEST, READ

POST = "POST /api/request-event"
TOKEN68 = string.ascii_letters + string.digits + "-._~+/=="
FUNCTIONS = Path(app.__file__).parents[1]


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).hexdigest().encode()


class OnlyDigestible(bytes):
    """A digest that breaks when it is compared by `==`, whose time says how far two are alike."""

    __hash__ = bytes.__hash__

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared by ==")


@pytest.fixture(autouse=True)
def tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {INGEST: [digest("old"), digest("new"), digest(TOKEN68)], READ: [digest("reader")]}
    monkeypatch.setattr(app, "_DIGESTS", listed)


def allowed(authorization: str | None, route: str = POST) -> bool:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = app.handler({"routeKey": route, "headers": headers}, None)
    assert response.keys() == {"isAuthorized"}
    return response["isAuthorized"]


SPELLINGS = {
    "as usual": "Bearer old",
    "the other valid one": "Bearer new",
    "scheme in small letters": "bearer new",
    "scheme in capitals": "BEARER new",
    "scheme in both": "bEaReR new",
    "several spaces": "Bearer    new",
    "spaces and tabs around": " \t Bearer new\t ",
    "every character of a token68": f"Bearer {TOKEN68}",
}


@pytest.mark.parametrize("header", SPELLINGS.values(), ids=SPELLINGS)
def test_a_token_of_the_scope_is_let_in_however_rfc_9110_lets_it_be_written(header: str) -> None:
    assert allowed(header)


@pytest.mark.parametrize("name", ["authorization", "Authorization", "AUTHORIZATION"])
def test_the_header_has_any_case(name: str) -> None:
    assert app.handler({"routeKey": POST, "headers": {name: "Bearer old"}}, None)["isAuthorized"]


REJECTED = {
    "no header": None,
    "empty": "",
    "blank": " ",
    "no token": "Bearer",
    "no token after a space": "Bearer ",
    "no scheme": "old",
    "another scheme": "Basic old",
    "Basic, as curl would": "Basic " + b64encode(b"old:old").decode(),
    "a scheme that begins alike": "Bearers old",
    "a word before": "x Bearer old",
    "no space": "Bearerold",
    "a colon": "Bearer: old",
    "a tab for the space": "Bearer\told",
    "a tab beside the space": "Bearer \told",
    "a line end for the space": "Bearer\nold",
    "a no-break space": "Bearer\N{NO-BREAK SPACE}old",
    "no-break spaces around": "\N{NO-BREAK SPACE}Bearer old\N{NO-BREAK SPACE}",
    "two tokens": "Bearer old new",
    "twice, joined as API Gateway does": "Bearer old,Bearer old",
    "twice, joined as RFC 9110 does": "Bearer old, Bearer old",
    "another scheme joined": "Basic eDp5, Bearer old",
    "a comma after": "Bearer old,",
    "a parameter": 'Bearer token="old"',
    "quoted": 'Bearer "old"',
    "in single quotes": "Bearer 'old'",
    "a trailing semicolon": "Bearer old;",
    "a trailing line": "Bearer old\n",
    "a trailing line with a header": "Bearer old\r\nX-Role: read",
    "a trailing zero": "Bearer old\0",
    "padded": "Bearer old=",
    "an = inside": "Bearer o=ld",
    "only padding": "Bearer ===",
    "not ASCII": "Bearer öld",
    "letters that only look alike": "Bearer \N{CYRILLIC SMALL LETTER O}ld",
    "a scheme that folds to it": "Beare\N{LATIN LETTER SMALL CAPITAL R} old",
    "full-width": "Ｂｅａｒｅｒ old",
    "URL-encoded": "Bearer%20old",
    "in capitals": "Bearer OLD",
    "one letter more": "Bearer olds",
    "one letter less": "Bearer ol",
    "huge": "Bearer " + "o" * 1_000_000,
    "hugely spaced": "Bearer" + " " * 1_000_000,
    "the digest instead": "Bearer " + digest("old").decode(),
    "of the other scope": "Bearer reader",
    "unknown": "Bearer nobody",
}


@pytest.mark.parametrize("header", REJECTED.values(), ids=REJECTED)
def test_anything_else_is_rejected(header: str | None) -> None:
    began = time.process_time()
    assert not allowed(header)
    assert time.process_time() - began < 1  # whatever the size


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"headers": None},
        {"headers": {"Authorization": "Bearer old", "authorization": "Bearer old"}},
        {"headers": {"Authorization": "Bearer nobody", "authorization": "Bearer old"}},
        {"headers": {"Proxy-Authorization": "Bearer old", "X-Authorization": "Bearer old"}},
        {"headers": {}, "multiValueHeaders": {"authorization": ["Bearer old"]}},
        {"headers": {}, "queryStringParameters": {"access_token": "old", "Authorization": "Bearer old"}},
        {"headers": {"cookie": "Authorization=Bearer old"}, "cookies": ["Authorization=Bearer old"]},
        {"headers": {"authorization": None}},
        {"headers": {}, "identitySource": ["Bearer old", "POST /api/request-event"]},
    ],
    ids=str,
)
def test_a_token_is_accepted_only_as_the_one_authorization_header(event: dict[str, Any]) -> None:
    assert not app.handler({"routeKey": POST} | event, None)["isAuthorized"]


@pytest.mark.parametrize("presented", ["first", "second", "third", "nobody"])
def test_every_digest_is_compared_in_constant_time_whichever_matches(
    monkeypatch: pytest.MonkeyPatch, presented: str
) -> None:
    listed = [OnlyDigestible(digest(token)) for token in ("first", "second", "third")]
    monkeypatch.setattr(app, "_DIGESTS", {INGEST: listed, READ: []})
    compared: list[tuple[bytes, bytes]] = []

    def spied(one: bytes, other: bytes) -> bool:
        compared.append((bytes(one), bytes(other)))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(bearer, "hmac", SimpleNamespace(compare_digest=spied))
    assert allowed(f"Bearer {presented}") == (presented != "nobody")
    assert compared == [(digest(presented), bytes(one)) for one in listed]


def test_scopes_are_apart() -> None:
    for route in ("GET /api/summaries", "GET /api/totals", "GET /api/breakdown"):
        assert allowed("Bearer reader", route)
        assert not allowed("Bearer new", route)


@pytest.mark.parametrize("token", ["old", "reader"])
@pytest.mark.parametrize(
    "route",
    [
        *("$default", "", "ANY /api/request-event", "HEAD /api/summaries", "OPTIONS /api/request-event"),
        *("PUT /api/request-event", "DELETE /api/summaries", "post /api/request-event", "get /api/summaries"),
    ],
)
def test_no_token_opens_a_route_of_another_kind(route: str, token: str) -> None:
    assert not allowed(f"Bearer {token}", route)


@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer x", "Bearer ="])
def test_without_digests_nobody_is_let_in(monkeypatch: pytest.MonkeyPatch, header: str | None) -> None:
    monkeypatch.setattr(app, "_DIGESTS", {INGEST: [], READ: []})
    assert not allowed(header)
    assert not allowed(header, "GET /api/totals")


def test_the_digest_of_no_token_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_DIGESTS", {INGEST: [digest("")], READ: [digest("")]})
    assert not allowed(None)
    assert not allowed("Bearer ")


@pytest.mark.parametrize(
    ("hashes", "expected"),
    [
        (None, []),
        ("", []),
        (" , ", []),
        ("{old},{new}", ["old", "new"]),
        (" {old} , {NEW}\n", ["old", "new"]),
    ],
)
def test_lists_come_from_the_environment(hashes: str | None, expected: list[str]) -> None:
    names = {"old": digest("old").decode(), "new": digest("new").decode()}
    names |= {name.upper(): text.upper() for name, text in names.items()}
    environ = {} if hashes is None else {"INGEST_TOKEN_HASHES": hashes.format(**names)}
    code = "from authorizer import app; print(*map(bytes.decode, app._DIGESTS['ingest']))"
    assert in_a_process_of_its_own(code, environ).split() == [names[name] for name in expected]


def test_only_the_standard_library_is_imported() -> None:
    loaded = in_a_process_of_its_own("import sys; import authorizer.app; print(*sys.modules)", {})
    ours = {name.partition(".")[0] for name in loaded.split()} - sys.stdlib_module_names
    assert {name for name in ours if not name.startswith("_")} == {"authorizer"}


def in_a_process_of_its_own(code: str, environ: dict[str, str]) -> str:
    command = [sys.executable, "-c", code]
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_TOKEN_HASHES")}
    return subprocess.run(
        command, cwd=FUNCTIONS, env=inherited | environ, capture_output=True, text=True, check=True
    ).stdout
