"""The authorizer of what one person may see: whose token opens what."""

import hashlib
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from secrets import token_bytes
from typing import Any

import pytest
from moto import mock_aws

from authorizer.access import ROUTES
from impact.identity_provider import IdentityProvider, IssuerUnavailable
from impact.links import SECRET_BYTES, Link, LinkKey, sign
from impact.oidc import Terms
from impact.store import Store
from local.fake_oidc import CLIENT_ID, CONFIGURATION, Issuer, serving
from tests.events import NOON
from tests.intercepted import through
from tests.lambda_context import CONTEXT

with mock_aws():
    from person_authorizer import app

ME, MCP = "GET /api/me/summaries", "POST /mcp"
NOW = NOON.timestamp()
SERVER = "a-servers-token"


@pytest.fixture(autouse=True)
def stack(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "store", store.links)
    monkeypatch.setattr(app, "servers", [hashlib.sha256(SERVER.encode()).hexdigest().encode()])
    monkeypatch.setattr(time, "time", lambda: NOW)


def link(store: Store, user: str = "alice", expires: float = NOW + 60, generation: int = 0) -> str:
    return sign(
        Link(user, int(expires), generation), store.links.newest_key() or store.links.add_key(1, NOON)
    )


def ask(token: str, route: str = ME, **more: Any) -> Any:
    event = {"routeKey": route, "headers": {"authorization": f"Bearer {token}"}} | more
    return app.handler(event, CONTEXT)


NO = {"isAuthorized": False}


@pytest.mark.parametrize("user", ["alice", "ünï\tcode 💥", "%2e%2e/", "a" * 256, "{}", " a "])
def test_a_link_opens_its_users_routes(store: Store, user: str) -> None:
    token = link(store, user)
    for route in (ME, "GET /api/me/breakdown", MCP):
        assert ask(token, route) == {"isAuthorized": True, "context": {"kind": "link", "userId": user}}


@pytest.mark.parametrize("user", ["unknown", " ", "{{LIBRECHAT_USER_ID}}"])
def test_a_link_of_nobody_opens_nothing(store: Store, user: str) -> None:
    for route in (ME, MCP):
        assert ask(link(store, user), route) == NO


def test_a_servers_token_opens_the_tools_alone() -> None:
    assert ask(SERVER, MCP) == {"isAuthorized": True, "context": {"kind": "server"}}
    assert ask(SERVER) == NO


def test_no_token_of_one_person_opens_another_route(store: Store) -> None:
    tools = {f"{method} /mcp" for method in ("POST", "GET", "DELETE")}
    mine = {"GET /api/me/summaries", "GET /api/me/breakdown"} | tools
    others = (ROUTES.keys() - mine) | {"", "$default", "ANY /mcp", "PUT /mcp", "get /api/me/summaries"}
    for route in others:
        assert ask(link(store), route) == ask(SERVER, route) == NO


def test_an_expired_link_opens_nothing(store: Store) -> None:
    assert ask(link(store, expires=NOW)) == NO
    assert ask(link(store, expires=NOW + 1))["isAuthorized"]


def test_a_link_that_was_taken_back_opens_nothing_from_then_on(store: Store) -> None:
    token, others = link(store), link(store, "bob")
    store.links.take_back("alice")
    assert ask(token) == NO
    assert ask(others)["isAuthorized"]
    assert ask(link(store, generation=1))["isAuthorized"]  # one that was made after that
    assert ask(link(store, generation=2)) == NO


def test_a_new_key_leaves_links_of_the_one_before_until_that_is_deleted(store: Store) -> None:
    before = link(store)
    store.links.add_key(2, NOON)
    after = link(store)
    assert ask(before)["isAuthorized"]
    assert ask(after)["isAuthorized"]
    store.links.delete_key(1, NOON)
    assert ask(before) == NO
    assert ask(after)["isAuthorized"]


def test_links_of_another_stack_open_nothing(store: Store) -> None:
    link(store)  # with a key of the same number
    theirs = sign(Link("alice", int(NOW + 60), 0), LinkKey(1, token_bytes(SECRET_BYTES)))
    assert ask(theirs) == NO


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {},
        {"authorization": ""},
        {"authorization": "Bearer {token},Bearer {token}"},
        {"authorization": "{token}"},
        {"authorization": "Bearer {token}x"},
        {"cookie": "authorization=Bearer {token}"},
        {"Authorization": "Bearer {token}", "authorization": "Bearer {token}"},
    ],
    ids=str,
)
def test_the_token_is_the_one_authorization_header(store: Store, headers: dict[str, str] | None) -> None:
    token = link(store)
    filled = headers and {name: value.replace("{token}", token) for name, value in headers.items()}
    query = {"token": token, "access_token": token}
    assert ask("", headers=filled, queryStringParameters=query) == NO


def test_no_forged_token_costs_more_than_one_read(store: Store) -> None:
    token = link(store)
    calls: list[str] = []

    def spied(name: str, carry_out: Any, options: dict[str, Any]) -> Any:
        calls.append(name)
        return carry_out(**options)

    app.store = through(store, spied).links
    for forged in ("", "x", token[:-1], f"{token}x", SERVER.upper()):
        assert ask(forged) == NO
    assert calls == []
    for forged in (token[:-1] + ("A" if token[-1] != "A" else "B"), token.replace(".1.", ".7.")):
        assert ask(forged) == NO
    assert calls == ["get_item"] * 2
    assert ask(token)["isAuthorized"]


def test_a_fault_of_dynamodb_lets_nobody_in(store: Store) -> None:
    token = link(store)

    def broken(name: str, carry_out: Any, options: dict[str, Any]) -> Any:
        raise ConnectionError("out of reach")

    app.store = through(store, broken).links
    with pytest.raises(ConnectionError):
        ask(token)


def test_nothing_personal_is_logged(store: Store, logged: io.StringIO) -> None:
    tokens = [link(store, expires=NOW - 1), link(store)[:-2] + "AA", link(store, generation=5)]
    for token in tokens:
        assert ask(token) == NO
    lines = logged.getvalue()
    assert lines.count("A token was refused") == 3
    assert "alice" not in lines
    assert not any(token in lines or token.split(".")[2] in lines for token in tokens)


# --- tokens of the identity provider ---


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    with serving() as running:
        monkeypatch.setattr(app, "provider", IdentityProvider(Terms(running.url, CLIENT_ID)))
        monkeypatch.setattr(time, "time", lambda: datetime.now(UTC).timestamp())
        yield running


def test_a_token_of_the_identity_provider_opens_its_users_routes(issuer: Issuer) -> None:
    for route in (ME, "GET /api/me/breakdown", MCP):
        assert ask(issuer.token("alice"), route) == {
            "isAuthorized": True,
            "context": {"kind": "oidc", "userId": "alice"},
        }
    for route in ("GET /api/summaries", "POST /api/request-event"):
        assert ask(issuer.token("alice"), route) == NO


def test_without_an_identity_provider_its_tokens_open_nothing(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "provider", None)
    assert ask(issuer.token("alice")) == NO


def test_what_is_none_of_its_tokens_asks_it_nothing(issuer: Issuer, store: Store) -> None:
    forged = issuer.token("alice")[:-8] + "AAAAAAAA"
    for token in ("", "x", "a.b.c", link(store, expires=0), SERVER.upper()):
        assert ask(token) == NO
    assert issuer.asked == []
    assert ask(forged) == NO


def test_while_it_does_not_answer_nobody_is_let_in(issuer: Issuer) -> None:
    issuer.answers[CONFIGURATION] = 503
    with pytest.raises(IssuerUnavailable):
        ask(issuer.token("alice"))
