"""`make screenshots`: pictures of both pages, light, dark and narrow, into docs/screenshots/.

They are of a stack of their own, which is filled with made-up months.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from impact_cli.person_links import links_for
from impact_cli.progress import Progress
from impact_client import ImpactError
from local import PROJECT
from local.browser import running_browser
from local.months.fill import NotFilled, Target, fill, plausible, target_of
from local.stack import running_stack

FOLDER = PROJECT / "docs" / "screenshots"
WIDE, NARROW = {"width": 1280, "height": 1280}, {"width": 360, "height": 780}
KINDS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": NARROW, "color_scheme": "light"},
}
TERMS: dict[str, Any] = {
    "MarkupPercent": 10,
    "RestorationFeePercent": 2,
    "ReportingTimeZone": "Europe/Berlin",
    "ShardCount": 1,
}
PERSON = "alice"
PATIENCE_MS = 60_000
BYTES_MAX = 150_000
"""Of a picture: the repository keeps each version of it."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.screenshots", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they go (docs/screenshots)")
    folder = parser.parse_args().folder
    try:
        with running_browser() as browser, _filled_stack() as target:
            take(browser, target, folder)
    except (RuntimeError, OSError, NotFilled, ImpactError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; nothing is left running.", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _filled_stack() -> Iterator[Target]:
    progress = Progress()
    with running_stack(progress=lambda step: print(step, flush=True), **TERMS) as stack:
        print("Filling it with months of made-up use", flush=True)
        target = target_of(stack)
        fill(target, plausible(target.calendar), progress)
        progress.clear()
        yield target


def take(browser: Browser, target: Target, folder: Path) -> None:
    """Take the pictures. Raises RuntimeError if one is too large for the repository."""
    folder.mkdir(parents=True, exist_ok=True)
    url = target.impact.url
    [link] = links_for(target.store.links, url, [PERSON], 30, datetime.now(UTC))
    for kind, options in KINDS.items():
        for who in ("operator", "person"):
            context = browser.new_context(locale="en-GB", reduced_motion="reduce", **options)
            page = context.new_page()
            if who == "person":
                page.goto(str(link["link"]))
            else:
                page.goto(url)
                page.get_by_label("Read token").fill(target.read_token)
                page.keyboard.press("Enter")
            _save(page, folder / f"{who}-{kind}.png")
            context.close()


def _save(page: Page, path: Path) -> None:
    expect(page.locator(".panel").first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("[aria-busy]")).to_have_count(0, timeout=PATIENCE_MS)
    page.screenshot(path=path, animations="disabled", caret="hide")
    size = path.stat().st_size
    print(f"{path.name}: {size / 1000:.0f} kB", flush=True)
    if size > BYTES_MAX:
        raise RuntimeError(f"{path} has more than {BYTES_MAX:,} bytes: it would make the repository large.")


if __name__ == "__main__":
    sys.exit(main())
