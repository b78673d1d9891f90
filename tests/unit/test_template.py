"""Values of template.yaml that code or documents rely on, and that do harm if they change unnoticed."""

import re
from typing import Any

import pytest

from impact_cli import deployment, manual_rates, workers
from local import PROJECT
from local.template import resources, template
from tests.translated import translated

API_GATEWAY_SECONDS = 30
"""After this time API Gateway ends a request with 503, whatever the function's own limit is."""
FUNCTIONS = resources("AWS::Serverless::Function")
QUEUES = resources("AWS::SQS::Queue")
LOG_GROUPS = resources("AWS::Logs::LogGroup")


def document(name: str) -> str:
    return re.sub(r"\s+", " ", (PROJECT / name).read_text())


def test_the_api_is_throttled_far_below_the_limit_of_the_account() -> None:
    """Without a limit of its own, the API could use up all 10,000 requests a second of the account."""
    [api] = resources("AWS::Serverless::HttpApi").values()
    throttling = api["DefaultRouteSettings"]
    assert throttling == {"ThrottlingRateLimit": 500, "ThrottlingBurstLimit": 1000}
    assert "500 requests a second" in document("SECURITY.md")


def test_a_removed_token_works_for_five_minutes_at_most() -> None:
    [api] = resources("AWS::Serverless::HttpApi").values()
    authorizers = api["Auth"]["Authorizers"]
    assert authorizers["TokenAuthorizer"]["Identity"]["ReauthorizeEvery"] == 300
    assert authorizers["PersonAuthorizer"]["Identity"]["ReauthorizeEvery"] == 0  # a link works no longer


def test_the_authorizers_response_is_cached_by_token_and_route() -> None:
    """Without the route, a read token that was accepted on a read route could also send events."""
    [api] = resources("AWS::Serverless::HttpApi").values()
    authorizer = api["Auth"]["Authorizers"]["TokenAuthorizer"]
    assert authorizer["Identity"]["Headers"] == ["Authorization"]
    assert authorizer["Identity"]["Context"] == ["routeKey"]


@pytest.mark.parametrize(
    "function",
    [
        *("AuthorizerFunction", "PersonAuthorizerFunction", "IngestFunction", "SummariesFunction"),
        *("McpFunction", "PageFunction"),
    ],
)
def test_a_function_of_the_api_ends_before_api_gateway_gives_up(function: str) -> None:
    assert FUNCTIONS[function]["Timeout"] < API_GATEWAY_SECONDS


def test_operators_commands_wait_for_longer_than_the_functions_run() -> None:
    """Or a command would report a failure while the function still works."""
    assert FUNCTIONS["RollupWorkerFunction"]["Timeout"] == workers.WORKER_SECONDS == 900
    patient: Any = manual_rates.ONCE
    assert FUNCTIONS["RatesFunction"]["Timeout"] < patient.read_timeout


def test_a_message_stays_invisible_for_six_times_the_workers_time_limit() -> None:
    """As AWS recommends: with less, Lambda's throttled deliveries would use up the message's receives."""
    queue, worker = QUEUES["RollupQueue"], FUNCTIONS["RollupWorkerFunction"]
    assert queue["VisibilityTimeout"] >= 6 * worker["Timeout"]
    alarm = resources("AWS::CloudWatch::Alarm")["RollupQueueWaiting"]
    retried = (queue["RedrivePolicy"]["maxReceiveCount"] - 1) * queue["VisibilityTimeout"]
    assert alarm["Threshold"] > retried + worker["Timeout"]


def test_the_worker_knows_which_receive_is_the_last() -> None:
    redrive = QUEUES["RollupQueue"]["RedrivePolicy"]
    worker = FUNCTIONS["RollupWorkerFunction"]
    assert worker["Environment"]["Variables"]["ROLLUP_RECEIVES_MAX"] == str(redrive["maxReceiveCount"])


