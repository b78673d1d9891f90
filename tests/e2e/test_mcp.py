"""POST /mcp of the deployed stack: the official client in both eras, and who is let in."""

import json
from typing import Any

import pytest

from local.stack import Stack
from tests.e2e.api import Answer, Api, a_user, an_event, count, day
from tests.mcp_calls import call, modern, old
from tests.mcp_client import MODES, Mode, ask

USER_HEADER = "x-librechat-user-id"


@pytest.fixture
def user(stack: Stack, api: Api) -> str:
    """A user with one request of today, which is counted."""
    user_id = a_user()
    assert api.post(an_event(user_id)).status == 201
    count(stack, day())
    return user_id


def send(stack: Stack, api: Api, request: dict[str, Any], token: str | None = None, **more: str) -> Answer:
    """Send a request with the token of a trusted server, unless another is given."""
    token = stack.mcp_token if token is None else token
    headers = request["headers"] | {"Authorization": f"Bearer {token}"} | more
    return api.send("POST", "/mcp", request["body"].encode(), headers)


@pytest.mark.parametrize("mode", MODES)
def test_the_official_client_asks_for_a_user_of_a_trusted_server(
    stack: Stack, api: Api, user: str, mode: Mode
) -> None:
    headers = {"Authorization": f"Bearer {stack.mcp_token}", USER_HEADER: user}
    told = ask(f"{stack.api_url}/mcp", headers, mode, "my_usage", {"from": day(), "to": day()})
    assert (told.version, told.is_error) == (MODES[mode], False)
    assert told.tools == ["my_usage", "my_models", "my_footprint"]
    total = api.get("/api/summaries", userId=user, **{"from": day(), "to": day()}).exact["total"]
    assert told.fields is not None
    assert (told.fields["requests"], told.fields["costEUR"]) == (1, str(total["costEUR"]))
    assert f"exactly {total['costEUR']} EUR" in told.text


def test_the_other_tools_answer_from_the_stack(stack: Stack, api: Api, user: str) -> None:
    for tool in ("my_models", "my_footprint"):
        answer = send(stack, api, call(tool), **{USER_HEADER: user})
        assert answer.status == 200
        assert answer.body["result"]["structuredContent"]["userId"] == user


def test_a_server_that_names_nobody_is_refused(stack: Stack, api: Api) -> None:
    for named in ({}, {USER_HEADER: ""}, {USER_HEADER: "{{LIBRECHAT_USER_ID}}"}, {USER_HEADER: "a,b"}):
        answer = send(stack, api, call("my_usage"), **named)
        assert answer.status == 422
        assert answer.body["error"]["details"][0]["field"] == USER_HEADER


def test_no_other_token_is_let_in(stack: Stack, api: Api) -> None:
    for token, status in ((stack.ingest_token, 403), (stack.read_token, 403), ("guessed", 403)):
        assert send(stack, api, call("my_usage"), token, **{USER_HEADER: a_user()}).status == status
    assert api.send("POST", "/mcp", b"{}", {USER_HEADER: a_user()}).status == 401


def test_both_eras_over_http(stack: Stack, api: Api) -> None:
    named = {USER_HEADER: a_user()}
    assert send(stack, api, modern("server/discover"), **named).body["result"]["supportedVersions"]
    begun = send(stack, api, old("initialize", {"protocolVersion": "2025-06-18"}), **named)
    assert begun.body["result"]["protocolVersion"] == "2025-06-18"
    notification = old("x") | {"body": json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})}
    assert send(stack, api, notification, **named).status == 202
    for method in ("GET", "DELETE"):
        headers = {"Authorization": f"Bearer {stack.mcp_token}"}
        assert api.send(method, "/mcp", None, headers).status == 405
