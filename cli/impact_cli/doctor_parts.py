"""The parts that `impact doctor` looks at: reads each of them, and has doctor.py say what is wrong."""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from impact.calendar import Calendar, day_after, day_before
from impact.day_settings import InvalidSettings, effective_calendar
from impact.dynamodb import to_wire
from impact.fx_rates import due_dates
from impact.keys import day_shard
from impact.recompute import is_unconverted
from impact.rollup_planner import plan
from impact.store import Store
from impact_cli import doctor
from impact_cli.dead_letters import QUEUES
from impact_cli.deployed_stack import FoundStack, find_stack, is_empty, parameters_of, settings_of, store_of
from impact_cli.doctor import (
    AlarmState,
    Finding,
    RollupState,
    ScheduleState,
    Sender,
    TableState,
    fault,
    ok,
    warning,
)
from impact_cli.left_tables import TABLES
from impact_cli.target import TOKENS, NotFound, Target
from impact_client import Impact, ImpactError, Unauthorized
from impact_client.version import version

Report = dict[str, list[Finding]]
"""What was found, by part, in the order of the output."""

SCHEDULES = {"RollupFunctionSchedule": "RollupFunction", "RatesFunctionSchedule": "RatesFunction"}
INDEX = "byDay"
WORKERS = 8
"""Parts looked at, at a time."""
DAY = timedelta(days=1)
SAMPLED_SHARDS = 16
SAMPLED_EVENTS = 200
"""Most events of a shard that are looked at: a day may have millions."""
MESSAGES, NOT_VISIBLE = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
ALARMS_MAX = 100
"""Most alarms that CloudWatch describes in one response."""


def examine(target: Target, now: datetime) -> Report:
    """Look at every part. What cannot be looked at is a finding too: it raises nothing."""
    with ThreadPoolExecutor(1) as api:
        of_api = api.submit(look_at_api, target, now)
        of_stack = look_at_stack(target, now)
        return of_api.result() | of_stack


# The API


def look_at_api(target: Target, now: datetime) -> Report:
    try:
        api = target.api()
        answers = [ok(f"{api.url} answers.")]
        clock = doctor.check_clock(_ahead(api))
    except (NotFound, ImpactError, BotoCoreError, ClientError) as error:
        return {
            "API": [
                fault(_text(error), "Senders keep their events meanwhile. `impact configure` sets the URL.")
            ]
        }
    yesterday = day_before(now.date().isoformat())
    return {
        "API": answers,
        "read token": _token(target, "read_token", lambda: api.totals(yesterday, yesterday)),
        "ingest token": _token(target, "ingest_token", api.check_ingest_token),
        "clock": clock,
    }


def _ahead(api: Impact) -> timedelta:
    """How far this machine's clock is ahead of the API's: to a second, and half of the way there and back."""
    before = datetime.now(UTC)
    theirs = api.clock()
    return before + (datetime.now(UTC) - before) / 2 - theirs


def _token(target: Target, name: str, call: Callable[[], object]) -> list[Finding]:
    kind = name.removesuffix("_token")
    if not getattr(target, name):
        advice = f"Set {TOKENS[name]}, or run `impact configure`."
        return [warning(f"No {kind} token in {target.source}: it was not tried.", advice)]
    try:
        call()
    except Unauthorized as error:
        return [
            fault(
                _text(error),
                f"`impact token new {kind}`, and give it to whoever needs it: docs/operating.md#tokens",
            )
        ]
    except ImpactError as error:
        return [fault(_text(error), doctor.section("ApiFailing"))]
    return [ok("The API accepts it.")]


# The stack


def look_at_stack(target: Target, now: datetime) -> Report:
    """Look at all that needs AWS credentials."""
    try:
        session = target.session()
        found = find_stack(session, target.stack)
        if found is None:
            message = f"There is no stack {target.stack} in {session.region_name}."
            return {
                "stack": [fault(message, "Name it by --stack or AWS_REGION, or make it: `impact deploy`.")]
            }
        if is_empty(found):
            message = f"{target.stack}: {found['StackStatus']}. Its first deployment was not finished."
            return {"stack": [fault(message, "`impact deploy` makes it anew, and takes over its tables.")]}
        deployed = Deployed(target.stack, session, found, now)
    except (BotoCoreError, ClientError) as error:
        message = f"AWS cannot be called: {_text(error)} So {', '.join(PARTS)} were not looked at."
        return {"AWS": [fault(message, "Set AWS_PROFILE and AWS_REGION, or run `aws configure`.")]}
    with ThreadPoolExecutor(WORKERS) as workers:
        findings = workers.map(lambda look: _look(look, deployed), PARTS.values())
        return dict(zip(PARTS, findings, strict=True))


