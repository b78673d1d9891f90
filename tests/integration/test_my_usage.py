"""/api/me: a person sees what they used, and nothing of anybody else, whatever the request says."""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from impact.billing import Terms
from impact.calendar import timestamp
from impact.naming import Name
from impact.recompute import recompute
from impact.store import Store
from impact.summary import OTHER
from summaries import app as summaries
from tests.events import NOON, event
from tests.integration.conftest import Get
from tests.integration.steps import BUILDER, TODAY, put
from tests.lambda_context import CONTEXT

Me = Callable[..., Any]
SECRET_EUR = Decimal("7.777777")
"""What bob's requests cost: in no response to alice."""
USED = {
    "model": {"openai/gpt-4o", "anthropic/claude", "openai/gpt-4o-mini"},
    "provider": {"openai", "anthropic"},
}
NO_USER: list[dict[str, Any]] = [{}, {"authorizer": None}, {"authorizer": {"lambda": {"kind": "server"}}}]


@pytest.fixture
def me(get: Get) -> Me:
    """Ask as alice: the authorizer has checked her token."""

    def ask(path: str, **parameters: Any) -> Any:
        query = {name.rstrip("_"): value for name, value in parameters.items()}
        who = {"authorizer": {"lambda": {"kind": "link", "userId": "alice"}}}
        request = {"routeKey": f"GET {path}", "queryStringParameters": query or None, "requestContext": who}
        response = summaries.handler(request, CONTEXT)
        return response["statusCode"], json.loads(response["body"], parse_float=Decimal)

    return ask


def count(store: Store) -> None:
    for shard in range(BUILDER.calendar.shard_count(TODAY)):
        recompute(store, BUILDER.calendar, Terms(), TODAY, shard, as_of=NOON)


@pytest.fixture
def used(store: Store) -> None:
    put(
        store,
        event(userId="alice", costEUR=Decimal("0.1"), eventId="1"),
        event(userId="alice", costEUR=Decimal("0.25"), model="claude", provider="anthropic", eventId="2"),
        event(userId="alice", costEUR=Decimal("0.3"), model="gpt-4o-mini", eventId="3"),
        event(userId="bob", costEUR=SECRET_EUR, eventId="4", model="bobs-model"),
    )
    count(store)


@pytest.mark.usefixtures("used")
def test_the_days_are_those_of_the_token(me: Me, get: Get) -> None:
    status, mine = me("/api/me/summaries")
    assert status == 200
    assert mine == get(userId="alice").json
    assert mine["total"]["costEUR"] == Decimal("0.65")


@pytest.mark.usefixtures("used")
def test_the_parameters_are_those_of_a_users_days(me: Me, store: Store) -> None:
    put(store, event(userId="alice", costEUR=Decimal("1"), eventId="5"))
    assert me("/api/me/summaries")[1]["total"]["costEUR"] == Decimal("0.65")
    assert me("/api/me/summaries", fresh="true")[1]["total"]["costEUR"] == Decimal("1.65")
    assert me("/api/me/summaries", from_="2026-11-24", to="2026-11-25")[1]["days"] == []
    status, refused = me("/api/me/summaries", from_="2026-02-30")
    assert (status, refused["error"]["details"][0]["field"]) == (422, "from")


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize("by", ["model", "provider"])
def test_the_parts_add_up_to_the_whole(me: Me, by: str) -> None:
    status, mine = me("/api/me/breakdown", by=by)
    total = me("/api/me/summaries")[1]["total"]
    assert status == 200
    assert sum(item["costEUR"] for item in mine["items"]) == total["costEUR"]
    assert sum(item["requests"] for item in mine["items"]) == total["requests"]
    assert sum(item["tokens_in"] for item in mine["items"]) == total["tokens_in"]
    assert [item["costEUR"] for item in mine["items"]] == sorted(
        (item["costEUR"] for item in mine["items"]), reverse=True
    )
    expected = {
        "model": {"openai/gpt-4o", "anthropic/claude", "openai/gpt-4o-mini"},
        "provider": {"openai", "anthropic"},
    }
    assert {item["value"] for item in mine["items"]} == expected[by]
    assert mine["next"] is None


