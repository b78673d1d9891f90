"""Each charge once, and nothing else: from the real LiteLLM proxy through the deployed stack into the ledger.

All cases run first, in parallel. Then the proxy is stopped, so that nothing more can arrive.
Then each case compares what the fake providers served, and so charged, with the ledger.
"""

import json
import shutil
import urllib.request
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from local.demo.expected_cost import cost, price_list
from local.fake_providers import environment, running_provider
from local.fake_providers.prompt_directives import Usage
from local.litellm_proxy import PROGRAM, running_proxy
from local.process import stop
from local.stack import Stack, free_port
from local.waiting import wait_until
from tests.e2e.api import a_user
from tests.e2e.charges.cases import CASES, LISTED, SOME, Case, Event
from tests.e2e.charges.client import Client
from tests.e2e.charges.config import config
from tests.leaks import PLANTED, leaks

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="LiteLLM is not installed (make proxy-env)")

GUARDRAIL = Path(__file__).parent / "charges" / "guardrail.py"
CLIENTS = 8
WAIT_SECONDS = 120.0
NOBODY = "nobody"

Items = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Done:
    """The result of all cases: for each case its events, and what the providers served for it."""

    events: Mapping[str, Items]
    served: Mapping[str, Items]
    problems: Mapping[str, Exception]
    said: Sequence[str]
    """The callback's lines in the proxy's log."""


@pytest.fixture(scope="module")
def done(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("charges")
    users = {case.name: a_user() for case in CASES}
    before = {_key(item) for item in _ledger(stack)}

    def new_events() -> Items:
        return [item for item in _ledger(stack) if _key(item) not in before]

    with running_provider(free_port(), folder / "provider.log") as provider:
        shutil.copy(GUARDRAIL, folder)
        (folder / "config.yaml").write_text(json.dumps(config(provider)))  # JSON is YAML
        reporting = {
            "IMPACT_SERVICE_URL": f"{stack.api_url}/api/request-event",
            "IMPACT_SERVICE_TOKEN": stack.ingest_token,
            "IMPACT_OUTBOX": str(folder / "outbox"),
        }
        log = folder / "proxy.log"
        with running_proxy(environment(provider) | reporting, log, folder / "config.yaml") as proxy:
            proxy.wait_until_ready()

            def do(case: Case) -> Exception | None:
                try:
                    case.do(Client(proxy.url, proxy.key, provider, users[case.name]))
                except Exception as error:
                    return error
                return None

            with ThreadPoolExecutor(CLIENTS) as pool:
                problems = {
                    case.name: error for case, error in zip(CASES, pool.map(do, CASES), strict=True) if error
                }
            due = sum(len(case.events) for case in CASES)
            with suppress(TimeoutError):  # the test of each case says what is missing
                wait_until(lambda: len(new_events()) >= due, "all events", seconds=WAIT_SECONDS)
            stop(proxy.process)  # it delivers what it still has: an event too many arrives now
        with urllib.request.urlopen(f"{provider}/journal") as answer:
            journal = json.load(answer)
    lines = [line for path in folder.glob("outbox/*.jsonl") for line in path.read_text().splitlines()]
    undelivered = [
        json.loads(line, parse_float=Decimal) for line in lines
    ]  # where two seconds were too short
    once = {(item["userId"], item["eventId"]): item for item in [*undelivered, *new_events()]}
    cases = {user: name for name, user in users.items()}
    events, served = defaultdict(list), defaultdict(list)
    for item in sorted(once.values(), key=lambda item: item["ts"]):
        named_by_call = str(item["eventId"]).partition(":")[0]
        events[cases.get(item["userId"]) or cases.get(named_by_call, NOBODY)].append(item)
    for entry in journal:
        served[cases.get(entry["user"], NOBODY)].append(entry)
    said = [line for line in log.read_text().splitlines() if "impact service:" in line]
    return Done(events, served, problems, said)


def _ledger(stack: Stack) -> Items:
    pages = (
        stack.session.resource("dynamodb")
        .meta.client.get_paginator("scan")
        .paginate(TableName=stack.request_events_table, ConsistentRead=True)
    )
    return [item for page in pages for item in page["Items"]]


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["dayShard"], item["userEvent"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_ledger_has_each_charge(done: Done, case: Case) -> None:
    if case.name in done.problems:
        raise done.problems[case.name]
    found = done.events.get(case.name, [])
    assert len(found) == len(case.events), found
    seen = [_seen(item, expected) for item, expected in zip(found, case.events, strict=True)]
    assert seen == case.events


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_charged_call_is_an_event(done: Done, case: Case) -> None:
    charged = [entry for entry in done.served.get(case.name, []) if entry["status"] == 200]
    events = [
        item
        for item in done.events.get(case.name, [])
        if item["status"] != "failure" or item.get("costUSD") != 0
    ]
    assert len(charged) - case.hidden + case.fees == len(events)
    assert len({item["eventId"] for item in events}) == len(events)


def test_nothing_else_is_in_the_ledger_or_was_served(done: Done) -> None:
    assert done.events.get(NOBODY, []) == []
    assert done.served.get(NOBODY, []) == []


def test_no_event_and_no_log_holds_a_prompt(done: Done, stack: Stack) -> None:
    assert not [item for items in done.events.values() for item in items if "forest" in str(item)]
    assert leaks(done.said, [*PLANTED, stack.ingest_token]) == []


def _seen(item: Mapping[str, Any], expected: Event) -> Event:
    """The fields of an event in the form in which a case expects them."""
    seen = {name: item.get(name) for name in expected}
    for name in ("tokens_in", "tokens_out"):
        if expected.get(name) == SOME and item[name] > 0:
            seen[name] = SOME
    if seen.get("costUSD") is not None:
        seen["costUSD"] = (
            LISTED if expected["costUSD"] == LISTED and _is_listed(item) else round(item["costUSD"], 12)
        )
    return seen


def _is_listed(item: Mapping[str, Any]) -> bool:
    """Tell whether a cost is that of the event's tokens by the price list, except for a float's rounding."""
    usage = Usage(**{count.name: int(item.get(count.name, 0)) for count in fields(Usage)})
    listed = cost(price_list(), item["provider"], item["model"], usage)
    return listed is not None and abs(item["costUSD"] - listed) < Decimal("1e-12")
