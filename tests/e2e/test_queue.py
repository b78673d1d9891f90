"""RollupQueue on the deployed stack: workers process its messages, and failed calls are not lost."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.stack import Stack
from local.stack.stack import LOCAL_WORKERS, SCHEDULED
from local.waiting import wait_until
from tests.e2e.api import Api, a_user, an_event, day
from tests.e2e.test_permissions import Grant, without

NO_SHARD = 99
"""A shard that does not exist: every worker fails at it."""


@contextmanager
def impatient(stack: Stack) -> Iterator[None]:
    """Make failed messages visible again after seconds. The template's value is an hour and a half.

    A message that comes back while its worker runs would become two dead letters.
    """
    sqs, url, name = stack.client("sqs"), stack.physical_id("RollupQueue"), "VisibilityTimeout"
    deployed = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: "5"})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=deployed)


def drained(stack: Stack, queue: str) -> Iterator[Any]:
    """Receive and delete all messages of a queue."""
    sqs, url = stack.client("sqs"), stack.physical_id(queue)
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            yield json.loads(message["Body"])


def ask(stack: Stack, call: object) -> None:
    url = stack.physical_id("RollupQueue")
    stack.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(call))


def dead_letter_of(stack: Stack, call: dict[str, Any]) -> Any:
    """Wait for the dead letter of a call, in either form."""
    found: list[Any] = []

    def arrived() -> bool:
        letters = drained(stack, "FailedRollups")
        found.extend(letter for letter in letters if call in (letter, letter.get("requestPayload")))
        return bool(found)

    wait_until(arrived, "the message in the dead-letter queue")
    return found[0]


def test_messages_are_processed_however_often_they_come(stack: Stack, api: Api) -> None:
    user_id = a_user()
    assert api.post(an_event(user_id)).status == 201
    for _ in range(3):
        assert stack.invoke("RollupFunction", SCHEDULED)["planned"] >= 2

    def requests() -> list[int]:
        return [row["requests"] for row in api.impact.usage(user_id)["days"]]

    wait_until(lambda: requests() == [1], "a summary made by a worker of the queue")
    wait_until(lambda: in_queue(stack) == 0, "an empty queue")
    assert requests() == [1]


def in_queue(stack: Stack) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = stack.physical_id("RollupQueue")
    attributes = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def test_a_failed_call_becomes_a_dead_letter_with_its_cause(stack: Stack) -> None:
    call = {"day": day(), "shard": NO_SHARD}
    with impatient(stack):
        ask(stack, call)
        letter = dead_letter_of(stack, call)
    assert letter["requestContext"]["functionArn"].endswith(stack.physical_id("RollupWorkerFunction"))
    assert "shard must be 0 to" in letter["responsePayload"]["errorMessage"]
    assert letter["requestContext"]["approximateInvokeCount"] == 3


@pytest.mark.long
def test_a_call_whose_worker_is_killed_becomes_a_dead_letter_too(stack: Stack) -> None:
    """As if the worker were killed each time: SQS moves the message."""
    call = {"day": day(1), "shard": NO_SHARD}
    with without(stack, Grant("RollupWorkerFunction", "KeepWhatFailed", "sqs:SendMessage")), impatient(stack):
        ask(stack, call)
        assert dead_letter_of(stack, call) == call


def test_workers_take_no_more_than_their_share(stack: Stack) -> None:
    [source] = stack.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert source["ScalingConfig"] == {"MaximumConcurrency": LOCAL_WORKERS}
    assert source["BatchSize"] == 1
