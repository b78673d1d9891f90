"""`impact doctor` on a running stack: nothing is wrong; then one fault after the other is planted."""

import http.client
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from boto3.dynamodb.conditions import Key

from impact.corrections import append_correction
from impact.fx_rates import fx_date_of
from impact.keys import FX_RATE, UNPRICED, day_shard, user_event
from impact.price_book import Price, Rates
from impact_cli.doctor_parts import PARTS
from impact_client.version import version
from local import PROJECT
from local.fake_ecb import published, serving
from local.http_server import running_server
from local.stack import Stack, running_stack
from local.stack.ministack import REGION
from local.stack.stack import LOCAL_SHARDS
from tests.e2e.api import Api, a_user, an_event, day, store_of
from tests.e2e.command import Ran, impact, impact_in_a_terminal
from tests.e2e.test_queue import drained

TOPIC = f"arn:aws:sns:{REGION}:000000000000:alarms"
SOURCE = "litellm/1.106.2"
MODEL, SHOWN_MODEL = "unheard-of \x1b[2J$(id)", r"unheard-of \x1b[2J$(id)"
"""A model that nobody has a price for, and its name as it is shown."""


class Finding(NamedTuple):
    part: str
    level: str
    message: str
    action: str


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack of this file's own, with nothing wrong: other tests leave alarms, marks and odd events."""
    with serving() as ecb, running_stack(RatesUrl=ecb.url, AlarmTopic=TOPIC) as running:
        ecb.publish(published(day(89), day()))
        sns, sqs = running.client("sns"), running.client("sqs")
        assert sns.create_topic(Name="alarms")["TopicArn"] == TOPIC
        queue = sqs.create_queue(QueueName="operator")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=arn)
        running.update_rates()
        event = an_event(a_user(), source=SOURCE, callType="acompletion")
        assert Api(running).post(event).status == 201
        running.rollup()
        yield running


def examined(stack: Stack, code: int, **environment: str) -> list[Finding]:
    """What is not all right, and that the exit code says so."""
    ran = impact(stack, "doctor", "--quiet", "--json", environment=environment)
    assert (ran.code, ran.error) == (code, ""), ran
    return [Finding(**finding) for finding in json.loads(ran.out)]


# Faults. Each is there until its function goes on; the environment that it yields is that of the command.

Planted = Iterator[dict[str, str]]


@contextmanager
def planted(stack: Stack, fault: Callable[[Stack], Planted]) -> Planted:
    steps = fault(stack)
    try:
        yield next(steps)
    finally:
        assert next(steps, None) is None


def wrong_read_token(stack: Stack) -> Planted:
    yield {"IMPACT_READ_TOKEN": stack.ingest_token}


def wrong_ingest_token(stack: Stack) -> Planted:
    yield {"IMPACT_SERVICE_TOKEN": "mistyped"}


def schedule_off(stack: Stack) -> Planted:
    scheduler = stack.client("scheduler")
    described = scheduler.get_schedule(Name=f"{stack.name}-Rollup")
    given = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    schedule = {name: described[name] for name in given}
    scheduler.update_schedule(**schedule, State="DISABLED")
    yield {}
    scheduler.update_schedule(**schedule, State="ENABLED")


def dead_letter(stack: Stack) -> Planted:
    body = json.dumps({"day": day(), "shard": 0})
    stack.client("sqs").send_message(QueueUrl=stack.physical_id("FailedRollups"), MessageBody=body)
    yield {}
    assert json.loads(body) in list(drained(stack, "FailedRollups"))


def mark_that_stands(stack: Stack) -> Planted:
    state = store_of(stack).state
    state.mark_late(day(6), [0], datetime.now(UTC) - timedelta(hours=7))
    yield {}
    assert state.clear_mark(state.late_mark(day(6), 0))


def missing_rate(stack: Stack) -> Planted:
    table = stack.session.resource("dynamodb").Table(stack.state_table)
    key = {"kind": FX_RATE, "key": fx_date_of(day())}
    rate = table.delete_item(Key=key, ReturnValues="ALL_OLD")["Attributes"]
    yield {}
    table.put_item(Item=rate)


