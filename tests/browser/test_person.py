"""A person's page: their figures by their link, and nobody else's."""

from datetime import date
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, expect

from local.stack import Stack
from tests.browser.screen import Screen, new_screen, read
from tests.browser.test_views import month_of, sums

pytestmark = pytest.mark.long

ASK = """async (path) => {
  const token = sessionStorage.getItem("impact.person-token");
  const response = await fetch(path, { headers: { Authorization: `Bearer ${token}` } });
  return [response.status, await response.text()];
}"""


def test_a_link_shows_its_person_and_leaves_the_address(
    screen: Screen, stack: Stack, links: dict[str, str], today: date
) -> None:
    screen.open(links["alice"]).settled()
    assert "Alice" in screen.page.locator("h1").inner_text()
    assert screen.page.url == f"{stack.api_url}/me"
    token = links["alice"].partition("#")[2]
    assert not any(token in url.partition("#")[0] for url in screen.asked)
    month = month_of(today)
    query = f"userId=alice&from={month['from']}&to={month['to']}"
    usage = read(f"{stack.api_url}/api/summaries?{query}", stack.read_token)
    shown = screen.page.locator(".headline data").get_attribute("title") or ""
    assert Decimal(shown) == sums(usage["days"], "billedEUR")
    for words in ("Markup", "Restoration fee", "Footprint", "Models", "What is not in these figures"):
        assert words in screen.text()


def test_a_second_profile_sees_nothing_of_the_first(
    chromium: Browser, screen: Screen, stack: Stack, links: dict[str, str]
) -> None:
    screen.open(links["alice"]).settled()
    other = new_screen(chromium, stack.api_url).open(links["bob"]).settled()
    assert "Bob" in other.page.locator("h1").inner_text()
    assert "Alice" not in other.page.content()
    assert "Bob" not in screen.page.content()
    assert other.page.locator(".headline").inner_text() != screen.page.locator(".headline").inner_text()
    stranger = new_screen(chromium, stack.api_url).open("/me")
    expect(stranger.page.get_by_text("You need a personal link")).to_be_visible()
    for each in (other, stranger):
        assert each.said == []
        each.page.context.close()


def test_whatever_a_person_asks_for_they_get_their_own(
    chromium: Browser, stack: Stack, links: dict[str, str]
) -> None:
    screen = new_screen(chromium, stack.api_url).open(links["bob"]).settled()
    status, text = screen.page.evaluate(ASK, "/api/me/summaries?userId=alice")
    assert (status, '"userId": "alice"' in text or '"userId":"alice"' in text) in [(200, False), (400, False)]
    for path in (
        "/api/summaries?userId=alice",
        "/api/summaries?userId=bob",
        "/api/totals",
        "/api/breakdown?by=user",
    ):
        assert screen.page.evaluate(ASK, path)[0] in (401, 403), path
    screen.go("#/user/alice?from=2026-01-01&to=2026-01-02")
    assert "Alice" not in screen.page.content()
    screen.page.context.close()


@pytest.mark.parametrize("harm", ["cut", "changed", "no link"])
def test_a_link_that_is_no_good_says_so(
    chromium: Browser, stack: Stack, links: dict[str, str], harm: str
) -> None:
    link = links["alice"]
    wrong = {"cut": link[:-4], "changed": f"{link[:-2]}AA", "no link": "/me#impact-link.x"}[harm]
    screen = new_screen(chromium, stack.api_url).open(wrong)
    expect(screen.page.get_by_role("alert")).to_contain_text("This link is not good any more")
    assert "€" not in screen.text()
    assert screen.page.evaluate("sessionStorage.length") == 0
    screen.page.context.close()


def test_signing_out_forgets_the_link(screen: Screen, links: dict[str, str]) -> None:
    screen.open(links["alice"]).settled()
    screen.page.get_by_role("button", name="Sign out").click()
    expect(screen.page.get_by_text("You need a personal link")).to_be_visible()
    assert screen.page.evaluate("sessionStorage.length + localStorage.length") == 0
    screen.page.reload()
    expect(screen.page.get_by_text("You need a personal link")).to_be_visible()
