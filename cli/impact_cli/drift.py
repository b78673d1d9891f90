"""Drift: bring back what somebody deleted or changed by hand, as template.yaml has it.

`impact deploy` does not: CloudFormation compares templates, and an unchanged one has "No changes to deploy".
Here a drift-aware change set (DeploymentMode REVERT_DRIFT) compares the stack's own template and
parameters with what is there. A table that is gone is not
made anew: it would be empty.
"""

from datetime import UTC, datetime
from typing import Any

import boto3
import click
from botocore.exceptions import WaiterError

from impact_cli.deployed_stack import POLL, find_stack, parameters_of
from impact_cli.output import note
from impact_cli.questions import agreed

NOTHING = ("didn't contain changes", "No updates are to be performed", "No drift")
TABLE = "AWS::DynamoDB::Table"


class CannotRevert(click.ClickException):
    """Nothing was changed. The text is one line that says why, or what to do first."""

    def __init__(self, reason: str):
        super().__init__(f"Nothing was changed. {reason}")


def revert(session: boto3.Session, stack: str, *, yes: bool) -> int:
    """Show the drift, ask, and revert it. Return the exit code.

    Raises CannotRevert, BotoCoreError, ClientError.
    """
    found = find_stack(session, stack)
    if not parameters_of(found):
        raise CannotRevert(f"There is no stack {stack} in {session.region_name}: `impact deploy` makes one.")
    cloudformation: Any = session.client("cloudformation")
    change_set = {"StackName": stack, "ChangeSetName": f"revert-drift-{datetime.now(UTC):%Y%m%d-%H%M%S}"}
    cloudformation.create_change_set(
        **change_set,
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": name, "UsePreviousValue": True} for name in parameters_of(found)],
        Capabilities=["CAPABILITY_IAM"],
        DeploymentMode="REVERT_DRIFT",
    )
    try:
        changes = _changes(cloudformation, change_set)
        if not changes:
            print("Nothing to revert: the stack is as it was deployed.")
            return 0
        _check_tables(changes)
        _print(changes)
        if not (yes or agreed("Revert these?")):
            raise CannotRevert("Run it in a terminal and say y, or give --yes.")
    except (CannotRevert, WaiterError):
        cloudformation.delete_change_set(**change_set)
        raise
    cloudformation.execute_change_set(**change_set)
    try:
        cloudformation.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig=POLL)
    except WaiterError as error:
        note(f"It was not reverted. The first FAILED in the stack's events says why. {error}")
        return 1
    print("Reverted.")
    return 0


def _changes(cloudformation: Any, change_set: dict[str, str]) -> list[dict[str, Any]]:
    """Wait for the change set, and return its changes of resources. Raises WaiterError."""
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(**change_set, WaiterConfig=POLL)
    except WaiterError as error:
        reason = error.last_response.get("StatusReason", "")
        if any(text in reason for text in NOTHING):
            cloudformation.delete_change_set(**change_set)
            return []
        raise CannotRevert(reason or str(error)) from error
    pages = cloudformation.get_paginator("describe_change_set").paginate(**change_set)
    return [change["ResourceChange"] for page in pages for change in page["Changes"]]


def _check_tables(changes: list[dict[str, Any]]) -> None:
    """Raise CannotRevert if a table would be made anew, and so be empty."""
    for change in changes:
        gone = change["Action"] in ("Add", "Remove") or change.get("ResourceDriftStatus") == "DELETED"
        if change["ResourceType"] == TABLE and (gone or change.get("Replacement", "False") != "False"):
            raise CannotRevert(
                f"The table {change['LogicalResourceId']} is gone or has other keys."
                " A new one would be empty. Restore it first (docs/runbook.md)."
            )


def _print(changes: list[dict[str, Any]]) -> None:
    print(f"{'was':10}{'resource':32}type")
    for change in changes:
        was = change.get("ResourceDriftStatus", "").lower()
        print(f"{was:10}{change['LogicalResourceId']:32}{change['ResourceType']}")