def unpriced_model(stack: Stack) -> Planted:
    """Noted by the worker when it counts the day of the event; both are taken out again."""
    user_id = a_user()
    event = an_event(user_id, costEUR=None, model=MODEL, provider="openai", source=SOURCE)
    assert Api(stack).post(event).status == 201
    stack.rollup()
    state: Any = stack.session.resource("dynamodb").Table(stack.state_table)
    yield {}
    delete_event(stack, user_id, event["eventId"])
    stack.rollup()
    noted = state.query(KeyConditionExpression=Key("kind").eq(UNPRICED))["Items"]
    [its_key] = [item["key"] for item in noted if item["model"] == f"openai/{MODEL}"]
    state.delete_item(Key={"kind": UNPRICED, "key": its_key})


def priced_model(stack: Stack) -> Planted:
    """A model that was noted, and that the book has a price for since."""
    prices = store_of(stack).prices
    prices.note_unpriced(["openai/own-1"], day(2), datetime.now(UTC))
    price = Price("", "openai/own-*", day(), Rates(perRequest=Decimal(1)), source="a test")
    assert prices.append(prices.book().revision + 1, [price], by="a test", now=datetime.now(UTC))
    yield {}


def correction_begun(hours_ago: int) -> Callable[[Stack], Planted]:
    """A correction whose command was stopped after it was recorded. The rollup finishes it."""

    def correction(stack: Stack) -> Planted:
        totals = [{"day": day(6), "costUSD": Decimal(1)}]
        begun = datetime.now(UTC) - timedelta(hours=hours_ago)
        append_correction(store_of(stack), 0, totals, reason="a test", by="a test", now=begun)
        yield {}
        stack.rollup()

    correction.__name__ = f"correction_begun_{hours_ago}_hours_ago"
    return correction


def other_shard_count(stack: Stack) -> Planted:
    stack.deploy(ShardCount=LOCAL_SHARDS + 3)
    yield {}
    stack.deploy(ShardCount=LOCAL_SHARDS)


def throttled_table(stack: Stack) -> Planted:
    """By a metric without an alarm. MiniStack keeps each value: so they are taken from it again."""

    def throttle(times: int) -> None:
        dimensions = [{"Name": "TableName", "Value": stack.state_table}]
        datum = {"MetricName": "ReadThrottleEvents", "Dimensions": dimensions, "Value": times}
        stack.client("cloudwatch").put_metric_data(Namespace="AWS/DynamoDB", MetricData=[datum])

    throttle(12)
    yield {}
    throttle(-12)


def no_topic(stack: Stack) -> Planted:
    stack.deploy(AlarmTopic="")
    yield {}
    stack.deploy(AlarmTopic=TOPIC)


def no_subscriber(stack: Stack) -> Planted:
    sns = stack.client("sns")
    [subscription] = sns.list_subscriptions_by_topic(TopicArn=TOPIC)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    yield {}
    sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=subscription["Endpoint"])


def alarm_on(stack: Stack) -> Planted:
    cloudwatch, name = stack.client("cloudwatch"), stack.physical_id("EventsRejected")
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    yield {}
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")


def unprotected_table(stack: Stack) -> Planted:
    dynamodb, table = stack.client("dynamodb"), {"TableName": stack.state_table}
    recovery: Any = {"PointInTimeRecoveryEnabled": False}
    dynamodb.update_table(**table, DeletionProtectionEnabled=False)
    dynamodb.update_continuous_backups(**table, PointInTimeRecoverySpecification=recovery)
    yield {}
    recovery["PointInTimeRecoveryEnabled"] = True
    dynamodb.update_continuous_backups(**table, PointInTimeRecoverySpecification=recovery)
    dynamodb.update_table(**table, DeletionProtectionEnabled=True)


def old_callback(stack: Stack) -> Planted:
    user_id = a_user()
    event = an_event(user_id, callType="acompletion")
    assert Api(stack).post(event).status == 201
    yield {}
    delete_event(stack, user_id, event["eventId"])


def delete_event(stack: Stack, user_id: str, event_id: str) -> None:
    shards = store_of(stack).state.periods()[0].settings.shard_count
    ledger = stack.session.resource("dynamodb").Table(stack.request_events_table)
    keys = [
        {"dayShard": day_shard(day(), number), "userEvent": user_event(user_id, event_id)}
        for number in range(shards)
    ]
    assert [key for key in keys if ledger.delete_item(Key=key, ReturnValues="ALL_OLD").get("Attributes")]


