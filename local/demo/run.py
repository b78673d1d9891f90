"""Starts everything, lets the users chat, and checks what the stack says about them."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from local.demo.calls import CALLS, make
from local.demo.figures import TOLERANCE, ByUser, counted, differences, expected, summed
from local.demo.prices import packaged
from local.demo.report import table
from local.process import stop
from local.provider import environment, running_provider
from local.proxy import Proxy, running_proxy
from local.stack import Stack, free_port, running_stack
from local.stack.stack import SCHEDULED, sha256, wait_until

WAIT_SECONDS = 30.0
LOG_LINES = 30

Say = Callable[[str], None]
Items = Sequence[Mapping[str, Any]]


def run(say: Say) -> list[str]:
    """Run the demo; return all that is not as it should be: nothing, if all is well."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="impact-demo-")))
        log = folder / "proxy.log"
        # Chosen here, not by the stack: so the proxy can boot while the stack is still being deployed.
        token, port = secrets.token_urlsafe(32), free_port()
        reporting = {
            "IMPACT_SERVICE_URL": f"http://localhost:{port}/api/request-event",
            "IMPACT_SERVICE_TOKEN": token,
            "IMPACT_OUTBOX": str(folder / "outbox"),
        }
        say("Starting four fake AI providers, and a real LiteLLM proxy that takes them for real")
        provider_url = running.enter_context(running_provider(free_port(), folder / "provider.log"))
        proxy = running.enter_context(running_proxy(environment(provider_url) | reporting, log))
        try:
            stack = running.enter_context(
                running_stack(port=port, progress=say, IngestTokenHashes=sha256(token))
            )
            say("Waiting for the proxy")
            proxy.wait_until_ready()
            problems = _chat_and_check(say, provider_url, proxy, stack)
        except Exception:
            _show_log(log)
            raise
        if problems:
            _show_log(log)
        return problems


def _chat_and_check(say: Say, provider_url: str, proxy: Proxy, stack: Stack) -> list[str]:
    users = {call.user for call in CALLS}
    say(f"{len(users)} users make {len(CALLS)} requests")
    unexpected = make(CALLS, proxy.url, proxy.key)
    truth = expected(CALLS, _get(f"{provider_url}/journal"), packaged())
    events = sum(figures.requests for figures in truth.values())
    say(f"Waiting until the callback has delivered {events} events")
    _wait(lambda: len(_scan(stack, stack.request_events_table)) >= events)
    stop(proxy.process)  # whatever it has left, and should not have, arrives now
    ledger = _scan(stack, stack.request_events_table)
    say("Rolling up, as the schedule does every hour")
    stack.invoke("RollupFunction", SCHEDULED)
    _wait(lambda: _requests(_scan(stack, stack.daily_summaries_table)) >= len(ledger))
    summaries = _scan(stack, stack.daily_summaries_table)
    print("\n" + table(summaries) + "\n")
    return [*unexpected, *check(truth, ledger, summaries), *_check_reading(stack, summaries)]


def check(truth: ByUser, ledger: Items, summaries: Items) -> list[str]:
    """Compare the ledger with what the providers served, and the summaries, to the digit, with the ledger."""
    in_ledger = counted(ledger)
    return [
        *differences("ledger", in_ledger, truth, TOLERANCE),
        *differences("summaries", summed(summaries), in_ledger),
        *(f"ledger: {item['eventId']} holds a prompt" for item in ledger if "#call=" in str(item)),
    ]


def _check_reading(stack: Stack, summaries: Items) -> list[str]:
    """One user's days, read as others read them: by a plain DynamoDB query, and from the API."""
    user, days = CALLS[0].user, sorted({summary["day"] for summary in summaries})
    if not days:
        return ["summaries: there are none to read"]
    stored = summed(summary for summary in summaries if summary["userId"] == user)
    dynamodb: Any = stack.session.resource("dynamodb")
    queried = dynamodb.Table(stack.daily_summaries_table).query(
        KeyConditionExpression="userId = :u AND #d BETWEEN :a AND :b",
        ExpressionAttributeNames={"#d": "day"},
        ExpressionAttributeValues={":u": user, ":a": days[0], ":b": days[-1]},
    )["Items"]
    query = urllib.parse.urlencode({"userId": user, "from": days[0], "to": days[-1]})
    answered = _get(f"{stack.api_url}/api/summaries?{query}", stack.read_token)["days"]
    return [
        *differences("DynamoDB query", summed(queried), stored),
        *differences("GET /api/summaries", summed(answered), stored),
    ]


def _wait(condition: Callable[[], bool]) -> None:
    """Poll for a while; if it never holds, the comparison tells what is missing."""
    with suppress(TimeoutError):
        wait_until(condition, WAIT_SECONDS, "what was counted")


def _requests(summaries: Items) -> int:
    return sum(int(summary["requests"]) for summary in summaries)


def _scan(stack: Stack, name: str) -> Items:
    dynamodb: Any = stack.session.resource("dynamodb")
    pages = dynamodb.meta.client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


def _get(url: str, token: str = "") -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response, parse_float=Decimal)


def _show_log(log: Path) -> None:
    """The end of it, and what the callback said before: a scripted failure fills many lines."""
    lines = log.read_text(errors="replace").splitlines()
    said = [line for line in lines[:-LOG_LINES] if line.startswith("impact service:")]
    print("The proxy's log:", *said, "...", *lines[-LOG_LINES:], sep="\n  ", file=sys.stderr)