@dataclass
class Deployed:
    """A deployed stack, and clients of AWS for it. Raises ClientError."""

    name: str
    session: boto3.Session
    found: FoundStack
    now: datetime
    resources: dict[str, str] = field(init=False)
    """Physical ids by logical id."""
    alarms: list[str] = field(init=False)
    """Logical ids of the alarms."""
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self._clients: dict[str, Any] = {}
        self._lock = Lock()
        pages = (
            self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.name)
        )
        resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
        self.resources = {r["LogicalResourceId"]: r.get("PhysicalResourceId", "") for r in resources}
        self.alarms = [
            r["LogicalResourceId"] for r in resources if r["ResourceType"] == "AWS::CloudWatch::Alarm"
        ]
        self.store = store_of(self.session, self.name)

    def client(self, service: str) -> Any:
        """A session is not for several threads at once; its clients are."""
        with self._lock:
            if service not in self._clients:
                patient = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard"})
                self._clients[service] = self.session.client(service, config=patient)  # type: ignore[call-overload]
            return self._clients[service]

    @property
    def parameters(self) -> dict[str, str]:
        return parameters_of(self.found)

    @property
    def created_at(self) -> datetime:
        created: datetime = self.found["CreationTime"]
        return created

    @property
    def deployed_at(self) -> datetime:
        updated: datetime = self.found.get("LastUpdatedTime", self.created_at)
        return updated

    @cached_property
    def patience(self) -> timedelta:
        return doctor.patience(self.parameters.get("RollupSchedule", ""))

    def calendar(self) -> Calendar:
        """The settings of the ledger's days. Raises InvalidSettings."""
        return effective_calendar(self.store, lambda: settings_of(self.parameters))

    def metric(
        self, namespace: str, name: str, stat: str, since: timedelta, **dimensions: str
    ) -> list[tuple[datetime, float]]:
        """A metric's values since so long ago, with the beginning of their period."""
        found = self.client("cloudwatch").get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=self.now - since,
            EndTime=self.now + timedelta(minutes=5),
            Period=300 if since <= 2 * DAY else 3600,
            Statistics=[stat],
        )
        return [(point["Timestamp"], float(point[stat])) for point in found["Datapoints"]]


def _look(look: Callable[[Deployed], list[Finding]], deployed: Deployed) -> list[Finding]:
    try:
        return look(deployed)
    except ClientError as error:
        advice = "If access is denied, give these credentials the right; else see what the other parts say."
        return [fault(f"It cannot be looked at: {_text(error)}", advice)]
    except Exception as error:  # whatever a part has, the others are looked at
        return [fault(f"It cannot be looked at: {type(error).__name__}: {_text(error)}", "Try it again.")]


def _status(deployed: Deployed) -> list[Finding]:
    return doctor.check_status(deployed.name, deployed.found["StackStatus"])


def _version(deployed: Deployed) -> list[Finding]:
    outputs = {item["OutputKey"]: item["OutputValue"] for item in deployed.found.get("Outputs", [])}
    return doctor.check_version(outputs.get("Version"), version())


def _settings(deployed: Deployed) -> list[Finding]:
    try:
        requested, calendar = settings_of(deployed.parameters), deployed.calendar()
    except InvalidSettings as error:
        return [fault(_text(error), f"Deploy a right one: {doctor.section('RollupErrors')}")]
    return doctor.check_settings(calendar, requested, deployed.deployed_at, deployed.patience, deployed.now)


def _tables(deployed: Deployed) -> list[Finding]:
    return doctor.check_tables([_table(deployed, name) for name in TABLES])


