"""Each alarm of the template goes off when its cause is there, and back when it is gone.

MiniStack 1.5 publishes AWS/Lambda by itself, from the real calls. What the functions log as embedded
metrics is put into CloudWatch here, as CloudWatch itself would do it. What only AWS publishes is put as AWS
documents it. MiniStack's evaluation is simpler than AWS's: when a metric is put, over one window of all
periods, whatever its dimensions; and a state lasts where there is no figure. So the windows are cut to a
second, figures are read back by the alarm's own dimensions, and what concerns several periods, or silence,
is compared with what the template is meant to say.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.stack import Stack
from local.stack.stack import SCHEDULED, FunctionFailed
from local.template import resources
from local.waiting import wait_until
from tests.e2e.api import Api, a_user, an_event, count, day, store_of
from tests.e2e.test_permissions import OLD_DATES, Grant, enter_rate, without
from tests.metrics import AWS_METRICS, emitted

Act = Callable[[Stack, Api], None]
AGO = 185
"""The day of the models without a price: so many days ago."""
TICK = {"Namespace": "Tests", "MetricData": [{"MetricName": "Tick", "Value": 1}]}
"""Makes MiniStack evaluate alarms, which it does whenever it gets a metric."""


class Case(NamedTuple):
    """How to bring about the cause of an alarm, and how to remove it. Both can be repeated."""

    cause: Act
    end: Act


# What Lambda publishes

RAISES: dict[str, object] = {
    "Authorizer": [],
    "Ingest": [],
    "Summaries": [],
    "Rollup": {"day": "no day"},
    "RollupWorker": [],
    "Rates": {"date": "no date"},
}
ANSWERS: dict[str, object] = {
    "Authorizer": {"routeKey": "GET /"},
    "Ingest": {"headers": {}, "body": "{"},
    "Summaries": {"routeKey": "GET /api/totals"},
    "Rollup": SCHEDULED,
    "RollupWorker": {"day": day(), "shard": 0},
}


def errors(function: str) -> Case:
    def raise_(stack: Stack, api: Api) -> None:
        with pytest.raises(FunctionFailed):
            stack.invoke(f"{function}Function", RAISES[function])

    return Case(raise_, call(function))


def throttles(function: str) -> Case:
    def throttle(stack: Stack, api: Api) -> None:
        lambda_: Any = stack.session.client("lambda", config=Config(retries={"total_max_attempts": 1}))
        name = stack.physical_id(f"{function}Function")
        lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        try:
            with pytest.raises(ClientError, match="TooManyRequests"):
                lambda_.invoke(FunctionName=name)
        finally:
            lambda_.delete_function_concurrency(FunctionName=name)

    return Case(throttle, call(function))


def call(function: str) -> Act:
    def call_(stack: Stack, api: Api) -> None:
        if function == "Rates":  # a past rate: this process cannot reach the internet for the newest ones
            enter_rate(stack, next(OLD_DATES))
        else:
            stack.invoke(f"{function}Function", ANSWERS[function])

    return call_


# What the functions log


def logged(function: str, act: Act) -> Act:
    """Act, and put the metrics that the function logs meanwhile into CloudWatch.

    On a busy machine MiniStack logs a call's output only with the next call: so there may be none.
    """

    def act_(stack: Stack, api: Api) -> None:
        since = int(time.time() * 1000)
        act(stack, api)
        group = stack.physical_id(f"{function}Logs")
        events = stack.client("logs").filter_log_events(logGroupName=group, startTime=since)["events"]
        for metric, unit, value in emitted("\n".join(event["message"] for event in events)):
            dimensions = [{"Name": name, "Value": value} for name, value in sorted(metric.dimensions)]
            datum = {"MetricName": metric.name, "Dimensions": dimensions, "Unit": unit, "Value": value}
            stack.client("cloudwatch").put_metric_data(Namespace=metric.namespace, MetricData=[datum])

    return act_


def silence(name: str, act: Act = lambda stack, api: None) -> Act:
    """Act; then the functions emit the metric no more. AWS takes that as OK, MiniStack as no change.

    So a zero is put, once the functions really emit no value.
    """

    def silence_(stack: Stack, api: Api) -> None:
        since = int(time.time() * 1000)
        act(stack, api)
        group = stack.physical_id("RollupLogs")
        events = stack.client("logs").filter_log_events(logGroupName=group, startTime=since)["events"]
        if name not in {metric.name for event in events for metric, _, _ in emitted(event["message"])}:
            datum = {"MetricName": name, "Dimensions": [{"Name": "service", "Value": stack.name}], "Value": 0}
            stack.client("cloudwatch").put_metric_data(Namespace="ImpactService", MetricData=[datum])

    return silence_


def post_bad(stack: Stack, api: Api) -> None:
    assert api.post(an_event(a_user(), tokens_in=-1)).status == 422


def post_while_storage_fails(stack: Stack, api: Api) -> None:
    with without(stack, Grant("IngestFunction", "AppendEvents", "dynamodb:PutItem")):
        assert api.post(an_event(a_user())).status == 503


def count_a_model_without_a_price(stack: Stack, api: Api) -> None:
    model = f"unheard-of-{uuid4().hex}"
    unpriced = an_event(a_user(), AGO, model=model, costUSD=None, costEUR=None)
    assert api.post(unpriced).status == 201
    count(stack, day(AGO))


def plan(stack: Stack, api: Api) -> None:
    stack.invoke("RollupFunction", SCHEDULED)


def plan_after_days_of_silence(stack: Stack, api: Api) -> None:
    """Set the watermark back, as if the last days had not been recomputed."""
    state: Any = stack.session.resource("dynamodb").Table(stack.state_table)
    for item in state.scan(ConsistentRead=True)["Items"]:
        if item["kind"] == "total" and item["key"] > day(3):
            state.delete_item(Key={"kind": item["kind"], "key": item["key"]})
    plan(stack, api)  # from now on there is a watermark
    state.update_item(
        Key={"kind": "rollup", "key": "progress"},
        UpdateExpression="SET finalThrough = :day",
        ExpressionAttributeValues={":day": day(3)},
    )
    plan(stack, api)


def plan_with_a_mark_of(days_ago: int) -> Act:
    def plan_(stack: Stack, api: Api) -> None:
        store_of(stack).state.mark_late(day(days_ago), [0], datetime.now(UTC) - timedelta(hours=4))
        plan(stack, api)

    return plan_


def count_and_plan(*days_ago: int) -> Act:
    def count_(stack: Stack, api: Api) -> None:
        for ago in days_ago:
            count(stack, day(ago))
        plan(stack, api)

    return count_


def delete_the_mark_and_plan(stack: Stack, api: Api) -> None:
    store = store_of(stack)
    assert store.state.clear_mark(store.state.late_mark(day(900), 0))
    plan(stack, api)


# What else AWS publishes


def told(stack: Stack, namespace: str, name: str, value: float, **dimensions: str) -> None:
    """Put a metric, as AWS documents it."""
    assert tuple(dimensions) in AWS_METRICS[namespace][name]
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    datum = {"MetricName": name, "Dimensions": named, "Value": value}
    stack.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])


def documented(namespace: str, name: str, dimension: str, resource: str, bad: float, good: float) -> Case:
    def tell(value: float) -> Act:
        def tell_(stack: Stack, api: Api) -> None:
            names = {dimension: stack.physical_id(resource).rsplit("/", 1)[-1]}
            told(stack, namespace, name, value, **names)

        return tell_

    return Case(tell(bad), tell(good))


def missing(function: str) -> Case:
    """Put a zero: AWS publishes no value without calls, but MiniStack does not evaluate that."""
    silence = documented("AWS/Lambda", "Invocations", "FunctionName", f"{function}Function", 0, 1)
    return Case(silence.cause, call(function))


def aged(queue: str) -> Case:
    return documented("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue, 4 * 3600 + 1, 3 * 3600)


def waiting(queue: str) -> Case:
    return documented("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue, 1, 0)


CASES = {
    **{f"{function}Errors": errors(function) for function in RAISES},
    **{f"{function}Throttles": throttles(function) for function in RAISES},
    "RollupMissing": missing("Rollup"),
    "RatesMissing": missing("Rates"),
    "FailedRollupsWaiting": waiting("FailedRollups"),
    "FailedSchedulesWaiting": waiting("FailedSchedules"),
    "RollupQueueWaiting": aged("RollupQueue"),
    "EventsRejected": Case(logged("Ingest", post_bad), silence("Rejected")),
    "ModelUnpriced": Case(
        logged("RollupWorker", count_a_model_without_a_price), silence("NewUnpricedModels")
    ),
    "StorageFailing": Case(logged("Ingest", post_while_storage_fails), silence("Retry")),
    "ApiFailing": documented("AWS/ApiGateway", "5xx", "ApiId", "Api", 1, 0),
    "LedgerThrottled": documented("AWS/DynamoDB", "WriteThrottleEvents", "TableName", "RequestEvents", 1, 0),
    "RollupLagging": Case(
        logged("Rollup", plan_after_days_of_silence), silence("RollupLag", count_and_plan(2, 1))
    ),
    "LateMarksStanding": Case(
        logged("Rollup", plan_with_a_mark_of(6)), silence("OldestLateMark", count_and_plan(6))
    ),
    "LateMarksExpired": Case(
        logged("Rollup", plan_with_a_mark_of(900)), silence("ExpiredMarks", delete_the_mark_and_plan)
    ),
}


HOURLY = {
    *(f"{function}Errors" for function in ("Rollup", "RollupWorker", "Rates")),
    *(f"{function}Throttles" for function in ("Rollup", "RollupWorker", "Rates")),
    *("RollupLagging", "LateMarksStanding", "LateMarksExpired"),
}
"""Alarms on functions that run once an hour, or for a time once an hour, and on what they emit."""


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_each_alarm_goes_off_and_back(stack: Stack, api: Api, name: str) -> None:
    case = CASES[name]
    with quick(stack, name) as alarm:
        since = datetime.now(UTC) - timedelta(seconds=1)
        await_state(stack, api, alarm, "ALARM", case.cause)
        assert any(is_breached(alarm, figure) for figure in figures(stack, alarm, since))
        await_state(stack, api, alarm, "OK", case.end)


def test_no_alarm_is_without_its_case() -> None:
    assert set(CASES) == set(ALARMS)


def test_what_ministack_does_not_evaluate_is_in_the_template() -> None:
    """How alarms treat periods without a value, and how many periods they evaluate."""
    silent = {name for name, alarm in ALARMS.items() if alarm["TreatMissingData"] == "missing"}
    assert not [name for name, alarm in ALARMS.items() if alarm["TreatMissingData"] == "breaching"]
    hourly = {name for name, alarm in ALARMS.items() if alarm.get("DatapointsToAlarm") == 1}
    lasting = {
        name: alarm["EvaluationPeriods"]
        for name, alarm in ALARMS.items()
        if alarm["EvaluationPeriods"] > 1 and name not in hourly
    }
    assert silent == {"RollupMissing", "RatesMissing"}
    assert {alarm["TreatMissingData"] for alarm in ALARMS.values()} == {"missing", "notBreaching"}
    assert lasting == dict.fromkeys(
        ("RollupMissing", "RatesMissing", "StorageFailing", "ApiFailing", "LedgerThrottled"), 3
    )
    assert hourly == HOURLY
    assert not [name for name in ALARMS.keys() - hourly if "DatapointsToAlarm" in ALARMS[name]]


def test_a_new_stack_raises_no_alarm() -> None:
    """Its metrics have no data. An alarm that takes this as bad would go off before the first run.

    A new alarm has the state INSUFFICIENT_DATA: an action on that comes only after data that was there.
    """
    for name, alarm in ALARMS.items():
        assert alarm["TreatMissingData"] in ("notBreaching", "missing"), name
        assert ("InsufficientDataActions" in alarm) == (alarm["TreatMissingData"] == "missing"), name


@pytest.mark.parametrize("name", sorted(HOURLY))
def test_a_function_that_fails_every_hour_is_one_alarm(name: str) -> None:
    """One failed run in three hours keeps it on: it neither ends nor begins again between two runs."""
    alarm = ALARMS[name]
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (3600, 3, 1)
    assert alarm["TreatMissingData"] == "notBreaching"


ALARMS = resources("AWS::CloudWatch::Alarm")


@contextmanager
def quick(stack: Stack, name: str) -> Iterator[dict[str, Any]]:
    """The deployed alarm, with periods of one second, in state OK. It is restored at the end."""
    cloudwatch = stack.client("cloudwatch")
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[stack.physical_id(name)])["MetricAlarms"]
    computed = ("AlarmArn", "State", "AlarmConfiguration")
    deployed = {key: value for key, value in alarm.items() if not key.startswith(computed)}
    cloudwatch.put_metric_alarm(**deployed | {"Period": 1, "EvaluationPeriods": 1})
    cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue="OK", StateReason="a test begins")
    try:
        yield deployed
    finally:
        cloudwatch.put_metric_alarm(**deployed)


def await_state(stack: Stack, api: Api, alarm: dict[str, Any], wanted: str, act: Act) -> None:
    """Act, and have the alarm evaluated, until it is in the expected state."""
    cloudwatch = stack.client("cloudwatch")

    def reached() -> bool:
        act(stack, api)
        cloudwatch.put_metric_data(**TICK)
        [now] = cloudwatch.describe_alarms(AlarmNames=[alarm["AlarmName"]])["MetricAlarms"]
        return bool(now["StateValue"] == wanted)

    wait_until(reached, f"{alarm['AlarmName']} in {wanted}")


def figures(stack: Stack, alarm: dict[str, Any], since: datetime) -> list[float]:
    """CloudWatch's values of the alarm's own metric, dimensions and statistic since `start`."""
    statistics = stack.client("cloudwatch").get_metric_statistics(
        **{name: alarm[name] for name in ("Namespace", "MetricName", "Dimensions")},
        Statistics=[alarm["Statistic"]],
        Period=1,
        StartTime=since,
        EndTime=datetime.now(UTC) + timedelta(seconds=1),
    )
    return [point[alarm["Statistic"]] for point in statistics["Datapoints"]]


def is_breached(alarm: dict[str, Any], figure: float) -> bool:
    if alarm["ComparisonOperator"] == "LessThanThreshold":
        return bool(figure < alarm["Threshold"])
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    return bool(figure > alarm["Threshold"])
