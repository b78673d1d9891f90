"""The queue between the planner and its workers: a message for each (day, shard) that is to be counted."""

import json
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

from impact.types import DayShard

SENDERS = 16
"""Calls of SQS at a time."""
BATCH_MAX = 10
"""Messages that SQS takes in one call."""
TRIES = 5
"""How often a message is sent that SQS does not take."""
PAUSE_SECONDS = 0.1
"""Before the second try, at most; twice as long before each further one."""


class NotSent(Exception):
    """SQS did not take some of the messages."""


def connect() -> Any:
    """Make a client of SQS whose calls end within 30 seconds, whatever happens."""
    return boto3.client(
        "sqs",
        config=Config(
            connect_timeout=2,
            read_timeout=3,
            retries={"mode": "standard", "total_max_attempts": 4},
            max_pool_connections=SENDERS,
        ),
    )


def send(sqs: Any, queue_url: str, targets: Sequence[DayShard]) -> None:
    """Ask for each to be counted. Raises what goes wrong, once all others are sent."""
    batches = [targets[first : first + BATCH_MAX] for first in range(0, len(targets), BATCH_MAX)]
    with ThreadPoolExecutor(SENDERS) as senders:
        sending = [senders.submit(_send_batch, sqs, queue_url, batch) for batch in batches]
    for sent in sending:
        sent.result()


def _send_batch(sqs: Any, queue_url: str, targets: Sequence[DayShard]) -> None:
    """SQS answers 200 also where it took some of the messages only: those that it names are sent again."""
    entries = {
        str(number): {"Id": str(number), "MessageBody": json.dumps({"day": day, "shard": shard})}
        for number, (day, shard) in enumerate(targets)
    }
    causes: set[str] = set()
    for tries in range(TRIES):
        if tries:
            time.sleep(random.uniform(0, PAUSE_SECONDS * 2**tries))  # noqa: S311  # nosec B311
        answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=list(entries.values()))
        failed = answer.get("Failed", [])
        if not failed:
            return
        entries = {entry["Id"]: entries[entry["Id"]] for entry in failed}
        causes = {entry["Code"] for entry in failed}
    raise NotSent(f"SQS did not take {len(entries)} messages in {TRIES} tries: {', '.join(sorted(causes))}")
