"""The queue between the planner and its workers: a message for each (day, shard) to recompute."""

import json
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.session
from botocore.config import Config

from impact.types import DayShard

SENDERS = 16  # concurrent calls of SQS
BATCH_MAX = 10  # most messages in a call
ATTEMPTS = 5  # most attempts at a message that SQS does not accept
PAUSE_SECONDS = 0.1  # longest pause before the second attempt; it doubles with each further one


class NotSent(Exception):
    """SQS did not accept some of the messages."""


def connect() -> Any:
    """Make an SQS client whose calls end within 30 seconds, whatever happens."""
    return botocore.session.get_session().create_client(
        "sqs",
        config=Config(
            connect_timeout=2,
            read_timeout=3,
            retries={"mode": "standard", "total_max_attempts": 4},
            max_pool_connections=SENDERS,
        ),
    )


def send(sqs: Any, queue_url: str, targets: Sequence[DayShard]) -> None:
    """Queue each target. Raises what went wrong, after all others are sent."""
    batches = [targets[first : first + BATCH_MAX] for first in range(0, len(targets), BATCH_MAX)]
    with ThreadPoolExecutor(SENDERS) as senders:
        sending = [senders.submit(_send_batch, sqs, queue_url, batch) for batch in batches]
    for sent in sending:
        sent.result()


def _send_batch(sqs: Any, queue_url: str, targets: Sequence[DayShard]) -> None:
    """Send up to BATCH_MAX messages. SQS returns 200 even if some failed: those are sent again."""
    entries = {
        str(number): {"Id": str(number), "MessageBody": json.dumps({"day": day, "shard": shard})}
        for number, (day, shard) in enumerate(targets)
    }
    causes: set[str] = set()
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(random.uniform(0, PAUSE_SECONDS * 2**attempt))  # noqa: S311  # nosec B311
        response = sqs.send_message_batch(QueueUrl=queue_url, Entries=list(entries.values()))
        failed = response.get("Failed", [])
        if not failed:
            return
        entries = {entry["Id"]: entries[entry["Id"]] for entry in failed}
        causes = {entry["Code"] for entry in failed}
    raise NotSent(
        f"SQS did not accept {len(entries)} messages in {ATTEMPTS} attempts: {', '.join(sorted(causes))}"
    )
