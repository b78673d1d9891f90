"""A headless browser of this machine: Debian's Chromium, or Chrome."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def browser_path() -> str | None:
    """Find a browser. None if there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser without a window until the end of the block. Raises RuntimeError if there is none."""
    path = browser_path()
    if path is None:
        raise RuntimeError(f"No browser is installed: it needs one of {', '.join(NAMES)}.")
    with sync_playwright() as playwright:
        # In a container the sandbox and /dev/shm are often not there; only pages of this machine are opened.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()
