"""`make rollup day=YYYY-MM-DD`: recompute the summaries of a day of a deployed stack, and print the result.

It calls the worker for each shard of the day and waits for the responses. It can be repeated without harm.
AWS credentials and region come from the environment, as for any AWS tool.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.deployed_stack import calendar_of, physical_id, store_of

WORKERS = 16
"""Workers called at a time."""
WORKER_SECONDS = 900
"""Time limit of RollupWorkerFunction."""


def main() -> int:
    arguments = _arguments()
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    try:
        return recompute_day(session, arguments.stack, arguments.day)
    except (BotoCoreError, ClientError) as error:
        print(f"The stack {arguments.stack} cannot be called: {error}", file=sys.stderr)
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(usage="make rollup day=YYYY-MM-DD [STACK=impact]", description=__doc__)
    parser.add_argument("--stack", default=os.environ.get("IMPACT_STACK", "impact"))
    parser.add_argument("day", type=_day, help="YYYY-MM-DD")
    return parser.parse_args()


def recompute_day(session: boto3.Session, stack: str, day: str) -> int:
    """Recompute a day and print the result. Return 1 if a shard failed, else 0.

    Raises BotoCoreError, ClientError.
    """
    worker = physical_id(session, stack, "RollupWorkerFunction")
    shards = calendar_of(session, stack, store_of(session, stack)).shard_count(day)
    patient = Config(read_timeout=WORKER_SECONDS + 20, retries={"total_max_attempts": 1})
    lambda_ = session.client("lambda", config=patient)

    def call(shard: int) -> dict[str, Any]:
        payload = json.dumps({"day": day, "shard": shard}).encode()
        response: dict[str, Any] = json.loads(
            lambda_.invoke(FunctionName=worker, Payload=payload)["Payload"].read()
        )
        return response

    with ThreadPoolExecutor(WORKERS) as callers:
        responses = list(callers.map(call, range(shards)))
    recomputed = [response for response in responses if "errorMessage" not in response]
    events, users, written = (
        sum(response[name] for response in recomputed) for name in ("events", "users", "summaries_written")
    )
    print(
        f"{day}: {events} events of {users} users, {written} summaries written,"
        f" {len(recomputed)} of {shards} shards recomputed"
    )
    errors = sorted({response["errorMessage"] for response in responses if "errorMessage" in response})
    print(*(f"failed: {error}" for error in errors), sep="\n", file=sys.stderr, end="\n" if errors else "")
    return 1 if errors else 0


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date, YYYY-MM-DD") from None


if __name__ == "__main__":
    sys.exit(main())
