"""`make rate date=YYYY-MM-DD usd=1.1172`: store an fx rate in a deployed stack by hand, or correct one.

A correction also needs `reason="..."`. The command shows how it changes the days that were converted at the
old rate, asks, and stores the new rate beside the old one. Then it asks whether to recompute those days. The
values come from the environment, where make puts them; so do AWS credentials and region, as for any AWS tool.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, localcontext
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.deployed_stack import physical_id
from local.questions import agreed
from local.rollup import recompute_day

ONCE = Config(read_timeout=80, retries={"total_max_attempts": 1})
"""RatesFunction's time limit is 60 s. No retry: if only the response was lost, the rate is stored already."""
TO_SEND = ' If this is right, send it again with "confirm": true.'
"""RatesFunction ends a request for confirmation with this. The command asks a question instead."""

Change = Mapping[str, str]


class RateRejected(Exception):
    """RatesFunction did not store the rate. The text is its reason."""


def main() -> int:
    parser = argparse.ArgumentParser(
        usage='make rate date=YYYY-MM-DD usd=1.1172 [reason="..."] [yes=1] [STACK=impact]',
        description=__doc__,
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    yes = parser.parse_args().yes
    stack = os.environ.get("STACK") or os.environ.get("IMPACT_STACK", "impact")
    given = {name: os.environ[name] for name in ("date", "usd", "reason") if os.environ.get(name)}
    if not given.keys() >= {"date", "usd"}:
        parser.error("date and usd are needed")
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    try:
        return _store(session, stack, given, yes=yes)
    except RateRejected as error:
        print(f"Nothing was stored: {error}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(
            f"No response. Run it again to see whether the stack {stack} has stored the rate: {error}",
            file=sys.stderr,
        )
    return 1


def _store(session: boto3.Session, stack: str, given: dict[str, Any], *, yes: bool) -> int:
    response = _call(session, stack, given)
    if not response["stored"]:
        print(response["confirm"].removesuffix(TO_SEND))
        _show(response.get("changes", []))
        if not (yes or agreed("Store it?")):
            print("Nothing was stored.")
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
        print(*(f"    make rollup day={day}" for day in left), sep="\n")
    return 1 if wanted and left else 0


def _is_recomputed(session: boto3.Session, stack: str, day: str) -> bool:
    try:
        return recompute_day(session, stack, day) == 0
    except (BotoCoreError, ClientError) as error:
        print(f"{day}: {error}", file=sys.stderr)
        return False


def _call(session: boto3.Session, stack: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Call RatesFunction. Raises RateRejected, BotoCoreError, ClientError."""
    called = session.client("lambda", config=ONCE).invoke(
        FunctionName=physical_id(session, stack, "RatesFunction"), Payload=json.dumps(payload).encode()
    )
    response: dict[str, Any] = json.loads(called["Payload"].read())
    if "FunctionError" in called:
        raise RateRejected(response.get("errorMessage", response))
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


if __name__ == "__main__":
    sys.exit(main())