def test_a_worker_gets_one_message_at_a_time_and_few_workers_run_at_once() -> None:
    """Workers must leave the account's concurrent executions to the functions of the API."""
    [source] = resources("AWS::Lambda::EventSourceMapping").values()
    assert source["BatchSize"] == 1
    assert source["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "RollupConcurrency"}}


def test_the_planner_has_time_for_30_days_of_1000_shards() -> None:
    assert FUNCTIONS["RollupFunction"]["Timeout"] == 300  # they take some 20 s (docs/measurements.md)


def test_rollup_and_rates_run_every_hour_as_their_alarms_expect() -> None:
    alarms = resources("AWS::CloudWatch::Alarm")
    assert template()["Parameters"]["RollupSchedule"]["Default"] == "rate(1 hour)"
    assert (
        FUNCTIONS["RatesFunction"]["Events"]["Schedule"]["Properties"]["ScheduleExpression"] == "rate(1 hour)"
    )
    for name in ("RollupMissing", "RatesMissing"):
        assert (alarms[name]["Period"], alarms[name]["EvaluationPeriods"]) == (3600, 3)


def test_a_recompute_that_failed_is_retried_and_ends_in_the_dead_letter_queue() -> None:
    """With fewer deliveries, a single killed worker would already make a dead letter."""
    assert QUEUES["RollupQueue"]["RedrivePolicy"]["maxReceiveCount"] == 3
    assert QUEUES["RollupQueue"]["RedrivePolicy"]["deadLetterTargetArn"] == arn_of("FailedRollups")
    rollup_calls = FUNCTIONS["RollupFunction"]["EventInvokeConfig"]
    assert rollup_calls["MaximumRetryAttempts"] == 2
    assert rollup_calls["DestinationConfig"]["OnFailure"]["Destination"] == arn_of("FailedRollups")
    assert FUNCTIONS["RatesFunction"]["EventInvokeConfig"] == {"MaximumRetryAttempts": 0}


@pytest.mark.parametrize("queue", ["FailedRollups", "FailedSchedules"])
def test_a_dead_letter_is_kept_for_as_long_as_sqs_can(queue: str) -> None:
    """With SQS's default of 4 days, a failed call could be gone after a long weekend."""
    assert QUEUES[queue]["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert "14 days" in document("docs/runbook.md")


def test_tables_are_protected_against_deletion_and_backed_up() -> None:
    found: dict[str, Any] = template()["Resources"]
    tables = [resource for resource in found.values() if resource["Type"] == "AWS::DynamoDB::Table"]
    assert len(tables) == 3
    for table in tables:
        assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
        assert table["Properties"]["DeletionProtectionEnabled"]
        assert table["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        # Without it, the table is encrypted by a key of AWS's own, which costs nothing.
        assert "SSESpecification" not in table["Properties"]
    kept_long = {name for name, table in found.items() if "TableClass" in table["Properties"]}
    assert kept_long == {"RequestEvents", "DailySummaries"}
    ttl = found["RequestEvents"]["Properties"]["TimeToLiveSpecification"]
    assert ttl == {"AttributeName": "expiresAt", "Enabled": True}


def test_every_queue_is_encrypted() -> None:
    assert [queue for queue, properties in QUEUES.items() if not properties.get("SqsManagedSseEnabled")] == []


def test_scheduled_calls_are_retried_for_an_hour() -> None:
    """Until the schedule's next call, which does the same."""
    schedules = [events["Schedule"]["Properties"] for events in events_of("Schedule")]
    assert len(schedules) == 2
    for schedule in schedules:
        assert schedule["RetryPolicy"] == {"MaximumRetryAttempts": 5, "MaximumEventAgeInSeconds": 3600}
        assert schedule["DeadLetterConfig"] == {"Arn": arn_of("FailedSchedules")}


def arn_of(logical_id: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [logical_id, "Arn"]}


def events_of(name: str) -> list[dict[str, Any]]:
    return [function["Events"] for function in FUNCTIONS.values() if name in function.get("Events", {})]


def test_every_function_logs_to_a_group_of_its_own_which_is_kept_for_30_days() -> None:
    """A function without one would make a group that is kept for ever."""
    groups = [function["LoggingConfig"]["LogGroup"]["Ref"] for function in FUNCTIONS.values()]
    assert sorted([*groups, "ApiLogs"]) == sorted(LOG_GROUPS)
    assert {group["RetentionInDays"] for group in LOG_GROUPS.values()} == {30}
    assert re.search("[Ll]ogs are kept (for )?30 days", document("SECURITY.md"))


def test_make_deploy_offers_the_defaults_of_the_template() -> None:
    parameters = template()["Parameters"]
    assert {name: default for name, (_, default) in deployment.QUESTIONS.items()} == {
        name: str(parameters[name]["Default"]) for name in deployment.QUESTIONS
    }
    assert str(parameters["RetentionDays"]["Default"]) == "400"
    assert parameters["ShardCount"]["Default"] == 16
    assert parameters["RollupConcurrency"]["Default"] == 10


def test_a_new_stack_lets_nobody_in() -> None:
    parameters = template()["Parameters"]
    assert (parameters["IngestTokenHashes"]["Default"], parameters["ReadTokenHashes"]["Default"]) == ("", "")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("AWS::DynamoDB::Table", "TableName"),
        ("AWS::Lambda::LayerVersion", "LayerName"),
        ("AWS::Logs::LogGroup", "LogGroupName"),
        ("AWS::Scheduler::Schedule", "Name"),
        ("AWS::CloudWatch::Dashboard", "DashboardName"),
    ],
)
def test_two_stacks_of_an_account_share_no_name(kind: str, name: str) -> None:
    """CloudFormation makes the names of all other resources, with the stack's name in them."""
    found = [r["Properties"][name]["Fn::Sub"] for r in translated().values() if r["Type"] == kind]
    assert found
    assert all("${AWS::StackName}" in text for text in found)


def test_nothing_else_has_a_name_of_ours() -> None:
    """A name of IAM, SQS or CloudWatch in the template could meet that of another stack."""
    named = {
        resource["Type"]
        for resource in translated().values()
        if resource["Properties"].keys()
        & {"AlarmName", "FunctionName", "QueueName", "RoleName", "PolicyName"}
    }
    assert named <= {
        "AWS::Lambda::Permission",
        "AWS::Lambda::EventSourceMapping",
        "AWS::Lambda::EventInvokeConfig",
    }


def test_the_dashboards_name_holds_the_region() -> None:
    """Dashboards are global: the same stack in a second region would replace the first one's."""
    [dashboard] = resources("AWS::CloudWatch::Dashboard").values()
    assert dashboard["DashboardName"] == {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}


ROLES = {name: r["Properties"] for name, r in translated().items() if r["Type"] == "AWS::IAM::Role"}


@pytest.mark.parametrize("name", ROLES)
def test_every_role_gets_the_permissions_boundary(name: str) -> None:
    assert ROLES[name]["PermissionsBoundary"] == {
        "Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_writes_to_its_own_log_group_and_makes_none(name: str) -> None:
    """A function that logs while its stack is deleted would make its group anew, and block the next stack."""
    role = ROLES[f"{name}Role"]
    assert not role.get("ManagedPolicyArns")
    allowed = [
        statement
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "logs:" in str(statement["Action"])
    ]
    [group] = [FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]]
    assert [(s["Action"], s["Resource"]) for s in allowed] == [
        (["logs:CreateLogStream", "logs:PutLogEvents"], arn_of(group))
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_condition_on_partition_keys_demands_that_there_are_some(name: str) -> None:
    """`ForAllValues` holds for a request without any."""
    conditions = [
        statement["Condition"]
        for policy in ROLES[f"{name}Role"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "Condition" in statement
    ]
    assert conditions or name in ("AuthorizerFunction", "PageFunction")
    for condition in conditions:
        assert condition["Null"] == {"dynamodb:LeadingKeys": "false"}
        [(operator, keys)] = [(name, keys) for name, keys in condition.items() if name != "Null"]
        assert operator in ("ForAllValues:StringEquals", "ForAllValues:StringLike")
        assert keys.keys() == {"dynamodb:LeadingKeys"}


LAMBDA_ENVIRONMENT_BYTES = 4096
LONGEST_STACK = 64 - len("-Rollup")
"""A schedule's name has at most 64 characters."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_environment_of_a_function_fits_into_4_kb(name: str) -> None:
    """Even with the longest token lists, texts and names."""
    declared = template()["Globals"]["Function"]["Environment"]["Variables"]
    declared = declared | FUNCTIONS[name].get("Environment", {}).get("Variables", {})
    size = sum(len(key) + _longest(value) for key, value in declared.items())
    assert size <= LAMBDA_ENVIRONMENT_BYTES
    assert name != "AuthorizerFunction" or size > LAMBDA_ENVIRONMENT_BYTES * 0.9, (
        "there is room for more tokens"
    )


def _longest(value: Any) -> int:
    """The longest text that a variable of the environment can become, in bytes."""
    if isinstance(value, str):
        return len(value)
    if parameter := template()["Parameters"].get(value.get("Ref")):
        if parameter["Type"] == "Number":
            return 24
        ascii_only = "AllowedPattern" in parameter
        return int(parameter["MaxLength"]) * (1 if ascii_only else 4)  # bytes of a character in UTF-8
    if value == {"Ref": "AWS::StackName"}:
        return LONGEST_STACK
    if value.get("Ref") in resources("AWS::DynamoDB::Table"):
        return LONGEST_STACK + len("-DailySummaries")
    return 150  # an ARN, a queue's URL, an endpoint: 60 characters and a name


def test_what_a_hand_can_switch_off_is_written_out() -> None:
    """CloudFormation sees no drift in a property that the template leaves to its default."""
    [mapping] = resources("AWS::Lambda::EventSourceMapping").values()
    assert mapping["Enabled"] is True
    schedules = [r["Properties"] for r in translated().values() if r["Type"] == "AWS::Scheduler::Schedule"]
    assert [schedule["State"] for schedule in schedules] == ["ENABLED", "ENABLED"]