def _table(deployed: Deployed, name: str) -> TableState:
    dynamodb, table = deployed.client("dynamodb"), f"{deployed.name}-{name}"
    try:
        described = dynamodb.describe_table(TableName=table)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        return TableState(table, None)
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    has_ttl = None
    if name == "RequestEvents":
        ttl = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"]
        has_ttl = ttl in ("ENABLED", "ENABLING")
    return TableState(
        table,
        described["TableStatus"],
        is_protected=described.get("DeletionProtectionEnabled", False),
        has_recovery=recovery == "ENABLED",
        has_ttl=has_ttl,
    )


def _schedules(deployed: Deployed) -> list[Finding]:
    return doctor.check_schedules([_schedule(deployed, *names) for names in SCHEDULES.items()])


def _schedule(deployed: Deployed, logical_id: str, function: str) -> ScheduleState:
    scheduler = deployed.client("scheduler")
    name = deployed.resources.get(logical_id) or logical_id
    name = name.rsplit("/", 1)[-1].rsplit("|", 1)[-1]
    try:
        described = scheduler.get_schedule(Name=name)
    except scheduler.exceptions.ResourceNotFoundException:
        return ScheduleState(name, None)
    return ScheduleState(
        name,
        described["ScheduleExpression"],
        described["State"],
        target=described["Target"]["Arn"].rsplit(":", 1)[-1],
        should_target=deployed.resources.get(function, ""),
    )


def _rollup(deployed: Deployed) -> list[Finding]:
    due = plan(deployed.store, deployed.calendar(), deployed.now)
    runs = deployed.metric(
        "AWS/Lambda",
        "Invocations",
        "Sum",
        deployed.patience,
        FunctionName=deployed.resources.get("RollupFunction", ""),
    )
    last_run = max((moment for moment, number in runs if number), default=None)
    state = RollupState(due.progress.watermark, due.lag, last_run)
    return doctor.check_rollup(state, deployed.created_at, deployed.patience, deployed.now)


def _late_marks(deployed: Deployed) -> list[Finding]:
    marks = deployed.store.state.late_marks()
    return doctor.check_late_marks(marks, deployed.calendar(), deployed.patience, deployed.now)


def _attributes(deployed: Deployed, queue: str, *names: str) -> dict[str, int]:
    attributes = deployed.client("sqs").get_queue_attributes(
        QueueUrl=deployed.resources[queue], AttributeNames=list(names)
    )["Attributes"]
    return {name: int(attributes[name]) for name in names}


def _dead_letters(deployed: Deployed) -> list[Finding]:
    return doctor.check_dead_letters(
        {queue: _attributes(deployed, queue, MESSAGES)[MESSAGES] for queue in QUEUES}
    )


def _rollup_queue(deployed: Deployed) -> list[Finding]:
    waiting = sum(_attributes(deployed, "RollupQueue", MESSAGES, NOT_VISIBLE).values())
    name = deployed.resources["RollupQueue"].rsplit("/", 1)[-1]
    ages = deployed.metric(
        "AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", timedelta(minutes=15), QueueName=name
    )
    age = max(ages, default=(None, 0.0))[1]
    worker = deployed.resources.get("RollupWorkerFunction", "")
    mappings = deployed.client("lambda").list_event_source_mappings(FunctionName=worker)[
        "EventSourceMappings"
    ]
    states = {mapping["UUID"]: mapping["State"] for mapping in mappings}
    return doctor.check_rollup_queue(waiting, timedelta(seconds=age), states)


def _fx_rates(deployed: Deployed) -> list[Finding]:
    due = due_dates(deployed.now.date())
    missing = due - deployed.store.state.fx_rates(min(due), max(due)).usd.keys()
    if not missing:
        return doctor.check_fx_rates((), ())
    totals = deployed.store.state.shard_totals(min(missing), day_after(deployed.now.date().isoformat()))
    return doctor.check_fx_rates(missing, {total["day"] for total in totals if is_unconverted(total)})


def _prices(deployed: Deployed) -> list[Finding]:
    prices, book = deployed.store.prices, deployed.store.prices.book()
    in_force = book.on(deployed.calendar().day_of(deployed.now), book.revision)
    without = {m["model"]: m["day"] for m in prices.unpriced() if in_force.of(m["model"]) is None}
    return doctor.check_prices(without, prices.unfinished(), deployed.patience, deployed.now)