class _Late(BaseHTTPRequestHandler):
    """Forwards to `upstream`, whose clock is then ten minutes behind."""

    upstream = ""

    def do_GET(self) -> None:
        connection = http.client.HTTPConnection(self.upstream)
        length = int(self.headers.get("Content-Length") or 0)
        connection.request(self.command, self.path, self.rfile.read(length), dict(self.headers.items()))
        response = connection.getresponse()
        content = response.read()
        connection.close()
        then = parsedate_to_datetime(response.headers["Date"]) - timedelta(minutes=10)
        self.send_response_only(response.status)
        self.send_header("Date", format_datetime(then.astimezone(UTC), usegmt=True))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def clock_ahead(stack: Stack) -> Planted:
    """The API's clock is behind, which is the same to whoever compares it with this machine's."""
    handler = type("Handler", (_Late,), {"upstream": urlsplit(stack.api_url).netloc})
    with running_server(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield {"IMPACT_SERVICE_URL": f"http://127.0.0.1:{server.server_port}"}


class Case(NamedTuple):
    fault: Callable[[Stack], Planted]
    part: str
    level: str
    words: str
    remedy: str


CASES = [
    Case(wrong_read_token, "read token", "fault", "The read token is not valid", "`impact token new read`"),
    Case(
        wrong_ingest_token,
        "ingest token",
        "fault",
        "The ingest token is not valid",
        "`impact token new ingest`",
    ),
    Case(schedule_off, "schedules", "fault", "impact-Rollup is DISABLED", "`impact revert-drift`"),
    Case(dead_letter, "dead letters", "fault", "1 failed call in FailedRollups", "`impact replay`"),
    Case(mark_that_stands, "late marks", "fault", "stand for 7 hours", f"`impact rollup {day(6)}`"),
    Case(missing_rate, "fx rates", "fault", f"No fx rate of {fx_date_of(day())}", "`impact rates enter"),
    Case(
        unpriced_model,
        "prices",
        "warning",
        f"No price of openai/{SHOWN_MODEL} (since {day()})",
        f"`impact price check --since {day()}`",
    ),
    Case(correction_begun(1), "prices", "warning", "was begun 60 minutes ago", "next rollup finishes it"),
    Case(correction_begun(7), "prices", "fault", "was begun 7 hours ago", "#rolluperrors"),
    Case(
        other_shard_count,
        "settings",
        "warning",
        "ShardCount is 5 in the stack's parameters, and 2",
        "ShardCount 2 -> 5",
    ),
    Case(
        throttled_table,
        "throttling",
        "warning",
        "throttled 12 reads of impact-State",
        "#ledgerthrottled",
    ),
    Case(no_topic, "alarms", "warning", "AlarmTopic is empty", "`impact deploy AlarmTopic="),
    Case(no_subscriber, "alarms", "warning", "has no confirmed subscription", "`aws sns subscribe`"),
    Case(alarm_on, "alarms", "fault", "EventsRejected is on since", "docs/runbook.md#eventsrejected"),
    Case(unprotected_table, "tables", "fault", "impact-State is not protected", "`impact revert-drift`"),
    Case(
        old_callback, "senders", "warning", "An old callback reports: 1 of 2 events", "pip install --upgrade"
    ),
    Case(clock_ahead, "clock", "fault", "clock is 10 minutes ahead of the API's", "timedatectl"),
]


def test_a_stack_with_nothing_wrong_is_all_right(stack: Stack) -> None:
    ran = impact(stack, "doctor")
    assert (ran.code, ran.error) == (0, ""), ran
    parts = ["API", "read token", "ingest token", "clock", *PARTS]
    assert [line[9:22].rstrip() for line in ran.out.splitlines()] == parts
    assert {line.split()[0] for line in ran.out.splitlines()} == {"ok"}
    for words in (
        f"version {version()}",
        "ShardCount 2, ReportingTimeZone UTC, RetentionDays 400",
        "impact-Rollup rate(1 hour)",
        "The last run was at",
        f"{SOURCE} (1)",
    ):
        assert words in ran.out
    assert impact(stack, "doctor", "--quiet") == Ran(0, "", "")


DEPLOYED = (other_shard_count, no_topic)
"""Faults that take two deployments."""


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.long] * (case.fault in DEPLOYED)) for case in CASES],
    ids=lambda case: case.fault.__name__,
)
def test_a_planted_fault_is_named_with_its_remedy_until_it_is_gone(stack: Stack, case: Case) -> None:
    with planted(stack, case.fault) as environment:
        found = examined(stack, int(case.level == "fault"), **environment)
        named = [f for f in found if (f.part, f.level) == (case.part, case.level) and case.words in f.message]
        assert named, found
        assert case.remedy in named[0].action
        assert {finding.part for finding in found} == {case.part}
    assert examined(stack, 0) == []


