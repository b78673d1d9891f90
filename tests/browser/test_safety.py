"""Names that are no names, and a network or a service that does not do its part."""

import json
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Route, expect

from local.stack import Stack
from tests.browser.conftest import HOSTILE_MODEL, HOSTILE_TAG, RIGHT_TO_LEFT
from tests.browser.screen import Screen, new_screen

pytestmark = pytest.mark.long

BYTES_MAX = 120_000
FIRST_PAINT_MS = 1000
FIGURES = "€"


@pytest.mark.parametrize("by", ["Users", "Models", "Teams", "Tags"])
def test_hostile_names_are_text(operator: Screen, by: str) -> None:
    panel = operator.panel("Who and what")
    panel.get_by_role("button", name=by, exact=True).click()
    operator.settled()
    shown = panel.locator("tbody").inner_text()
    expected = {
        "Users": "\\u{202e}txet",
        "Models": HOSTILE_MODEL,
        "Teams": "</bdi><script>alert(2)</script>",
        "Tags": HOSTILE_TAG,
    }
    assert expected[by] in shown
    assert operator.page.locator("main script, main img").count() == 0
    assert operator.page.title() == "Everybody – What AI chat costs"


@pytest.mark.parametrize(
    "address",
    [
        f"#/user/{quote(RIGHT_TO_LEFT)}",
        f"#/model/{quote('openai/' + HOSTILE_MODEL, safe='')}",
        f"#/tag/{quote(HOSTILE_TAG, safe='')}",
        f"#/tag/{'T' * 256}",
        "#/user/%3Cimg%20src%3Dx%20onerror%3Dalert(3)%3E",
        "#/user/%",
        "#/user/",
        "#/nothing/at/all?from=x&to=y",
        "#/__proto__/x",
    ],
)
def test_a_hostile_address_does_nothing(operator: Screen, address: str) -> None:
    operator.go(address)
    assert operator.page.locator("h1").count() == 1
    assert operator.page.locator("main script, main img").count() == 0


def test_while_the_network_is_slow_it_says_that_it_loads(chromium: Browser, stack: Stack) -> None:
    screen = new_screen(chromium, stack.api_url)
    network = screen.page.context.new_cdp_session(screen.page)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 20_000}
    network.send("Network.emulateNetworkConditions", slow)
    screen.open()
    screen.page.get_by_label("Read token").fill(stack.read_token)
    screen.page.keyboard.press("Enter")
    expect(screen.page.get_by_text("Loading").first).to_be_visible()
    assert FIGURES not in screen.text()
    screen.settled()
    assert FIGURES in screen.text()
    assert screen.said == []
    screen.page.context.close()


def test_a_busy_service_is_asked_again_and_then_says_so(chromium: Browser, stack: Stack) -> None:
    screen = new_screen(chromium, stack.api_url).open().sign_in(stack.read_token)
    body = json.dumps({"error": {"code": "unavailable", "message": "busy", "details": []}})
    asked: list[str] = []

    def busy(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, headers={"retry-after": "1"}, content_type="application/json", body=body)

    screen.page.route("**/api/summaries**", busy)
    screen.go("#/user/bob")
    assert len(asked) == len(set(asked)) * 2  # each a second time, by itself
    alert = screen.page.get_by_role("alert").first
    expect(alert).to_contain_text("Nothing is lost")
    screen.page.unroute("**/api/summaries**")
    for _ in range(screen.page.get_by_role("button", name="Try again").count()):
        screen.page.get_by_role("button", name="Try again").first.click()
        screen.settled()
    assert screen.page.get_by_role("alert").count() == 0
    assert FIGURES in screen.text()
    assert all("503" in line for line in screen.said)  # the browser's own line for each such response
    screen.page.context.close()


@pytest.mark.parametrize("answer", ["abort", "500", "nonsense"])
def test_a_failure_is_said_and_can_be_tried_again(chromium: Browser, stack: Stack, answer: str) -> None:
    screen = new_screen(chromium, stack.api_url).open().sign_in(stack.read_token)

    def fail(route: Route) -> None:
        if answer == "abort":
            route.abort()
        else:
            body = '{"error": {"message": "<b>no</b>"}}' if answer == "500" else "<html>"
            route.fulfill(status=500, body=body)

    screen.page.route("**/api/summaries**", fail)
    screen.go("#/team/legal")
    expect(screen.page.get_by_role("button", name="Try again").first).to_be_visible()
    if answer == "500":
        expect(screen.page.get_by_role("alert").first).to_contain_text("<b>no</b>")
    screen.page.context.close()


def test_the_page_is_small_and_there_at_once(chromium: Browser, stack: Stack) -> None:
    paints = []
    for _ in range(3):
        screen = new_screen(chromium, stack.api_url)
        network = screen.page.context.new_cdp_session(screen.page)
        network.send("Network.enable")
        received: dict[str, float] = {}
        network.on(
            "Network.loadingFinished",
            lambda event, received=received: received.update(
                {event["requestId"]: event["encodedDataLength"]}
            ),
        )
        screen.open()
        expect(screen.page.get_by_label("Read token")).to_be_visible()
        paints.append(
            screen.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        )
        screen.page.context.close()
    assert 10_000 < sum(received.values()) < BYTES_MAX
    assert min(paints) < FIRST_PAINT_MS


def test_what_is_loaded_comes_from_the_stack_alone(operator: Screen, stack: Stack) -> None:
    foreign = [url for url in operator.asked if not url.startswith((stack.api_url, "data:", "blob:"))]
    assert foreign == []
    policy = operator.page.request.get(stack.api_url).headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_no_figure_is_kept_by_the_browser(operator: Screen) -> None:
    kept = operator.page.evaluate(
        "async () => [await caches.keys(), await indexedDB.databases(), Object.keys(localStorage)]"
    )
    assert kept == [[], [], []]