def test_what_a_summary_had_no_room_for_is_the_rest(me: Me, store: Store) -> None:
    put(store, *(event(model=f"m{n}", costEUR=Decimal(n), eventId=str(n)) for n in range(1, 204)))
    count(store)
    assert OTHER in me("/api/me/summaries")[1]["total"]["models"]
    for by, rows in (("model", 201), ("provider", 2)):
        _, mine = me("/api/me/breakdown", by=by)
        assert len(mine["items"]) == rows
        assert (mine["items"][-1]["value"], mine["items"][-1]["rest"]) == (None, True)
        assert sum(item["costEUR"] for item in mine["items"]) == sum(range(1, 204))


def test_a_day_that_is_not_final_is_said(me: Me, store: Store) -> None:
    assert me("/api/me/breakdown", by="model") == (
        200,
        {"by": "model", "from": "2026-10-25", "to": "2026-11-23", "items": [], "final": False, "next": None},
    )


@pytest.mark.parametrize("by", [None, "", "user", "team", "key", "tag", "day", "models"])
def test_another_dimension_is_refused(me: Me, by: str | None) -> None:
    status, refused = me("/api/me/breakdown", **({} if by is None else {"by": by}))
    assert (status, refused["error"]["details"]) == (
        422,
        [{"field": "by", "message": "must be one of model, provider"}],
    )


@pytest.mark.parametrize(
    "context", [{}, {"authorizer": None}, {"authorizer": {"lambda": {"kind": "server"}}}], ids=str
)
@pytest.mark.parametrize("path", ["/api/me/summaries", "/api/me/breakdown"])
def test_without_a_user_of_the_authorizer_nothing_is_shown(
    get: Get, path: str, context: dict[str, Any]
) -> None:
    query = {"userId": "alice", "by": "model"}
    request = {"routeKey": f"GET {path}", "queryStringParameters": query, "requestContext": context}
    with pytest.raises((KeyError, TypeError)):
        summaries.handler(request, CONTEXT)


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize("attempts", [100, pytest.param(5_000, marks=pytest.mark.long)])
def test_no_attempt_shows_another_users_figures(me: Me, store: Store, attempts: int) -> None:
    """Every parameter that some route knows, and spellings of the other's id, in any combination."""
    store.names.put("user", "bob", Name("Robert Tables"), NOON)
    chance = random.Random(5)
    day = timestamp(NOON)[:10]
    ids = [
        "bob",
        "alice,bob",
        "alice&userId=bob",
        "bob\0",
        "*",
        "%62%6f%62",
        "BOB",
        "../bob",
        "alice#bob",
        '{"S":"bob"}',
    ]
    names = [
        "userId",
        "userid",
        "user",
        "user_id",
        "sub",
        "teamId",
        "keyAlias",
        "tag",
        "cursor",
        "day",
        "fresh",
        "by",
    ]
    answered = 0
    for _ in range(attempts):
        query = {name: chance.choice(ids) for name in chance.sample(names, chance.randrange(5))}
        query |= chance.choice([{}, {"from": day, "to": day}, {"fresh": "true"}, {"by": "model"}])
        query |= chance.choice([{}, {"cursor": chance.choice(["bm9uZQ==", "WzAsICJib2IiXQ=="])}])
        status, mine = me(chance.choice(["/api/me/summaries", "/api/me/breakdown"]), **query)
        answered += status == 200
        assert status in (200, 422)
        text = json.dumps(mine, default=str)
        assert "7.777777" not in text
        assert "bobs-model" not in text
        assert "Robert Tables" not in text
        if status == 200 and "userId" in mine:
            assert mine["userId"] == "alice"
    assert answered > attempts / 5
