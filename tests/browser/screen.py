"""A page under test: opening it, signing in, waiting for it; and all that it said and sent."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import Browser, Dialog, Page, expect

PATIENCE_MS = 60_000
"""Time limit for any wait. Even a busy machine needs only a tenth of it."""
ENGLISH = "en-GB"


@dataclass
class Screen:
    """A tab of a browser profile of its own."""

    page: Page
    url: str
    said: list[str] = field(default_factory=list)
    """Messages of the console, violations of the content security policy and errors of scripts among them."""
    asked: list[str] = field(default_factory=list)
    """The URLs of all requests."""

    def open(self, path: str = "/") -> "Screen":
        self.page.goto(self.url + path)
        return self

    def sign_in(self, token: str) -> "Screen":
        self.page.get_by_label("Read token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        return self.settled()

    def settled(self) -> "Screen":
        """Wait until every panel has loaded."""
        # Not by a function to wait for: the content security policy forbids to evaluate one again and again.
        expect(self.page.locator(".panel").first).to_be_visible(timeout=PATIENCE_MS)
        expect(self.page.locator("[aria-busy]")).to_have_count(0, timeout=PATIENCE_MS)
        return self

    def go(self, fragment: str) -> "Screen":
        """Follow an address within the page."""
        self.page.evaluate("(fragment) => { location.hash = fragment; }", fragment)
        return self.settled()

    def dismiss(self, dialog: Dialog) -> None:
        """No page of ours opens one."""
        self.said.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def panel(self, heading: str) -> Any:
        return self.page.locator(".panel").filter(
            has=self.page.get_by_role("heading", name=heading, exact=True)
        )

    def text(self) -> str:
        return self.page.locator("#page").inner_text()

    def exact(self) -> list[str]:
        """The exact values of all figures, in order."""
        values: list[str] = self.page.eval_on_selector_all("data", "all => all.map((each) => each.value)")
        return values


def new_screen(browser: Browser, url: str, **options: Any) -> Screen:
    """Open a profile: it shares nothing with others. `options` are Playwright's, for a context."""
    context = browser.new_context(**{"locale": ENGLISH, "viewport": {"width": 1280, "height": 900}} | options)
    page = context.new_page()
    screen = Screen(page, url)
    page.on("console", lambda message: screen.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: screen.said.append(f"error: {error}"))
    page.on("request", lambda request: screen.asked.append(request.url))
    page.on("dialog", screen.dismiss)
    return screen


def read(url: str, token: str) -> Any:
    """Read the API. Numbers are the text that it wrote."""
    with urlopen(Request(url, headers={"Authorization": f"Bearer {token}"})) as response:
        return json.load(response, parse_float=str, parse_int=str)
