"""Signing in and out: the first screen, and where a token is never to be found."""

import pytest
from playwright.sync_api import Browser, expect

from local.stack import Stack
from tests.browser.screen import Screen, new_screen

IS_FORGOTTEN = "sessionStorage.length + localStorage.length === 0 && document.cookie === ''"


def test_the_first_screen_has_figures_and_the_console_is_empty(operator: Screen) -> None:
    panels = operator.page.locator(".panel h2").all_inner_texts()
    assert panels == ["Money per day", "Who and what", "What is not in these figures", "Footprint"]
    assert "€" in operator.page.locator(".headline").inner_text()
    assert "Europe/Berlin" in operator.text()
    assert operator.page.get_by_role("alert").count() == 0


@pytest.mark.long
def test_the_token_is_in_no_address_no_cookie_and_no_local_storage(operator: Screen, stack: Stack) -> None:
    operator.go("#/user/alice")
    assert not any(stack.read_token in url for url in [*operator.asked, operator.page.url])
    assert operator.page.evaluate("localStorage.length") == 0
    assert operator.page.context.cookies() == []
    assert stack.read_token not in operator.page.content()


@pytest.mark.long
def test_signing_out_forgets(operator: Screen) -> None:
    operator.go("#/user/alice")
    operator.page.get_by_role("button", name="Sign out").click()
    expect(operator.page.get_by_label("Read token")).to_be_visible()
    assert operator.page.evaluate(IS_FORGOTTEN)
    operator.page.go_back()
    expect(operator.page.get_by_label("Read token")).to_be_visible()
    assert "€" not in operator.text()
    operator.page.reload()
    expect(operator.page.get_by_label("Read token")).to_be_visible()


@pytest.mark.long
def test_a_reload_stays_signed_in_and_another_tab_does_not(operator: Screen) -> None:
    operator.page.reload()
    operator.settled()
    other = operator.page.context.new_page()
    other.goto(operator.url)
    expect(other.get_by_label("Read token")).to_be_visible()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["wrong", "ingest"])
def test_a_token_that_cannot_read_is_refused(chromium: Browser, stack: Stack, kind: str) -> None:
    screen = new_screen(chromium, stack.api_url).open()
    screen.page.get_by_label("Read token").fill(
        {"wrong": "no-such-token", "ingest": stack.ingest_token}[kind]
    )
    screen.page.keyboard.press("Enter")
    expect(screen.page.get_by_role("alert")).to_contain_text("The token was refused")
    expect(screen.page.get_by_label("Read token")).to_be_visible()
    assert screen.page.evaluate(IS_FORGOTTEN)
    assert all("403" in line for line in screen.said)  # the browser's own line for each such response
    screen.page.context.close()


@pytest.mark.long
def test_a_token_that_was_revoked_meanwhile_leads_back_to_the_sign_in(
    chromium: Browser, stack: Stack
) -> None:
    screen = new_screen(chromium, stack.api_url).open().sign_in(stack.read_token)
    screen.page.route("**/api/**", lambda route: route.fulfill(status=403, json={"message": "Forbidden"}))
    screen.page.evaluate("location.hash = '#/team/legal'")
    expect(screen.page.get_by_role("alert")).to_contain_text("The token was refused")
    assert "€" not in screen.text()
    assert screen.page.evaluate(IS_FORGOTTEN)
    screen.page.context.close()
