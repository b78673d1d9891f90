"""The way to the identity provider and back: `GET /sign-in`, over real HTTP, with the fake provider."""

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import jwt
import pytest

from impact.identity_provider import IdentityProvider
from impact.oidc import Terms
from local.fake_oidc import AUTHORIZE, CLIENT_ID, CONFIGURATION, Issuer, serving
from page import sign_in as app
from page.app import HEADERS, handler

NONCE = "n-0S6_WzA2Mj-n-0S6_WzA2Mj-n-0S6_WzA2Mj-1234"
API = "a1b2c3.execute-api.eu-central-1.amazonaws.com"
HARDENED = HEADERS | {"cache-control": "no-store"}


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    with serving() as running:
        monkeypatch.setattr(app, "provider", IdentityProvider(Terms(running.url, CLIENT_ID)))
        yield running


def asked(nonce: str | None = NONCE, domain: str = API, **headers: str) -> dict[str, Any]:
    event: dict[str, Any] = {
        "routeKey": "GET /sign-in",
        "headers": headers,
        "requestContext": {"domainName": domain},
    }
    return event | ({} if nonce is None else {"queryStringParameters": {"nonce": nonce}})


def response(event: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event, None)
    assert answer["headers"].items() >= HARDENED.items()
    return answer


def location(event: dict[str, Any]) -> str:
    answer = response(event)
    assert answer["statusCode"] == 302
    assert answer["body"] == ""
    return str(answer["headers"]["location"])


def query_of(url: str) -> dict[str, str]:
    found = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


def code(answer: dict[str, Any]) -> tuple[int, str]:
    return answer["statusCode"], json.loads(answer["body"])["error"]["code"]


def test_what_the_provider_is_asked_for(issuer: Issuer) -> None:
    url = location(asked())
    assert url.startswith(f"{issuer.url}{AUTHORIZE}?")
    assert query_of(url) == {
        "response_type": "id_token",
        "response_mode": "fragment",
        "client_id": CLIENT_ID,
        "redirect_uri": f"https://{API}/me",
        "scope": "openid",
        "nonce": NONCE,
        "state": NONCE,
    }


@pytest.mark.parametrize(
    ("claim", "scope"),
    [
        ("sub", "openid"),
        ("email", "openid email"),
        ("preferred_username", "openid profile"),
        ("oid", "openid profile"),
    ],
)
def test_the_scope_brings_the_claim(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, claim: str, scope: str
) -> None:
    monkeypatch.setattr(app, "provider", IdentityProvider(Terms(issuer.url, CLIENT_ID, claim)))
    assert query_of(location(asked()))["scope"] == scope


def test_there_and_back(issuer: Issuer) -> None:
    """A browser is sent to the sign-in page, names its user, and comes back with a token that is theirs."""
    issuer.redirect_uris = {f"https://{API}/me"}
    url = location(asked())
    form, _ = get(url)
    assert form == 200
    status, back = get(f"{url}&user=alice")
    assert status == 302
    assert back.startswith(f"https://{API}/me#")
    returned = dict(parse_qsl(urlsplit(back).fragment))
    assert returned["state"] == NONCE
    assert jwt.decode(returned["id_token"], options={"verify_signature": False})["nonce"] == NONCE
    assert app.provider
    assert app.provider.user_of(returned["id_token"], jwt_now(returned["id_token"])) == "alice"


def get(url: str) -> tuple[int, str]:
    """Fetch a page of the provider, without following it: status, and where it leads."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        return answer.status, answer.headers.get("location", "")
    finally:
        connection.close()


def jwt_now(token: str) -> float:
    return float(jwt.decode(token, options={"verify_signature": False})["iat"])


def test_a_made_up_host_leads_nowhere(issuer: Issuer) -> None:
    """The provider refuses an address that is not registered, without sending the browser there."""
    issuer.redirect_uris = {f"https://{API}/me"}
    status, back = get(location(asked(domain="evil.example")) + "&user=alice")
    assert (status, back) == (400, "")


@pytest.mark.parametrize("forwarded", ["evil.example", "localhost:3090", "localhost"])
def test_on_aws_no_header_says_where_the_page_is(issuer: Issuer, forwarded: str) -> None:
    event = asked(**{"x-forwarded-host": forwarded, "host": forwarded, "forwarded": f"host={forwarded}"})
    assert query_of(location(event))["redirect_uri"] == f"https://{API}/me"


@pytest.mark.parametrize("host", ["localhost:3090", "127.0.0.1:45123", "localhost"])
def test_on_the_emulator_the_page_is_where_the_browser_found_it(issuer: Issuer, host: str) -> None:
    event = asked(domain="a1b2c3.execute-api.localhost", **{"X-Forwarded-Host": host})
    assert query_of(location(event))["redirect_uri"] == f"http://{host}/me"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "localhost:80@evil.example",
        "localhost:3090/evil",
        "",
        "a, b",
    ],
)
def test_on_the_emulator_the_page_is_on_this_machine(issuer: Issuer, host: str) -> None:
    event = asked(domain="a1b2c3.execute-api.localhost", **{"x-forwarded-host": host})
    assert query_of(location(event))["redirect_uri"] == "https://a1b2c3.execute-api.localhost/me"


def test_a_query_of_the_providers_own_is_kept(issuer: Issuer) -> None:
    configure(issuer, authorization_endpoint="https://id.example/authorize?policy=b2c#top")
    url = location(asked())
    assert url.startswith("https://id.example/authorize?policy=b2c&response_type=id_token&")
    assert "#" not in url


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (["code", "token"], "token"),
        (["code", "token", "id_token"], "id_token"),
        (["code"], "id_token"),
        ([], "id_token"),
    ],
)
def test_cognito_calls_it_token(issuer: Issuer, types: list[str], wanted: str) -> None:
    configure(issuer, response_types_supported=types)
    assert query_of(location(asked()))["response_type"] == wanted


def configure(issuer: Issuer, **changes: Any) -> None:
    usual = issuer.answer(CONFIGURATION)
    assert isinstance(usual, bytes)
    issuer.answers[CONFIGURATION] = json.dumps(json.loads(usual) | changes).encode()


@pytest.mark.parametrize(
    "nonce", [None, "", NONCE[:-1], NONCE + "A", NONCE[:-1] + "=", NONCE[:-1] + "\n", f"{NONCE},{NONCE}"]
)
def test_a_nonce_is_32_random_bytes(issuer: Issuer, nonce: str | None) -> None:
    assert code(response(asked(nonce))) == (400, "invalid")
    assert issuer.asked == []


def test_without_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "provider", None)
    assert code(response(asked())) == (404, "not_found")


def test_a_provider_that_does_not_answer(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    issuer.answers[CONFIGURATION] = 503
    assert code(response(asked())) == (503, "unavailable")
    assert "status 503" in caplog.text
