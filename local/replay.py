"""`make replay`: do again what failed for good, and take it out of its dead-letter queue once it succeeded.

FailedRollups holds the runs of the planner that Lambda tried three times, and what a worker could not count
in three tries; FailedSchedules the calls that Scheduler could not hand over. Each is made again, the same one
only once, and waited for: minutes for a large day. It tells why each had failed, where that was kept, and
what fails again stays in its queue. Running it twice, or two at once, does no harm. If it is killed, what it
had taken is back in the queues within an hour. AWS credentials and region come from the environment, as for
any AWS tool.
"""

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.deployed_stack import physical_id
from local.rollup import WORKER_SECONDS, WORKERS

QUEUES = ("FailedRollups", "FailedSchedules")
HIDDEN_SECONDS = 3600
"""So long nobody else sees a message that was taken."""
WAIT_SECONDS = 2
"""So long an empty queue is waited for: all of its servers are asked then."""


class NotACall(Exception):
    """A message that does not say what to call."""


@dataclass(frozen=True)
class Call:
    """What failed: a function and what it was called with."""

    function: str
    payload: str

    def __str__(self) -> str:
        return f"{self.function} {self.payload}"


@dataclass(frozen=True)
class Letter:
    """A message of a dead-letter queue."""

    queue_url: str
    message: Any

    @property
    def cause(self) -> str:
        """Why the call failed, as the message tells it."""
        if code := self.message.get("MessageAttributes", {}).get("ERROR_CODE"):
            return str(code["StringValue"])
        try:
            return str(json.loads(self.message["Body"])["responsePayload"]["errorMessage"])
        except (ValueError, KeyError, TypeError):
            return "its function was killed, ran out of time or was not called; see its log"


def main() -> int:
    arguments = _arguments()
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    try:
        return _replay(session, arguments.stack)
    except (BotoCoreError, ClientError) as error:
        print(f"Could not replay what failed in the stack {arguments.stack}: {error}", file=sys.stderr)
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(usage="make replay [STACK=impact]", description=__doc__)
    parser.add_argument("--stack", default=os.environ.get("IMPACT_STACK", "impact"))
    return parser.parse_args()


def _replay(session: boto3.Session, stack: str) -> int:
    sqs = session.client("sqs")
    urls = [physical_id(session, stack, queue) for queue in QUEUES]
    letters = [letter for url in urls for letter in _take(sqs, url)]
    if not letters:
        print(f"Nothing waits in {' or '.join(QUEUES)}.")
        return 0
    patient = Config(read_timeout=WORKER_SECONDS + 20, retries={"total_max_attempts": 1})
    lambda_ = session.client("lambda", config=patient)
    calls, failed = _calls(session, stack, letters)
    with ThreadPoolExecutor(WORKERS) as callers:
        made = callers.map(lambda call: _make(lambda_, call), calls)
        for (call, of_it), reason in zip(calls.items(), made, strict=True):
            causes = " and ".join(sorted({letter.cause for letter in of_it}))
            print(f"{call}: {f'failed: {reason}' if reason else 'done'} (had failed: {causes})", flush=True)
            if reason:
                failed += of_it
            else:
                _delete(sqs, of_it)
    _release(sqs, failed)
    print(f"{len(letters) - len(failed)} of {len(letters)} failed calls are done.")
    if failed:
        print(
            f"{len(failed)} stay in their queues: mend the cause, then `make replay` again.", file=sys.stderr
        )
    return 1 if failed else 0


def _take(sqs: Any, queue_url: str) -> Iterator[Letter]:
    while messages := sqs.receive_message(
        QueueUrl=queue_url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=HIDDEN_SECONDS,
        WaitTimeSeconds=WAIT_SECONDS,
        MessageAttributeNames=["All"],
    ).get("Messages"):
        yield from (Letter(queue_url, message) for message in messages)


def _delete(sqs: Any, letters: list[Letter]) -> None:
    for letter in letters:
        sqs.delete_message(QueueUrl=letter.queue_url, ReceiptHandle=letter.message["ReceiptHandle"])


def _release(sqs: Any, letters: list[Letter]) -> None:
    """Let others see messages again at once: their alarm counts what can be seen."""
    for letter in letters:
        sqs.change_message_visibility(
            QueueUrl=letter.queue_url, ReceiptHandle=letter.message["ReceiptHandle"], VisibilityTimeout=0
        )


def _calls(
    session: boto3.Session, stack: str, letters: list[Letter]
) -> tuple[dict[Call, list[Letter]], list[Letter]]:
    """Tell what is to be called, each with the messages that ask for it; and what asks for nothing."""
    calls, unreadable = defaultdict(list), []
    worker = physical_id(session, stack, "RollupWorkerFunction")
    for letter in letters:
        try:
            calls[_call(session, worker, letter.message)].append(letter)
        except NotACall as reason:
            print(f"message {letter.message['MessageId']}: failed: {reason}", flush=True)
            unreadable.append(letter)
    return calls, unreadable


def _call(session: boto3.Session, worker: str, message: Any) -> Call:
    """Read a record of a failed call: Lambda's, which is the worker's too, or Scheduler's, which names its
    schedule; or the call itself, a message of RollupQueue that SQS has moved. Raises NotACall.
    """
    if schedule := message.get("MessageAttributes", {}).get("SCHEDULE_ARN"):
        return _scheduled(session, schedule["StringValue"])
    try:
        record = json.loads(message["Body"])
        if record.keys() == {"day", "shard"}:
            return Call(worker, json.dumps(record, sort_keys=True))
        arn, payload = record["requestContext"]["functionArn"], record["requestPayload"]
        return Call(_function(arn), json.dumps(payload, sort_keys=True))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise NotACall("it is not a record of a call that failed") from None


def _scheduled(session: boto3.Session, schedule_arn: str) -> Call:
    name = schedule_arn.rsplit("/", 1)[-1]
    try:
        target = session.client("scheduler").get_schedule(Name=name)["Target"]
    except ClientError as error:
        raise NotACall(f"no schedule {name}: {error}") from None
    return Call(_function(target["Arn"]), target.get("Input", "{}"))


def _function(arn: str) -> str:
    """The name in `arn:aws:lambda:region:account:function:name`, with or without a version."""
    return arn.split(":")[6]


def _make(lambda_: Any, call: Call) -> str | None:
    """Call and wait. Return why it failed, or None."""
    try:
        answer = lambda_.invoke(FunctionName=call.function, Payload=call.payload.encode())
        content = json.loads(answer["Payload"].read() or "null")
    except (BotoCoreError, ClientError) as error:
        return str(error)
    return str(content.get("errorMessage", content)) if "FunctionError" in answer else None


if __name__ == "__main__":
    sys.exit(main())
