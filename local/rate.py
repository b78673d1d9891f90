"""`make rate date=YYYY-MM-DD usd=1.1172`: enter an exchange rate of a deployed stack, or correct one.

A correction also needs `reason="..."`. It shows what the days that were converted at the old rate become,
asks, and stores the new rate beside the old one. Then it asks whether to count those days again. The values
come from the environment, where make puts them; so do AWS credentials and region, as for any AWS tool.
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
from local.rollup import count_day

ONCE = Config(read_timeout=80, retries={"total_max_attempts": 1})
"""RatesFunction's time limit is 60 s. A rate whose answer was lost is known: it cannot be sent twice."""
TO_SEND = ' If this is right, send it again with "confirm": true.'
"""How RatesFunction ends what it asks: here it is asked by a question."""

Change = Mapping[str, str]


class NotTaken(Exception):
    """RatesFunction refuses what was sent, and says why."""


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
        return _enter(session, stack, given, yes=yes)
    except NotTaken as refusal:
        print(f"Nothing was stored: {refusal}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"No answer. Run it again to see what the stack {stack} knows: {error}", file=sys.stderr)
    return 1


def _enter(session: boto3.Session, stack: str, given: dict[str, Any], *, yes: bool) -> int:
    answer = _call(session, stack, given)
    if not answer["stored"]:
        print(answer["confirm"].removesuffix(TO_SEND))
        _show(answer.get("changes", []))
        if not (yes or _agreed("Store it?")):
            print("Nothing was stored.")
            return 1
        answer = _call(session, stack, given | {"confirm": True})
    print(f"Stored: {given['usd']} dollars for one euro on {given['date']}.")
    return _count_again(session, stack, [change["day"] for change in answer.get("changes", [])], yes=yes)


def _count_again(session: boto3.Session, stack: str, days: list[str], *, yes: bool) -> int:
    """Count the days again if that is wanted; say how to count those that are left. Return the exit code."""
    wanted = bool(days) and (yes or _agreed(f"Count {', '.join(days)} again now?"))
    left = [day for day in days if not (wanted and _is_counted(session, stack, day))]
    if left:
        print("Still in euros at the old rate, until you count them again:")
        print(*(f"    make rollup day={day}" for day in left), sep="\n")
    return 1 if wanted and left else 0


def _is_counted(session: boto3.Session, stack: str, day: str) -> bool:
    try:
        return count_day(session, stack, day) == 0
    except (BotoCoreError, ClientError) as error:
        print(f"{day}: {error}", file=sys.stderr)
        return False


def _call(session: boto3.Session, stack: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Call RatesFunction. Raises NotTaken, BotoCoreError, ClientError."""
    called = session.client("lambda", config=ONCE).invoke(
        FunctionName=physical_id(session, stack, "RatesFunction"), Payload=json.dumps(payload).encode()
    )
    answer: dict[str, Any] = json.loads(called["Payload"].read())
    if "FunctionError" in called:
        raise NotTaken(answer.get("errorMessage", answer))
    return answer


def _show(changes: list[Change]) -> None:
    """Print what changes: a line a day, and the sums, rounded; nothing where no day does."""
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


def _agreed(question: str) -> bool:
    """Ask whoever sits there; nobody does where there is no terminal."""
    try:
        return sys.stdin.isatty() and input(f"{question} [y/N] ").lower() in ("y", "yes")
    except EOFError:
        return False


if __name__ == "__main__":
    sys.exit(main())