def test_a_model_that_the_book_has_a_price_for_is_all_right(stack: Stack) -> None:
    with planted(stack, priced_model):
        assert examined(stack, 0) == []


@pytest.mark.long
def test_a_change_that_the_rollup_has_scheduled_is_all_right(stack: Stack) -> None:
    stack.deploy(RetentionDays=500)
    stack.rollup()
    ran = impact(stack, "doctor")
    assert ran.code == 0
    [line] = [line for line in ran.out.splitlines() if "settings" in line]
    assert line.startswith("ok")
    assert "RetentionDays 400 -> 500: for days from" in line


def test_at_a_terminal_levels_are_coloured_signs(stack: Stack) -> None:
    with planted(stack, dead_letter):
        ran = impact_in_a_terminal(stack, "doctor")
        plain = impact_in_a_terminal(stack, "doctor", environment={"NO_COLOR": "1"})
    assert ran.code == plain.code == 1
    assert "\x1b[31m\x1b[1m✗\x1b[0m  dead letters  1 failed call in FailedRollups." in ran.out
    assert "✗  dead letters  1 failed call in FailedRollups." in plain.out
    assert "✓  API           http" in plain.out
    assert "\x1b" not in plain.out
    assert "What to do:\n  dead letters  `impact replay`" in plain.out


@pytest.fixture
def reader(stack: Stack) -> Iterator[dict[str, str]]:
    """The credentials of a user with the rights that docs/operating.md lists, and nothing else."""
    page = (PROJECT / "docs/operating.md").read_text().partition("## Is everything all right?")[2]
    actions = re.findall(r"`(\w+:\w+)`", page.partition("\n## ")[0])
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
    }
    iam, user = stack.client("iam"), {"UserName": "reader"}
    iam.create_user(**user)
    iam.put_user_policy(**user, PolicyName="doctor", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(**user)["AccessKey"]
    yield {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    iam.delete_access_key(**user, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(**user, PolicyName="doctor")
    iam.delete_user(**user)


def test_it_needs_no_other_rights_than_the_page_says(stack: Stack, reader: dict[str, str]) -> None:
    assert examined(stack, 0, **reader) == []


def test_a_right_that_is_missing_is_a_fault_of_its_part(stack: Stack, reader: dict[str, str]) -> None:
    policy = {"Effect": "Deny", "Action": "scheduler:GetSchedule", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    iam = stack.client("iam")
    iam.put_user_policy(UserName="reader", PolicyName="less", PolicyDocument=document)
    try:
        [found] = examined(stack, 1, **reader)
    finally:
        iam.delete_user_policy(UserName="reader", PolicyName="less")
    assert (found.part, found.level) == ("schedules", "fault")
    assert "AccessDenied" in found.message


@pytest.mark.parametrize(
    ("arguments", "environment", "words", "seen"),
    [
        (["--stack", "nowhere"], {}, "There is no stack nowhere", set()),
        ([], {"IMPACT_SERVICE_URL": "http://127.0.0.1:9"}, "No response from http://127.0.0.1:9", set(PARTS)),
        ([], {"IMPACT_SERVICE_URL": "nonsense"}, "'nonsense' is not a URL", set(PARTS)),
        (
            [],
            {"AWS_ACCESS_KEY_ID": ""},
            "AWS cannot be called",
            {"API", "read token", "ingest token", "clock"},
        ),
        ([], {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "AWS cannot be called", {"API", "clock"}),
    ],
)
def test_what_cannot_be_looked_at_is_a_fault_and_the_rest_is_looked_at(
    stack: Stack, arguments: list[str], environment: dict[str, str], words: str, seen: set[str]
) -> None:
    ran = impact(stack, "doctor", "--json", *arguments, environment=environment)
    assert (ran.code, ran.error) == (1, "")
    found = [Finding(**finding) for finding in json.loads(ran.out)]
    assert [f for f in found if f.level == "fault" and words in f.message and f.action], found
    assert seen <= {f.part for f in found if f.level == "ok"}
