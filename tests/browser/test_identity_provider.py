"""Signing in at /me with the operator's identity provider: there and back, on the deployed stack."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from local.fake_oidc import CLIENT_ID, Issuer, serving
from local.stack import Stack
from tests.browser.screen import Screen

pytestmark = pytest.mark.long

FUNCTIONS = ("PageFunction", "PersonAuthorizerFunction")
BUTTON = "Sign in with your organisation"


@pytest.fixture(scope="module")
def issuer(stack: Stack) -> Iterator[Issuer]:
    """A provider whose tokens the stack takes, as after a deployment with OidcIssuer and OidcAudience."""
    with serving() as running:
        running.redirect_uris = {f"{stack.api_url}/me"}
        set_provider(stack, running.url, CLIENT_ID)
        yield running
        set_provider(stack, "", "")


def set_provider(stack: Stack, issuer: str, audience: str) -> None:
    client = stack.client("lambda")
    for name in FUNCTIONS:
        function = stack.physical_id(name)
        variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        variables |= {"OIDC_ISSUER": issuer, "OIDC_AUDIENCE": audience}
        client.update_function_configuration(FunctionName=function, Environment={"Variables": variables})


def test_a_person_signs_in_and_sees_what_they_used(screen: Screen, stack: Stack, issuer: Issuer) -> None:
    screen.open("/me").page.get_by_role("button", name=BUTTON).click()
    screen.page.get_by_label("User").fill("alice")
    screen.page.get_by_role("button", name="Sign in").click()
    screen.settled()
    assert "Alice" in screen.page.locator("h1").inner_text()
    assert screen.page.url == f"{stack.api_url}/me"
    assert screen.page.evaluate("Object.keys(sessionStorage)") == ["impact.person-token"]
    assert not any("id_token=" in url.partition("#")[0] for url in screen.asked)
    screen.page.reload()
    screen.settled()
    screen.page.get_by_role("button", name="Sign out").click()
    expect(screen.page.get_by_role("button", name=BUTTON)).to_be_visible()
    assert screen.page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("kept", [None, "another-nonce"])
def test_a_sign_in_that_this_tab_did_not_begin_is_refused(
    screen: Screen, issuer: Issuer, kept: str | None
) -> None:
    """Or somebody could send a link that signs others in as themselves."""
    screen.open("/me")
    if kept:
        screen.page.evaluate("(nonce) => sessionStorage.setItem('impact.nonce', nonce)", kept)
    answer = {"id_token": issuer.token("alice", nonce="n" * 43), "state": "n" * 43}
    screen.page.goto("about:blank")
    screen.open(f"/me#{urlencode(answer)}")
    expect(screen.page.get_by_role("alert")).to_contain_text("The sign-in did not work")
    assert "Alice" not in screen.text()
    assert screen.page.evaluate("sessionStorage.length") == 0


def test_a_refusal_of_the_provider_is_said(screen: Screen, issuer: Issuer) -> None:
    screen.open("/me#error=access_denied&state=x")
    expect(screen.page.get_by_role("alert")).to_contain_text("The sign-in did not work")
    assert screen.page.url.endswith("/me")
