"""`impact revert-drift`: its requests, as CloudFormation defines them. No emulator knows REVERT_DRIFT."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.stub import ANY, Stubber

from impact_cli import drift
from impact_cli.main import main

SCHEDULE = {
    "Action": "Add",
    "LogicalResourceId": "RollupFunctionSchedule",
    "ResourceType": "AWS::Scheduler::Schedule",
    "ResourceDriftStatus": "DELETED",
}
ROLE = {
    "Action": "Modify",
    "LogicalResourceId": "IngestFunctionRole",
    "ResourceType": "AWS::IAM::Role",
    "ResourceDriftStatus": "MODIFIED",
    "Replacement": "False",
}
GONE = {**SCHEDULE, "LogicalResourceId": "State", "ResourceType": "AWS::DynamoDB::Table"}
OTHER_KEYS = {**GONE, "Action": "Modify", "ResourceDriftStatus": "MODIFIED", "Replacement": "True"}
PROTECTED_AGAIN = {**OTHER_KEYS, "Replacement": "False"}
STACK = {"StackName": "impact", "CreationTime": "2026-11-23T12:00:00Z"}


class Ran(NamedTuple):
    code: int
    out: str
    error: str


Run = Callable[..., Ran]


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """CloudFormation, with a stack of two parameters. All requests that a test adds must be made."""
    client = boto3.client("cloudformation")
    monkeypatch.setattr(boto3.Session, "client", lambda session, service: client)
    monkeypatch.setattr(drift, "POLL", {"Delay": 0, "MaxAttempts": 3})
    with Stubber(client) as stubber:
        add_stack(stubber, "CREATE_COMPLETE")
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def with_arguments(*arguments: str) -> Ran:
        code = main(["revert-drift", *arguments])
        return Ran(code, *capsys.readouterr())

    return with_arguments


def add_stack(stubber: Stubber, status: str) -> None:
    parameters = [
        {"ParameterKey": name, "ParameterValue": "x"} for name in ("IngestTokenHashes", "ShardCount")
    ]
    stack = {**STACK, "StackStatus": status, "Parameters": parameters}
    stubber.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": "impact"})


def add_change_set(
    stubber: Stubber, *changes: dict[str, str], status: str = "CREATE_COMPLETE", **more: str
) -> None:
    named = {"StackName": "impact", "ChangeSetName": ANY}
    stubber.add_response(
        "create_change_set",
        {"Id": "x"},
        {
            **named,
            "UsePreviousTemplate": True,
            "Parameters": [
                {"ParameterKey": "IngestTokenHashes", "UsePreviousValue": True},
                {"ParameterKey": "ShardCount", "UsePreviousValue": True},
            ],
            "Capabilities": ["CAPABILITY_IAM"],
            "DeploymentMode": "REVERT_DRIFT",
        },
    )
    described: Any = {"Status": status, "Changes": [{"ResourceChange": c} for c in changes], **more}
    stubber.add_response("describe_change_set", described, named)
    if status == "CREATE_COMPLETE":
        stubber.add_response("describe_change_set", described, named)


def add(stubber: Stubber, *operations: str) -> None:
    for operation in operations:
        stubber.add_response(operation, {}, {"StackName": "impact", "ChangeSetName": ANY})


def test_what_was_deleted_or_changed_is_shown_and_reverted(cloudformation: Stubber, run: Run) -> None:
    add_change_set(cloudformation, SCHEDULE, ROLE, PROTECTED_AGAIN)
    add(cloudformation, "execute_change_set")
    add_stack(cloudformation, "UPDATE_COMPLETE")
    ran = run("--yes")
    assert ran.code == 0
    assert re.search(r"deleted +RollupFunctionSchedule +AWS::Scheduler::Schedule", ran.out)
    assert re.search(r"modified +IngestFunctionRole +AWS::IAM::Role", ran.out)
    assert ran.out.endswith("Reverted.\n")


def test_nothing_is_reverted_without_a_yes(cloudformation: Stubber, run: Run) -> None:
    add_change_set(cloudformation, SCHEDULE)
    add(cloudformation, "delete_change_set")
    ran = run()
    assert (ran.code, ran.error) == (
        1,
        "Error: Nothing was changed. Run it in a terminal and say y, or give --yes.\n",
    )


@pytest.mark.parametrize("table", [GONE, OTHER_KEYS])
def test_a_table_is_not_made_anew(cloudformation: Stubber, run: Run, table: dict[str, str]) -> None:
    add_change_set(cloudformation, SCHEDULE, table)
    add(cloudformation, "delete_change_set")
    ran = run("--yes")
    assert ran.code == 1
    assert (
        "The table State is gone or has other keys. A new one would be empty. Restore it first" in ran.error
    )


def test_a_stack_as_it_was_deployed_has_nothing_to_revert(cloudformation: Stubber, run: Run) -> None:
    reason = "The submitted information didn't contain changes. Submit different information."
    add_change_set(cloudformation, status="FAILED", StatusReason=reason)
    add(cloudformation, "delete_change_set")
    ran = run("--yes")
    assert (ran.code, ran.out) == (0, "Nothing to revert: the stack is as it was deployed.\n")


def test_a_change_set_that_fails_says_why(cloudformation: Stubber, run: Run) -> None:
    add_change_set(cloudformation, status="FAILED", StatusReason="No permission to scheduler:GetSchedule")
    add(cloudformation, "delete_change_set")
    ran = run("--yes")
    assert (ran.code, ran.error) == (
        1,
        "Error: Nothing was changed. No permission to scheduler:GetSchedule\n",
    )


def test_without_a_stack_it_says_so(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    client = boto3.client("cloudformation")
    monkeypatch.setattr(boto3.Session, "client", lambda session, service: client)
    with Stubber(client) as stubber:
        stubber.add_client_error("describe_stacks", "ValidationError", "Stack with id impact does not exist")
        ran = run()
    assert ran.code == 1
    assert "There is no stack impact in eu-central-1: `impact deploy` makes one." in ran.error
