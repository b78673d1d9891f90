"""Who sees what on the deployed stack: every kind of token on every route; one person at another's data."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from authorizer.access import INGEST, LINK, PUBLIC, READ, ROUTES, SERVER
from impact_cli.person_links import PAGE, links_for, new_key, take_back
from local.stack import Stack
from tests.e2e.api import Answer, Api, a_user, an_event, store_of

Link = Callable[..., str]
REFUSED = (401, 403)


@pytest.fixture
def link(stack: Stack) -> Link:
    """Make the token of a user's link, as `impact link` does."""

    def make(user: str, days: int = 1) -> str:
        [made] = links_for(store_of(stack).links, stack.api_url, [user], days, datetime.now(UTC))
        page, _, token = str(made["link"]).partition("#")
        assert page + "#" == stack.api_url + PAGE
        return token

    return make


def call(api: Api, route: str, token: str, **query: str) -> Answer:
    method, _, path = route.partition(" ")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = b"{}" if method == "POST" else None
    return api.send(
        method, f"{path}?{urlencode(query)}", body, headers | {"Content-Type": "application/json"}
    )


def test_each_kind_of_token_on_each_route(stack: Stack, api: Api, link: Link) -> None:
    """A route that its table does not open to a kind of token refuses it; what it opens gets an answer."""
    tokens = {
        INGEST: stack.ingest_token,
        READ: stack.read_token,
        LINK: link(a_user()),
        SERVER: stack.mcp_token,
        "expired": link(a_user(), days=-1),
        "none": "",
        "unknown": "x" * 43,
    }
    for route, kinds in ROUTES.items():
        for kind, token in tokens.items():
            status = call(api, route, token, by="model").status
            assert (status not in REFUSED) == (kind in kinds), (route, kind, status)
            assert status < 500, (route, kind, status)


def test_what_is_for_everybody_needs_no_token(api: Api) -> None:
    for route in PUBLIC:
        assert call(api, route.replace("{path+}", "x"), "").status not in REFUSED


def test_a_link_shows_its_own_user_and_nobody_else(stack: Stack, api: Api, link: Link) -> None:
    alice, bob = a_user(), f"bob-{a_user()}"
    for user, cost in ((alice, 0.25), (bob, 7.777777)):
        assert api.post(an_event(user, costEUR=cost)).status == 201
    token, chance = link(alice), random.Random(1)
    mine = api.get("/api/summaries", userId=alice, fresh="true").exact
    assert api.get("/api/me/summaries", token=token, fresh="true").exact["total"] == mine["total"]
    queries = [
        dict.fromkeys(chance.sample(["userId", "user", "teamId", "day", "cursor", "sub"], 3), bob)
        | {"by": "model", "fresh": "true"}
        for _ in range(100)
    ]
    routes = ["GET /api/me/summaries", "GET /api/me/breakdown", "GET /api/summaries", "GET /api/breakdown"]
    with ThreadPoolExecutor(4) as callers:
        answers = callers.map(lambda query: call(api, chance.choice(routes), token, **query), queries)
        for answer in answers:
            assert b"7.777777" not in answer.text
            assert bob.encode() not in answer.text
            assert answer.status in (200, 403, 422)


def test_a_link_that_was_taken_back_is_refused_at_once(stack: Stack, api: Api, link: Link) -> None:
    alice, bob = a_user(), a_user()
    tokens = {user: link(user) for user in (alice, bob)}
    assert {api.get("/api/me/summaries", token=token).status for token in tokens.values()} == {200}
    take_back(store_of(stack).links, [alice])
    assert api.get("/api/me/summaries", token=tokens[alice]).status == 403
    assert api.get("/api/me/summaries", token=tokens[bob]).status == 200
    assert api.get("/api/me/summaries", token=link(alice)).status == 200


def test_a_key_is_rotated_and_all_links_are_taken_back_at_once(stack: Stack, api: Api, link: Link) -> None:
    user, store = a_user(), store_of(stack).links
    before = link(user)
    new_key(store, only=False)
    after = link(user)
    assert [api.get("/api/me/summaries", token=token).status for token in (before, after)] == [200, 200]
    new_key(store, only=True)
    assert [api.get("/api/me/summaries", token=token).status for token in (before, after)] == [403, 403]
    assert api.get("/api/me/summaries", token=link(user)).status == 200
