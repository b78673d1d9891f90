"""A call that fails for good waits in a dead-letter queue with an alarm; `impact replay` repeats it once."""

import json
from typing import Any

import pytest

from local.stack import Stack
from local.stack.stack import LOCAL_SHARDS, SCHEDULED
from local.waiting import wait_until
from tests.e2e.api import Api, a_user, an_event, day
from tests.e2e.command import Ran, impact
from tests.e2e.test_permissions import Grant, without
from tests.e2e.test_queue import drained, impatient

DAYS_AGO = 21
BROKEN = Grant("RollupWorkerFunction", "ReadTheLedger", "dynamodb:Query")


def replay(stack: Stack) -> Ran:
    return impact(stack, "replay")


def visible(stack: Stack, queue: str) -> int:
    url, name = stack.physical_id(queue), "ApproximateNumberOfMessages"
    attributes = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"]
    return int(attributes[name])


@pytest.fixture(autouse=True)
def empty_queues(stack: Stack) -> None:
    for queue in ("FailedRollups", "FailedSchedules"):
        for _ in drained(stack, queue):
            pass


@pytest.mark.long
def test_a_worker_that_failed_for_good_is_called_again(stack: Stack, api: Api) -> None:
    user_id = a_user()
    with without(stack, BROKEN):
        assert api.post(an_event(user_id, days_ago=DAYS_AGO)).status == 201
        waiting = fail(stack)
        assert_alarm(stack, "FailedRollupsWaiting", "FailedRollups")
        assert api.impact.usage(user_id)["days"] == []
        broken = replay(stack)
        assert broken.code == 1
        assert "failed: An error occurred (AccessDenied" in broken.out
        assert "0 of " in broken.out
        assert visible(stack, "FailedRollups") >= waiting
    mended = replay(stack)
    assert (mended.code, mended.error) == (0, "")
    assert mended.out.count(": done") == LOCAL_SHARDS
    assert "done (had failed: An error occurred (AccessDenied" in mended.out
    [summary] = api.impact.usage(user_id)["days"]
    assert (summary["requests"], summary["final"]) == (1, True)
    again = replay(stack)
    assert (again.code, again.out) == (0, "Nothing waits in FailedRollups or FailedSchedules.\n")


def test_both_forms_of_a_dead_letter_are_one_call(stack: Stack, api: Api) -> None:
    user_id = a_user()
    api.post([an_event(user_id, days_ago=DAYS_AGO) for _ in range(3)])
    arn = f"arn:aws:lambda:us-east-1:0:function:{stack.physical_id('RollupWorkerFunction')}"
    for shard in range(LOCAL_SHARDS):
        call = {"day": day(DAYS_AGO), "shard": shard}
        record = {
            "requestContext": {"functionArn": arn},
            "requestPayload": call,
            "responsePayload": {"errorMessage": "DynamoDB was out"},
        }
        for letter in (call, record, call):
            send(stack, "FailedRollups", letter, {})
    done = replay(stack)
    assert (done.code, done.error) == (0, "")
    told = ": done (had failed: DynamoDB was out and its function was killed"
    assert done.out.count(told) == LOCAL_SHARDS
    assert f"{3 * LOCAL_SHARDS} of {3 * LOCAL_SHARDS} failed calls are done." in done.out
    [summary] = api.impact.usage(user_id)["days"]
    assert summary["requests"] == 3


def test_a_scheduled_call_that_could_not_be_delivered_is_repeated(stack: Stack, api: Api) -> None:
    user_id = a_user()
    api.post(an_event(user_id, days_ago=DAYS_AGO))
    schedule = stack.client("scheduler").get_schedule(Name=f"{stack.name}-Rollup")
    attributes = {
        "SCHEDULE_ARN": schedule["Arn"],
        "TARGET_ARN": schedule["Target"]["Arn"],
        "ERROR_CODE": "TooManyRequestsException",
        "RETRY_ATTEMPTS": "5",
    }
    send(stack, "FailedSchedules", SCHEDULED, attributes)
    send(stack, "FailedSchedules", SCHEDULED, attributes)
    done = replay(stack)
    assert (done.code, done.error) == (0, "")
    told = ": done (had failed: TooManyRequestsException)"
    assert done.out.count(told) == 1  # the same call in two messages is made once

    def make_up_again() -> None:
        send(stack, "FailedSchedules", SCHEDULED, attributes)
        replay(stack)

    wait_until(
        lambda: bool(api.impact.usage(user_id)["days"]),
        "the summary",
        again=make_up_again,
    )


def test_a_message_that_is_no_record_of_a_call_stays_and_is_reported(stack: Stack) -> None:
    send(stack, "FailedRollups", "what is this?", {})
    told = replay(stack)
    assert told.code == 1
    assert "it is not a record of a failed call" in told.out
    assert visible(stack, "FailedRollups") == 1


def test_a_missing_stack_is_reported(stack: Stack) -> None:
    ran = impact(stack, "replay", "--stack", "nowhere")
    assert (ran.code, "nowhere" in ran.error) == (1, True)


def fail(stack: Stack) -> int:
    """Make the workers of the day fail for good. Return the number of dead letters: one a shard."""

    def plan() -> None:
        stack.invoke("RollupFunction", {"day": day(DAYS_AGO)})

    with impatient(stack):
        plan()
        wait_until(lambda: visible(stack, "FailedRollups") >= LOCAL_SHARDS, "records of failed calls")
    return visible(stack, "FailedRollups")


def send(stack: Stack, queue: str, body: Any, attributes: dict[str, str]) -> None:
    stack.client("sqs").send_message(
        QueueUrl=stack.physical_id(queue),
        MessageBody=json.dumps(body),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
    )


def assert_alarm(stack: Stack, alarm: str, queue: str) -> None:
    """The queue's alarm goes off with the metric that SQS publishes, and MiniStack does not."""
    cloudwatch, name = stack.client("cloudwatch"), stack.physical_id(alarm)
    queue_name = stack.physical_id(queue).rsplit("/", 1)[-1]
    cloudwatch.put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateNumberOfMessagesVisible",
                "Dimensions": [{"Name": "QueueName", "Value": queue_name}],
                "Value": visible(stack, queue),
                "Unit": "Count",
            }
        ],
    )

    def goes_off() -> bool:
        [described] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return bool(described["StateValue"] == "ALARM")

    wait_until(goes_off, f"{alarm} goes off")
