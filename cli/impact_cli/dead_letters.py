"""The dead-letter queues: repeat the failed calls; a call that succeeds leaves its queue.

FailedRollups has the planner's runs that Lambda tried three times, and the (day, shard)s that workers failed
to recompute in three tries. FailedSchedules has the calls that Scheduler could not deliver. Each call is
repeated, the same one only once, and waited for: minutes for a large day. The command prints why each had
failed, if its message says so. A call that fails again stays in its queue. The command can be repeated, or
run twice at once, without harm. If it is killed, the messages that it had received are back within an hour.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from impact_cli.deployed_stack import physical_id
from impact_cli.output import note
from impact_cli.workers import WORKER_SECONDS, WORKERS

QUEUES = ("FailedRollups", "FailedSchedules")
HIDDEN_SECONDS = 3600
"""For this time, a received message is invisible to others."""
WAIT_SECONDS = 2
"""Long polling of an empty queue: with it, SQS asks all of its servers."""


class NotACall(Exception):
    """A message that is no record of a failed call. The text says why."""


@dataclass(frozen=True)
class Call:
    """A failed call: a function and its payload."""

    function: str
    payload: str

    def __str__(self) -> str:
        return f"{self.function} {self.payload}"


@dataclass(frozen=True)
class DeadLetter:
    """A message of a dead-letter queue."""

    queue_url: str
    message: Any

    @property
    def cause(self) -> str:
        """Why the call failed, according to the message."""
        if code := self.message.get("MessageAttributes", {}).get("ERROR_CODE"):
            return str(code["StringValue"])
        try:
            return str(json.loads(self.message["Body"])["responsePayload"]["errorMessage"])
        except (ValueError, KeyError, TypeError):
            return "its function was killed, ran out of time or was not called; see its log"


def replay(session: boto3.Session, stack: str) -> int:
    """Repeat all failed calls, and print what became of each. Return the exit code.

    Raises BotoCoreError, ClientError.
    """
    sqs = session.client("sqs")
    urls = [physical_id(session, stack, queue) for queue in QUEUES]
    letters = [letter for url in urls for letter in _receive(sqs, url)]
    if not letters:
        print(f"Nothing waits in {' or '.join(QUEUES)}.")
        return 0
    patient = Config(read_timeout=WORKER_SECONDS + 20, retries={"total_max_attempts": 1})
    lambda_ = session.client("lambda", config=patient)
    calls, failed = _calls(session, stack, letters)
    with ThreadPoolExecutor(WORKERS) as callers:
        reasons = callers.map(lambda call: _invoke(lambda_, call), calls)
        for (call, its_letters), reason in zip(calls.items(), reasons, strict=True):
            causes = " and ".join(sorted({letter.cause for letter in its_letters}))
            print(f"{call}: {f'failed: {reason}' if reason else 'done'} (had failed: {causes})", flush=True)
            if reason:
                failed += its_letters
            else:
                _delete(sqs, its_letters)
    _make_visible(sqs, failed)
    print(f"{len(letters) - len(failed)} of {len(letters)} failed calls are done.")
    if failed:
        note(f"{len(failed)} stay in their queues: remove the cause, then run `impact replay` again.")
    return 1 if failed else 0


def _receive(sqs: Any, queue_url: str) -> Iterator[DeadLetter]:
    while messages := sqs.receive_message(
        QueueUrl=queue_url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=HIDDEN_SECONDS,
        WaitTimeSeconds=WAIT_SECONDS,
        MessageAttributeNames=["All"],
    ).get("Messages"):
        yield from (DeadLetter(queue_url, message) for message in messages)


def _delete(sqs: Any, letters: list[DeadLetter]) -> None:
    for letter in letters:
        sqs.delete_message(QueueUrl=letter.queue_url, ReceiptHandle=letter.message["ReceiptHandle"])


def _make_visible(sqs: Any, letters: list[DeadLetter]) -> None:
    """Make messages visible again at once: their alarm counts visible messages only."""
    for letter in letters:
        sqs.change_message_visibility(
            QueueUrl=letter.queue_url, ReceiptHandle=letter.message["ReceiptHandle"], VisibilityTimeout=0
        )


def _calls(
    session: boto3.Session, stack: str, letters: list[DeadLetter]
) -> tuple[dict[Call, list[DeadLetter]], list[DeadLetter]]:
    """Return the calls to repeat, each with its messages; and the messages that are no record of a call."""
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
    """Read the failed call from a message. Raises NotACall.

    Lambda and the worker record the function and its payload, Scheduler only the schedule. A message that SQS
    moved from RollupQueue is the worker's payload itself.
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
        raise NotACall("it is not a record of a failed call") from None


def _scheduled(session: boto3.Session, schedule_arn: str) -> Call:
    name = schedule_arn.rsplit("/", 1)[-1]
    try:
        target = session.client("scheduler").get_schedule(Name=name)["Target"]
    except ClientError as error:
        raise NotACall(f"no schedule {name}: {error}") from None
    return Call(_function(target["Arn"]), target.get("Input", "{}"))


def _function(arn: str) -> str:
    """Read the name from `arn:aws:lambda:region:account:function:name`, with or without a version."""
    return arn.split(":")[6]


def _invoke(lambda_: Any, call: Call) -> str | None:
    """Make a call and wait for it. Return why it failed, or None."""
    try:
        response = lambda_.invoke(FunctionName=call.function, Payload=call.payload.encode())
        content = json.loads(response["Payload"].read() or "null")
    except (BotoCoreError, ClientError) as error:
        return str(error)
    return str(content.get("errorMessage", content)) if "FunctionError" in response else None
