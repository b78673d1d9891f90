"""A stack with two months of use, a browser, and a profile for each test."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser

from impact.calendar import timestamp
from impact_cli.deployed_stack import store_of
from impact_cli.person_links import links_for
from impact_cli.progress import Progress
from local.browser import NAMES, browser_path, running_browser
from local.months.events import Months
from local.months.fill import fill, target_of
from local.months.people import hostile_people, people
from local.stack import Stack, running_stack
from tests.browser.screen import Screen, new_screen
from tests.leaks import leaks

ZONE = "Europe/Berlin"
HOSTILE_MODEL = "<img src=x onerror=alert(1)>"
HOSTILE_TAG = '=cmd|" /C calc"!A1'
RIGHT_TO_LEFT = "\u202etxet"

TERMS = {
    "MarkupPercent": 10,
    "RestorationFeePercent": 2,
    "RestorationKgCO2ePerM2": 25,
    "RestorationSource": "a study",
}


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """For these tests alone: while it runs, no other test of this process could start an event loop."""
    if browser_path() is None:
        pytest.skip(f"no browser is installed: none of {', '.join(NAMES)}")
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="package")
def stack(chromium: Browser) -> Iterator[Stack]:
    """A stack with use since the first of last month. No log may have one of its tokens."""
    parameters: dict[str, Any] = {"ShardCount": 1, "ReportingTimeZone": ZONE, **TERMS}
    with running_stack(**parameters) as running:
        target = target_of(running)
        months = _months()
        target.impact.send_many([_hostile_event(months.now)])
        fill(target, months, Progress())
        yield running
        assert leaks(running.log_lines(), [running.ingest_token, running.read_token, "impact-link."]) == []


def _months() -> Months:
    now = datetime.now(UTC)
    today = now.astimezone(ZoneInfo(ZONE)).date()
    first_of_last_month = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    users = [*people(24, 0), *(replace(user, weight=0.4) for user in hostile_people())]
    return Months(users, first_of_last_month, now, ZoneInfo(ZONE), requests_a_day=14)


def _hostile_event(now: datetime) -> dict[str, object]:
    return {
        "userId": RIGHT_TO_LEFT,
        "ts": timestamp(now - timedelta(seconds=5)),
        "model": HOSTILE_MODEL,
        "provider": "openai",
        "tokens_in": 1000,
        "tokens_out": 100,
        "latency": 1,
        "costUSD": Decimal("12.345678901234567"),  # the dearest: it is in every view
        "teamId": "</bdi><script>alert(2)</script>",
        "tags": [HOSTILE_TAG, "T" * 256],
    }


@pytest.fixture(scope="package")
def today(stack: Stack) -> date:
    return datetime.now(ZoneInfo(ZONE)).date()


@pytest.fixture
def screen(chromium: Browser, stack: Stack) -> Iterator[Screen]:
    """A profile of the test's own. At the end, the page must not have said anything."""
    made = new_screen(chromium, stack.api_url)
    yield made
    made.page.context.close()
    assert made.said == []


@pytest.fixture
def operator(screen: Screen, stack: Stack) -> Screen:
    """The operator's page, signed in."""
    return screen.open().sign_in(stack.read_token)


@pytest.fixture(scope="package")
def links(stack: Stack) -> dict[str, str]:
    """Links of two people, by user id: the path and what follows it."""
    store = store_of(stack.session, stack.name)
    made = links_for(store.links, "", ["alice", "bob"], 30, datetime.now(UTC))
    return {str(link["userId"]): str(link["link"]) for link in made}
