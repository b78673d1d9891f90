"""Fx rates by hand: list them, store one, or correct one.

A correction shows how it changes the days that were converted at the old rate, asks, and stores the new rate
beside the old one. Then it asks whether to recompute those days.
"""

import json
from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, localcontext
from typing import Any

import boto3
import click
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from impact.keys import parse_fx_rate_key
from impact.store import Store
from impact.types import Item
from impact_cli.deployed_stack import physical_id
from impact_cli.follow_up import same_stack
from impact_cli.output import note
from impact_cli.questions import agreed
from impact_cli.workers import recompute_day

ONCE = Config(read_timeout=80, retries={"total_max_attempts": 1})
"""RatesFunction's time limit is 60 s. No retry: if only the response was lost, the rate is stored already."""
TO_SEND = ' If this is right, send it again with "confirm": true.'
"""RatesFunction ends a request for confirmation with this. The command asks a question instead."""
REASON = ('send "reason" too', "give --reason")
"""How RatesFunction asks for a reason, and what that is here."""

REFUSALS = ("BadRates", "BadReason", "NotATargetDay", "RateKnown", "Runtime.HandlerError")
"""RatesFunction raises these before it stores a rate. After others, such as a time-out, it may be stored.
The last one is what MiniStack calls whatever a function raises."""

Change = Mapping[str, str]


class RateRejected(click.ClickException):
    """RatesFunction did not store the rate. The text is its reason."""

    def __init__(self, reason: str):
        super().__init__(f"Nothing was stored: {reason}")


class RateUncertain(click.ClickException):
    """RatesFunction failed. Nobody knows whether it had stored the rate."""

    def __init__(self, stack: str, reason: str):
        super().__init__(
            f"RatesFunction failed: {reason}."
            f" Run it again to see whether the stack {stack} has stored the rate."
        )


def entries(store: Store, first: str, last: str) -> list[Item]:
    """List the stored rates of the ECB dates from first to last, in order, each with its corrections."""
    found = store.state.fx_rate_entries(first, last)
    return [
        {"date": parse_fx_rate_key(item["key"])[0]}
        | {name: item[name] for name in ("usd", "source", "recordedAt", "replaces", "reason") if name in item}
        for item in found
    ]


def store_rate(session: boto3.Session, stack: str, given: dict[str, Any], *, yes: bool) -> int:
    """Store a rate: `date`, `usd`, and for a correction `reason`. Return the exit code.

    Raises RateRejected, RateUncertain, BotoCoreError, ClientError.
    """
    response = _call(session, stack, given)
    if not response["stored"]:
        print(response["confirm"].removesuffix(TO_SEND))
        _show(response.get("changes", []))
        if not (yes or agreed("Store it?")):
            note("Nothing was stored.")
            return 1
        response = _call(session, stack, given | {"confirm": True})
    print(f"Stored: {given['usd']} dollars for one euro on {given['date']}.")
    return _recompute(session, stack, [change["day"] for change in response.get("changes", [])], yes=yes)


def _recompute(session: boto3.Session, stack: str, days: list[str], *, yes: bool) -> int:
    """Recompute the days if the operator agrees, and say how to do the others. Return the exit code."""
    wanted = bool(days) and (yes or agreed(f"Recompute {', '.join(days)} now?"))
    left = [day for day in days if not (wanted and _is_recomputed(session, stack, day))]
    if left:
        print("Still converted at the old rate, until you recompute them:")
        print(*(same_stack(f"    impact rollup {day}") for day in left), sep="\n")
    return 1 if wanted and left else 0


def _is_recomputed(session: boto3.Session, stack: str, day: str) -> bool:
    try:
        result = recompute_day(session, stack, day)
    except (BotoCoreError, ClientError) as error:
        note(f"{day}: {error}")
        return False
    print(result)
    for reason in result.errors:
        note(f"failed: {reason}")
    return not result.errors


def _call(session: boto3.Session, stack: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Call RatesFunction. Raises RateRejected, RateUncertain, BotoCoreError, ClientError."""
    called = session.client("lambda", config=ONCE).invoke(
        FunctionName=physical_id(session, stack, "RatesFunction"), Payload=json.dumps(payload).encode()
    )
    response: dict[str, Any] = json.loads(called["Payload"].read())
    if "FunctionError" in called:
        reason = str(response.get("errorMessage", response))
        if response.get("errorType") in REFUSALS:
            raise RateRejected(reason.replace(*REASON))
        raise RateUncertain(stack, reason)
    return response


def _show(changes: list[Change]) -> None:
    """Print a line for each day that changes, and their sums, rounded; nothing if no day changes."""
    if not changes:
        return
    names = ("costUSD", "costEUR", "newCostEUR")
    rows = [(change["day"], *(Decimal(change[name]) for name in names)) for change in changes]
    sums = [_sum(Decimal(change[name]) for change in changes) for name in names]
    print(f"{'day':10}{'USD':>18}{'EUR now':>18}{'EUR then':>18}")
    for day, *numbers in [*rows, ("sum", *sums)]:
        print(f"{day:10}" + "".join(f"{number:18.6f}" for number in numbers))


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    with localcontext(Context(prec=200)):
        return sum(numbers, Decimal(0))
