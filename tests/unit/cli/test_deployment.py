"""`impact deploy` before it deploys: what it says about changed parameters, and which ones it rejects."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import boto3
import pytest
from moto import mock_aws

from impact.calendar import Calendar, Settings
from impact.day_settings import effective_calendar
from impact.state_store import Progress
from impact.store import Store
from impact_cli import deployment as deploy
from impact_cli.main import main
from impact_cli.template_parameters import defaults
from local.tables import schemas
from tests.events import NOON, freeze

SETTINGS = Settings(ZoneInfo("UTC"), timedelta(days=400), 16)
CALENDAR = Calendar.of(SETTINGS)


class Ran(NamedTuple):
    code: int
    out: str
    error: str
    deployed: list[dict[str, str]]
    """The parameters of each `sam deploy`."""


Deploy = Callable[..., Ran]


def create_stack(name: str, parameters: dict[str, str]) -> None:
    """Create a stack as CloudFormation knows it, with its State table."""
    table = {"TableName": f"{name}-State"} | schemas()["State"]
    template = {
        "Parameters": {name: {"Type": "String", "Default": value} for name, value in parameters.items()},
        "Resources": {"State": {"Type": "AWS::DynamoDB::Table", "Properties": table}},
    }
    boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))


@pytest.fixture
def stack() -> Iterator[Store]:
    """A stack with its State table, at noon."""
    with mock_aws():
        create_stack("impact", defaults())
        yield Store.of(boto3.client("dynamodb"), "", "", "impact-State")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Deploy:
    deployed: list[dict[str, str]] = []

    def sam_deploy(session: boto3.Session, template: str, stack: str, parameters: dict[str, str]) -> int:
        deployed.append(parameters)
        if "IngestTokenHashes" in parameters:
            create_stack(stack, defaults() | parameters)
        return 0

    monkeypatch.setattr(deploy, "_sam_deploy", sam_deploy)
    freeze(monkeypatch, deploy)

    def with_parameters(*parameters: str) -> Ran:
        code = main(["deploy", "--template=template.yaml", *parameters])
        return Ran(code, *capsys.readouterr(), deployed)

    return with_parameters


def test_changes_are_reported_before_they_are_deployed(stack: Store, run: Deploy) -> None:
    stack.state.put_first_period(CALENDAR.periods[0], NOON)
    ran = run("ShardCount=8")
    assert "ShardCount 16 -> 8: for days from 2026-11-25 on. Earlier days keep 16.\n" in ran.out
    assert (ran.code, ran.deployed) == (0, [{"ShardCount": "8"}])


def test_settings_that_do_not_change_are_not_reported(stack: Store, run: Deploy) -> None:
    stack.state.put_first_period(CALENDAR.periods[0], NOON)
    ran = run("MarkupPercent=5", "ShardCount=16")
    assert (ran.code, len(ran.out.splitlines())) == (0, 1)


def test_before_the_first_event_a_change_takes_effect_at_once(stack: Store, run: Deploy) -> None:
    ran = run("ReportingTimeZone=Europe/Berlin")
    assert "ReportingTimeZone UTC -> Europe/Berlin: from the first event on.\n" in ran.out
    assert ran.code == 0


@pytest.mark.parametrize(
    "parameter",
    [
        "ReportingTimeZone=Europe/Atlantis",
        "ShardCount=0",
        "Shards=8",
        "ShardCount",
        f"RestorationSource={201 * 'x'}",
    ],
)
def test_an_invalid_parameter_is_rejected_in_one_line(run: Deploy, parameter: str) -> None:
    """Without calling AWS: this test has none."""
    ran = run("MarkupPercent=5", parameter)
    assert (ran.code, ran.out, ran.deployed) == (2, "", [])
    assert ran.error.startswith("Error: ")
    assert ran.error.count("\n") == 1


def test_an_invalid_time_zone_of_the_stack_must_be_corrected_first(stack: Store, run: Deploy) -> None:
    stack.state.put_first_period(CALENDAR.periods[0], NOON)
    zone: Any = {"ParameterKey": "ReportingTimeZone", "ParameterValue": "Europe/Atlantis"}
    boto3.client("cloudformation").update_stack(
        StackName="impact", UsePreviousTemplate=True, Parameters=[zone]
    )
    ran = run("MarkupPercent=5")
    assert (ran.code, ran.deployed) == (2, [])
    assert "ReportingTimeZone must be" in ran.error
    assert run("ReportingTimeZone=UTC").code == 0


@pytest.mark.parametrize(
    "parameter", ["ShardCount=8", "ReportingTimeZone=Europe/Berlin", "RetentionDays=800"]
)
def test_a_stack_of_an_earlier_version_must_be_updated_before_its_settings_change(
    stack: Store, run: Deploy, parameter: str
) -> None:
    stack.state.put_progress(Progress("2026-11-20", 16))
    ran = run(parameter)
    name = parameter.partition("=")[0]
    assert (ran.code, ran.deployed) == (1, [])
    assert f"Deploy this version first without changing {name}, and change it" in ran.error
    assert run(f"{name}={defaults()[name]}", "MarkupPercent=5").code == 0
    stack.state.put_first_period(effective_calendar(stack, lambda: SETTINGS).periods[0], NOON)
    assert run(parameter).code == 0


def test_a_shard_count_that_an_earlier_version_rejected_is_reported_with_its_first_day(
    stack: Store, run: Deploy
) -> None:
    stack.state.put_progress(Progress("2026-11-20", 4))
    assert "ShardCount 4 -> 16: for days from 2026-11-25 on. Earlier days keep 4.\n" in run().out


def test_settings_that_cannot_be_read_do_not_change(stack: Store, run: Deploy) -> None:
    stack.client.delete_table(TableName="impact-State")
    ran = run("ShardCount=8")
    assert (ran.code, ran.deployed) == (1, [])
    assert "No table impact-State. Restore it" in ran.error
    assert run("MarkupPercent=5").code == 0


def test_a_new_stack_is_deployed_with_what_was_given(run: Deploy) -> None:
    with mock_aws():
        ran = run("ShardCount=8")
    [parameters] = ran.deployed
    assert ran.code == 0
    assert parameters["ShardCount"] == "8"
    assert parameters.keys() == {"ShardCount", "IngestTokenHashes", "ReadTokenHashes"}


def test_an_invalid_answer_to_a_question_is_rejected(run: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "_answers", lambda given, kept: {"ReportingTimeZone": "Berlin"})
    with mock_aws():
        ran = run()
    assert (ran.code, ran.deployed) == (2, [])
    assert "ReportingTimeZone must be" in ran.error


@pytest.mark.parametrize(
    ("status", "what_to_do"),
    [
        ("UPDATE_IN_PROGRESS", "wait until that has ended"),
        ("CREATE_IN_PROGRESS", "wait until that has ended"),
        ("DELETE_FAILED", "aws cloudformation delete-stack --stack-name impact"),
        ("ROLLBACK_FAILED", "aws cloudformation delete-stack --stack-name impact"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name impact"),
    ],
)
def test_a_stack_that_cannot_be_changed_now_is_left_alone(
    stack: Store, run: Deploy, monkeypatch: pytest.MonkeyPatch, status: str, what_to_do: str
) -> None:
    found = {"StackName": "impact", "StackStatus": status, "Parameters": []}
    monkeypatch.setattr(deploy, "find_stack", lambda session, name: found)
    ran = run("MarkupPercent=5")
    assert (ran.code, ran.deployed) == (1, [])
    assert f"The stack impact is {status}: " in ran.error
    assert what_to_do in ran.error
