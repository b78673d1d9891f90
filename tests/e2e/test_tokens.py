"""Which tokens the deployed stack accepts: scopes, rotation, and every invalid way to write a token."""

import http.client
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from impact_cli.tokens import sha256
from local.stack import Stack
from local.waiting import PATIENCE_SECONDS
from tests.e2e.api import Api, a_user, an_event

READ = "/api/totals"


@pytest.fixture
def tokens(stack: Stack) -> Iterator[list[str]]:
    """Two ingest tokens that a deployment has made valid. Afterwards the stack has its own again."""
    tokens = [stack.ingest_token, secrets.token_urlsafe(32)]
    stack.deploy(IngestTokenHashes=",".join(map(sha256, tokens)))
    yield tokens
    let_in(stack, INGEST_TOKEN_HASHES=sha256(stack.ingest_token), READ_TOKEN_HASHES=sha256(stack.read_token))
    keep_answers(stack, 300)


def test_a_token_is_rotated_without_a_request_refused(stack: Stack, api: Api, tokens: list[str]) -> None:
    old, new = tokens
    assert [posted(api, token) for token in (old, new)] == [201, 201]
    assert [read(api, token) for token in (old, new, stack.read_token)] == [403, 403, 200]
    assert posted(api, stack.read_token) == 403
    let_in(stack, INGEST_TOKEN_HASHES=sha256(new))
    assert posted(api, new) == 201
    assert posted(api, old) == 201  # API Gateway caches the authorizer's response for ReauthorizeEvery: 300 s
    assert api.send("POST", "/api/request-event", b"{}", {"Authorization": f"bearer {old}"}).status == 403
    keep_answers(stack, 0)
    assert [posted(api, token) for token in (old, new)] == [403, 201]
    let_in(stack, INGEST_TOKEN_HASHES="", READ_TOKEN_HASHES="")
    assert [posted(api, new), read(api, stack.read_token), posted(api, ""), read(api, "")] == [
        403,
        403,
        401,
        401,
    ]


def test_the_authorizers_response_is_cached_by_token_and_route_for_five_minutes(stack: Stack) -> None:
    authorizer = token_authorizer(stack)
    assert authorizer["AuthorizerResultTtlInSeconds"] == 300
    assert authorizer["IdentitySource"] == ["$request.header.Authorization", "$context.routeKey"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "Bearer {}"),
        ("AUTHORIZATION", "bearer {}"),
        ("Authorization", "BEARER   {}"),
        ("Authorization", " \t Bearer {} \t"),
    ],
)
def test_a_token_is_let_in_however_it_may_be_written(stack: Stack, name: str, value: str) -> None:
    assert status(stack, (name, value.format(stack.read_token))) == 200


@pytest.mark.parametrize(
    "values",
    [
        *(
            ["{}"],
            ["Basic {}"],
            ["Bearer\t{}"],
            ["Bearer{}"],
            ['Bearer "{}"'],
            ["Bearer {} {}"],
            ["Bearer {},"],
        ),
        *(["Bearer {}="], ["Bearer ö{}"], ["Bearer {}, Bearer {}"], ["Bearer " + "x" * 9000], ["Bearer x"]),
        *(["Bearer {}", "Bearer {}"], ["Bearer x", "Bearer {}"], ["Bearer {}", "Basic eDp5"]),
    ],
    ids=lambda values: " + ".join(values)[:30],
)
def test_any_other_way_to_write_a_token_is_rejected(stack: Stack, values: list[str]) -> None:
    token = stack.read_token
    assert status(stack, *(("Authorization", value.format(token, token)) for value in values)) == 403


@pytest.mark.parametrize("name", ["Proxy-Authorization", "X-Authorization", "Cookie", "X-Amz-Security-Token"])
def test_a_token_anywhere_else_is_no_token(stack: Stack, name: str) -> None:
    assert status(stack, (name, f"Bearer {stack.read_token}")) == 401
    for query in ("access_token={}", "token={}", "Authorization=Bearer%20{}"):
        assert status(stack, path=f"{READ}?{query.format(stack.read_token)}") == 401


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST", "TRACE"])
def test_no_other_method_reaches_a_function(stack: Stack, method: str) -> None:
    for token in (stack.read_token, stack.ingest_token):
        assert status(stack, ("Authorization", f"Bearer {token}"), method=method) in (403, 404, 501)


def posted(api: Api, token: str) -> int:
    return api.post(an_event(a_user()), token=token).status


def read(api: Api, token: str) -> int:
    return api.get(READ, token=token).status


def let_in(stack: Stack, **hashes: str) -> None:
    """Change the authorizer's environment and nothing else, as a deployment on AWS does."""
    function, client = stack.physical_id("AuthorizerFunction"), stack.client("lambda")
    variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=function, Environment={"Variables": variables | hashes})


def token_authorizer(stack: Stack) -> Any:
    authorizers = stack.client("apigatewayv2").get_authorizers(ApiId=stack.api_id)["Items"]
    [found] = [authorizer for authorizer in authorizers if authorizer["Name"] == "TokenAuthorizer"]
    return found


def keep_answers(stack: Stack, seconds: int) -> None:
    """Make API Gateway cache the authorizer's responses for so many seconds; 0 clears the cache.

    On AWS ResetAuthorizersCache clears it too. MiniStack does not have that.
    """
    gateway: Any = stack.client("apigatewayv2")
    authorizer = token_authorizer(stack)
    names = {"ApiId": stack.api_id, "AuthorizerId": authorizer["AuthorizerId"]}
    gateway.update_authorizer(**names, AuthorizerResultTtlInSeconds=seconds)


def status(stack: Stack, *headers: tuple[str, str], method: str = "GET", path: str = READ) -> int:
    """Send exactly these headers, even several with one name."""
    connection = http.client.HTTPConnection(urlsplit(stack.api_url).netloc, timeout=PATIENCE_SECONDS)
    try:
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value.encode())
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()
