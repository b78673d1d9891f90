"""Tables that an earlier stack of the same name has left, and how a new stack takes them over.

No table is deleted with its stack, nor when a first deployment fails. CloudFormation cannot create a table
that is there. But a change set of type IMPORT puts it under the new stack, with all that is in it; the
deployment after it changes the table to what the template says. No item is written or deleted.
"""

import json
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import WaiterError

from impact_cli.deploy_preview import CannotDeploy
from impact_cli.deployed_stack import POLL
from impact_cli.template import template

TABLES = ("RequestEvents", "DailySummaries", "State")
CHANGE_SET = "take-over-tables"

Tables = Mapping[str, dict[str, Any]]
"""What DynamoDB says about each table, by its logical id in template.yaml."""


def find_tables(session: boto3.Session, stack: str) -> Tables:
    """Describe the tables of this name that are there.

    Raises CannotDeploy if one is not of this service, or if there are events but not their settings.
    """
    dynamodb = session.client("dynamodb")
    found: dict[str, Any] = {}
    for logical_id in TABLES:
        try:
            found[logical_id] = dynamodb.describe_table(TableName=f"{stack}-{logical_id}")["Table"]
        except dynamodb.exceptions.ResourceNotFoundException:
            continue
        if found[logical_id]["KeySchema"] != _declared(logical_id)["KeySchema"]:
            raise CannotDeploy(
                f"The table {stack}-{logical_id} is not of this service: it has other keys."
                " Choose another name: --stack ..."
            )
    if "RequestEvents" in found and "State" not in found and _has_items(dynamodb, found["RequestEvents"]):
        raise CannotDeploy(
            f"{stack}-RequestEvents holds events, but {stack}-State, with the settings of days, is gone."
            " Restore it first (docs/runbook.md)."
        )
    return found


def take_over(session: boto3.Session, stack: str, tables: Tables) -> None:
    """Create the stack, with these tables in it and nothing else. Raises CannotDeploy, ClientError."""
    cloudformation = session.client("cloudformation")
    change_set: Any = {"StackName": stack, "ChangeSetName": CHANGE_SET}
    names = {logical_id: table["TableName"] for logical_id, table in tables.items()}
    cloudformation.create_change_set(
        **change_set,
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps(_template(session.client("dynamodb"), tables)),
        ResourcesToImport=[
            {
                "ResourceType": "AWS::DynamoDB::Table",
                "LogicalResourceId": logical_id,
                "ResourceIdentifier": {"TableName": name},
            }
            for logical_id, name in names.items()
        ],
    )
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(**change_set, WaiterConfig=POLL)
        cloudformation.execute_change_set(**change_set)
        cloudformation.get_waiter("stack_import_complete").wait(StackName=stack, WaiterConfig=POLL)
    except WaiterError as error:
        reason = error.last_response.get("StatusReason", str(error))
        raise CannotDeploy(
            f"CloudFormation cannot take over {', '.join(names.values())}: {reason}"
        ) from error


def _template(dynamodb: Any, tables: Tables) -> dict[str, Any]:
    """A template with the tables as they are, so that the deployment after it sees each difference."""
    declared = template()["Resources"]
    resources = {
        logical_id: {**declared[logical_id], "Properties": _properties(dynamodb, logical_id, table)}
        for logical_id, table in tables.items()
    }
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def _properties(dynamodb: Any, logical_id: str, table: dict[str, Any]) -> dict[str, Any]:
    name = table["TableName"]
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    backed_up = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    encrypted = table.get("SSEDescription", {}).get("Status") == "ENABLED"
    properties = {
        **_declared(logical_id),
        "TableName": name,
        "TableClass": table.get("TableClassSummary", {}).get("TableClass", "STANDARD"),
        "DeletionProtectionEnabled": table.get("DeletionProtectionEnabled", False),
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": backed_up == "ENABLED"},
        "TimeToLiveSpecification": {"AttributeName": expiry.get("AttributeName"), "Enabled": True},
        "SSESpecification": {"SSEEnabled": True},
    }
    properties.pop("StreamSpecification", None)
    if (stream := table.get("StreamSpecification", {})).get("StreamEnabled"):
        properties["StreamSpecification"] = {"StreamViewType": stream["StreamViewType"]}
    if expiry["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        del properties["TimeToLiveSpecification"]
    if not encrypted:
        del properties["SSESpecification"]
    return properties


def _declared(logical_id: str) -> dict[str, Any]:
    properties: dict[str, Any] = template()["Resources"][logical_id]["Properties"]
    return properties


def _has_items(dynamodb: Any, table: dict[str, Any]) -> bool:
    return bool(dynamodb.scan(TableName=table["TableName"], Limit=1)["Items"])
