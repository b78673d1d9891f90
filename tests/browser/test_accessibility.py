"""For everybody: axe-core, the keyboard alone, a narrow screen, light and dark."""

import re
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, ViewportSize, expect

from local.stack import Stack
from tests.browser.screen import Screen, new_screen

pytestmark = pytest.mark.long

OPERATORS = (
    "#/",
    "#/?from=2026-01-01&to=2026-01-31",
    "#/user/alice",
    "#/model/openai%2Fgpt-4o",
    "#/team/legal",
)
VIEWS = ("sign-in", "person", "stranger", *OPERATORS)
WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 360, "height": 740}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def show(view: str, screen: Screen, stack: Stack, links: dict[str, str]) -> None:
    if view == "person":
        screen.open(links["alice"]).settled()
    elif view in ("sign-in", "stranger"):
        screen.open("/" if view == "sign-in" else "/me")
        expect(screen.page.locator("h1")).to_be_visible()
    else:
        screen.open().sign_in(stack.read_token).go(view)
        for each in screen.page.locator("summary").all():
            each.click()


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_and_nothing_is_cut_off(
    screen: Screen, stack: Stack, links: dict[str, str], view: str
) -> None:
    show(view, screen, stack, links)
    for size in (WIDE, NARROW):
        screen.page.set_viewport_size(size)
        assert screen.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        for scheme in SCHEMES:
            screen.page.emulate_media(color_scheme=scheme)
            found = Axe().run(screen.page)
            assert found.violations_count == 0, f"{size} {scheme}: {found.generate_report()}"


def test_dark_is_dark(chromium: Browser, stack: Stack) -> None:
    shades = []
    for scheme in SCHEMES:
        screen = new_screen(chromium, stack.api_url, color_scheme=scheme).open()
        colour = screen.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        shades.append(sum(map(int, re.findall("[0-9]+", colour)[:3])))
        screen.page.context.close()
    light, dark = shades
    assert light > 650
    assert dark < 120


def test_the_keyboard_alone_is_enough(screen: Screen, stack: Stack) -> None:
    screen.open()
    keyboard, page = screen.page.keyboard, screen.page
    expect(page.get_by_label("Read token")).to_be_visible()

    def tab_to(selector: str) -> None:
        for _ in range(80):
            keyboard.press("Tab")
            if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"nobody sees that {selector} has the focus"
                return
        raise AssertionError(f"{selector} is out of reach")

    tab_to("#token")
    keyboard.type(stack.read_token)
    keyboard.press("Enter")
    screen.settled()
    tab_to(".tabs button:nth-of-type(2)")
    keyboard.press("Enter")
    screen.settled()
    tab_to("thead button")
    keyboard.press("Enter")
    assert page.locator('[aria-sort="ascending"], [aria-sort="descending"]').count() == 1
    tab_to("tbody a")
    keyboard.press("Enter")
    screen.settled()
    assert page.evaluate("document.activeElement.tagName") == "H1"
    assert "#/model/" in page.url
    tab_to(".top button")
    keyboard.press("Enter")
    expect(page.get_by_label("Read token")).to_be_visible()


def test_every_part_has_a_name_for_a_screen_reader(operator: Screen) -> None:
    page = operator.page
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == 1
    for chart in page.locator("svg[role=img]").all():
        assert "Bars of" in (chart.get_attribute("aria-label") or "")
    for table in page.locator("table").all():
        assert table.locator("caption").inner_text() or table.locator("caption").text_content()
