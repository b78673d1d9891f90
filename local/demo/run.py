"""Start everything, let the users chat, and check the stack's numbers."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from impact_cli.tokens import sha256
from local.demo.calls import CALLS, NEW_MODEL, QUESTION, make_calls
from local.demo.check import Found, check, check_logs, check_reading
from local.demo.expected_cost import price_list
from local.demo.expected_euros import PARAMETERS
from local.demo.expected_footprint import OPERATOR_COUNTRY
from local.demo.report import report
from local.demo.usage_totals import Items, expected
from local.fake_ecb import Rates, published, recorded, serving
from local.fake_providers import environment, running_provider
from local.litellm_proxy import CONFIG, Proxy, running_proxy
from local.process import stop
from local.stack import Stack, free_port, running_stack
from local.waiting import wait_until

WAIT_SECONDS = 120.0
LOG_LINES = 30

Say = Callable[[str], None]
Keep = Callable[[Stack, str], None]


def run(say: Say, keep: Keep | None = None) -> list[str]:
    """Run the demo. Return a line for each problem.

    If there is none, `keep` gets the stack, which stays up until it returns, and an ingest token of it.
    """
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="impact-demo-")))
        log = folder / "proxy.log"
        # Chosen here, not by the stack: so the proxy can start while the stack is being deployed.
        token, port = secrets.token_urlsafe(32), free_port()
        reporting = {
            "IMPACT_SERVICE_URL": f"http://localhost:{port}/api/request-event",
            "IMPACT_SERVICE_TOKEN": token,
            "IMPACT_OUTBOX": str(folder / "outbox"),
        }
        rates = _rates()
        ecb = running.enter_context(serving())
        ecb.publish(rates)
        parameters: dict[str, Any] = {
            "IngestTokenHashes": sha256(token),
            "RatesUrl": ecb.url,
            "OperatorCountry": OPERATOR_COUNTRY,
            **PARAMETERS,
        }
        say("Starting four fake AI providers, and a real LiteLLM proxy in front of them")
        provider_url = running.enter_context(running_provider(free_port(), folder / "provider.log"))
        proxy = running.enter_context(
            running_proxy(environment(provider_url) | reporting, log, _with_new_model(folder))
        )
        try:
            stack = running.enter_context(running_stack(port=port, progress=say, **parameters))
            say(_about(rates))
            stack.update_rates()
            say("Waiting for the proxy")
            proxy.wait_until_ready()
            problems = _chat_and_check(say, rates, provider_url, proxy, stack)
            secrets_sent = {QUESTION, token, stack.read_token, proxy.key} | {call.user for call in CALLS}
            problems += check_logs([*stack.log_lines(), *_callback_lines(log)], secrets_sent)
        except Exception:
            _show_log(log)
            raise
        if problems:
            _show_log(log)
        elif keep is not None:
            keep(stack, token)
        return problems


def _with_new_model(folder: Path) -> Path:
    """The configuration of `deploy/`, plus a model that no price list has yet."""
    of = f"{{ model: anthropic/{NEW_MODEL}, api_key: os.environ/ANTHROPIC_API_KEY }}"
    added = f"model_list:\n  - model_name: {NEW_MODEL}\n    litellm_params: {of}\n"
    config = folder / CONFIG.name
    config.write_text(CONFIG.read_text().replace("model_list:\n", added))
    return config


def _rates() -> Rates:
    """90 days of rates, including today's: a demo that runs past midnight needs it."""
    today = datetime.now(UTC).date()
    return published(str(today - timedelta(days=90)), str(today))


def _about(rates: Rates) -> str:
    return (
        f"Serving the ECB's fx rates: {rates[max(rates)]} dollars for one euro, as of {max(recorded())},"
        " also for all later dates"
    )


def _chat_and_check(say: Say, rates: Rates, provider_url: str, proxy: Proxy, stack: Stack) -> list[str]:
    users = {call.user for call in CALLS}
    say(f"{len(users)} users make {len(CALLS)} requests")
    unexpected = make_calls(CALLS, proxy.url, proxy.key)
    with urllib.request.urlopen(f"{provider_url}/journal", timeout=WAIT_SECONDS) as response:
        journal = json.load(response, parse_float=Decimal)
    events = sum(totals.requests for totals in expected(CALLS, journal, price_list()).values())
    say(f"Waiting until the callback has delivered {events} events")
    _wait(lambda: len(_scan(stack, stack.request_events_table)) >= events)
    stop(proxy.process)  # it delivers all that it still has: an event too many would arrive now
    ledger = _scan(stack, stack.request_events_table)
    say("Running the rollup, as the schedule does every hour")
    with suppress(TimeoutError):
        stack.rollup(seconds=WAIT_SECONDS)
    summaries = _scan(stack, stack.daily_summaries_table)
    if not summaries:
        return [*unexpected, "summaries: there are none"]
    found = Found(ledger, summaries, stack.impact.totals(*_range(summaries)))
    print(f"\n{report(summaries, found.totals)}\n")
    truth = expected(CALLS, journal, price_list(), ledger)
    return [*unexpected, *check(truth, found, rates), *_check_reading(stack, summaries)]


def _check_reading(stack: Stack, summaries: Items) -> list[str]:
    """Check one user's days as clients read them: by a DynamoDB query, and from the API."""
    user, (first, last) = CALLS[0].user, _range(summaries)
    stored = [summary for summary in summaries if summary["userId"] == user]
    dynamodb: Any = stack.session.resource("dynamodb")
    queried = dynamodb.Table(stack.daily_summaries_table).query(
        KeyConditionExpression="userId = :u AND #d BETWEEN :a AND :b",
        ExpressionAttributeNames={"#d": "day"},
        ExpressionAttributeValues={":u": user, ":a": first, ":b": last},
    )["Items"]
    returned = stack.impact.usage(user, first, last)["days"]
    return [
        *check_reading("DynamoDB query", queried, stored),
        *check_reading("GET /api/summaries", returned, stored),
    ]


def _range(summaries: Items) -> tuple[str, str]:
    days = sorted(summary["day"] for summary in summaries)
    return days[0], days[-1]


def _wait(condition: Callable[[], bool]) -> None:
    """Wait up to WAIT_SECONDS. After that, the comparison shows what is missing."""
    with suppress(TimeoutError):
        wait_until(condition, "the events of all requests", seconds=WAIT_SECONDS)


def _scan(stack: Stack, name: str) -> Items:
    dynamodb: Any = stack.session.resource("dynamodb")
    pages = dynamodb.meta.client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


def _show_log(log: Path) -> None:
    """Print its end, and the callback's earlier lines: LiteLLM logs many lines for each failure."""
    lines = log.read_text(errors="replace").splitlines()
    earlier = [line for line in _callback_lines(log) if line not in lines[-LOG_LINES:]]
    print("The proxy's log:", *earlier, "...", *lines[-LOG_LINES:], sep="\n  ", file=sys.stderr)


def _callback_lines(log: Path) -> list[str]:
    """The callback's lines in the proxy's log."""
    lines = log.read_text(errors="replace").splitlines()
    return [line for line in lines if line.startswith("impact service:")]
