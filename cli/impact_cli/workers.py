"""Calls of the rollup's workers: recompute a day of a deployed stack."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from impact_cli.deployed_stack import calendar_of, physical_id, store_of

WORKERS = 16
"""Workers called at a time."""
WORKER_SECONDS = 900
"""Time limit of RollupWorkerFunction."""


@dataclass(frozen=True)
class DayRecomputed:
    """What the workers of a day's shards have done."""

    day: str
    shards: int
    recomputed: int
    """Shards that did not fail."""
    events: int
    users: int
    summaries_written: int
    errors: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.day}: {self.events} events of {self.users} users,"
            f" {self.summaries_written} summaries written,"
            f" {self.recomputed} of {self.shards} shards recomputed"
        )


def recompute_day(session: boto3.Session, stack: str, day: str) -> DayRecomputed:
    """Call the worker for each shard of a day, and wait. It can be repeated without harm.

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
    sums = {
        name: sum(response[name] for response in recomputed)
        for name in ("events", "users", "summaries_written")
    }
    errors = {response["errorMessage"] for response in responses if "errorMessage" in response}
    return DayRecomputed(day, shards, len(recomputed), errors=tuple(sorted(errors)), **sums)