def _throttles(deployed: Deployed) -> list[Finding]:
    throttled = {}
    for table in TABLES:
        names = [{"TableName": f"{deployed.name}-{table}"}]
        if table == "DailySummaries":
            names.append(names[0] | {"GlobalSecondaryIndexName": INDEX})
        for kind, metric in (("writes", "WriteThrottleEvents"), ("reads", "ReadThrottleEvents")):
            points = [
                value
                for dimensions in names
                for _, value in deployed.metric("AWS/DynamoDB", metric, "Sum", DAY, **dimensions)
            ]
            throttled[f"{deployed.name}-{table}", kind] = round(sum(points))
    return doctor.check_throttles(throttled)


def _alarms(deployed: Deployed) -> list[Finding]:
    names = {deployed.resources[alarm]: alarm for alarm in deployed.alarms}
    described = deployed.client("cloudwatch").describe_alarms(AlarmNames=list(names), MaxRecords=ALARMS_MAX)[
        "MetricAlarms"
    ]
    states = {
        names[alarm["AlarmName"]]: AlarmState(
            names[alarm["AlarmName"]],
            alarm["StateValue"],
            alarm.get("StateUpdatedTimestamp"),
            tells=bool(alarm.get("AlarmActions")) and alarm.get("ActionsEnabled", True),
        )
        for alarm in described
    }
    topic = deployed.parameters.get("AlarmTopic", "")
    alarms = [states.get(name, AlarmState(name, None)) for name in sorted(deployed.alarms)]
    found = doctor.check_alarms(alarms, topic)
    return [*found, *_topic(deployed, topic)] if topic else found


def _topic(deployed: Deployed, topic: str) -> list[Finding]:
    sns = deployed.client("sns")
    try:
        attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    except sns.exceptions.NotFoundException:
        return doctor.check_topic(topic, None)
    except ClientError:  # a topic of another account, perhaps, of which these credentials may know nothing
        return []
    return doctor.check_topic(topic, int(attributes.get("SubscriptionsConfirmed", 1)))


def _senders(deployed: Deployed) -> list[Finding]:
    calendar = deployed.calendar()
    today = calendar.day_of(deployed.now)
    for day in (today, day_before(today)):
        senders, is_sample = _sample(deployed, day, calendar.shard_count(day))
        if senders:
            break
    return doctor.check_senders(day, senders, is_sample=is_sample)


def _sample(deployed: Deployed, day: str, shards: int) -> tuple[Counter[Sender], bool]:
    """Who sent the first events of some shards; and whether there are more events or shards."""
    senders: Counter[Sender] = Counter()
    looked_at = range(0, shards, -(-shards // SAMPLED_SHARDS))
    is_sample = len(looked_at) < shards
    for shard in looked_at:
        page = deployed.client("dynamodb").query(
            TableName=f"{deployed.name}-RequestEvents",
            KeyConditionExpression="dayShard = :d",
            ExpressionAttributeValues=to_wire({":d": day_shard(day, shard)}),
            ProjectionExpression="#source, #callType",
            ExpressionAttributeNames={"#source": "source", "#callType": "callType"},
            Limit=SAMPLED_EVENTS,
        )
        is_sample |= "LastEvaluatedKey" in page
        for item in page["Items"]:
            senders[Sender(item.get("source", {}).get("S"), "callType" in item)] += 1
    return senders, is_sample


PARTS: Mapping[str, Callable[[Deployed], list[Finding]]] = {
    "stack": _status,
    "version": _version,
    "settings": _settings,
    "tables": _tables,
    "throttling": _throttles,
    "schedules": _schedules,
    "rollup": _rollup,
    "late marks": _late_marks,
    "rollup queue": _rollup_queue,
    "dead letters": _dead_letters,
    "fx rates": _fx_rates,
    "prices": _prices,
    "alarms": _alarms,
    "senders": _senders,
}


def _text(error: Exception) -> str:
    text = error.message if isinstance(error, NotFound) else str(error)
    return doctor.one_line(text)
