"""Which tables a new stack takes over, and what it says of them. tests/e2e/test_deploy.py does it."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber
from moto import mock_aws

from impact_cli import left_tables
from impact_cli.deploy_preview import CannotDeploy
from impact_cli.left_tables import TABLES, find_tables, take_over
from local.tables import schemas

EVENT = {"dayShard": {"S": "2026-11-23#00"}, "userEvent": {"S": "alice#1"}}


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("dynamodb")


def make(dynamodb: Any, *names: str, **changed: Any) -> None:
    for name in names:
        dynamodb.create_table(TableName=f"impact-{name}", **schemas()[name] | changed)


def test_tables_that_are_there_are_found(dynamodb: Any) -> None:
    assert find_tables(boto3.Session(), "impact") == {}
    make(dynamodb, *TABLES)
    assert list(find_tables(boto3.Session(), "impact")) == list(TABLES)
    assert find_tables(boto3.Session(), "another") == {}


def test_a_table_with_other_keys_is_not_taken_over(dynamodb: Any) -> None:
    make(dynamodb, "RequestEvents")
    make(dynamodb, "State", KeySchema=schemas()["RequestEvents"]["KeySchema"][:1],
         AttributeDefinitions=schemas()["RequestEvents"]["AttributeDefinitions"][:1])  # fmt: skip
    with pytest.raises(CannotDeploy, match="The table impact-State is not of this service"):
        find_tables(boto3.Session(), "impact")


def test_events_without_their_settings_are_not_taken_over(dynamodb: Any) -> None:
    """Under another ShardCount or time zone, the new stack would look for them in other places."""
    make(dynamodb, "RequestEvents", "DailySummaries")
    assert find_tables(boto3.Session(), "impact")  # no event yet: a deployment that failed
    dynamodb.put_item(TableName="impact-RequestEvents", Item=EVENT)
    with pytest.raises(CannotDeploy, match="Restore it first"):
        find_tables(boto3.Session(), "impact")


def test_the_change_set_has_the_tables_as_they_are_and_nothing_else(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the deployment after it turns on what a restored table lacks."""
    make(dynamodb, "RequestEvents", DeletionProtectionEnabled=True)
    make(dynamodb, "State")
    dynamodb.update_time_to_live(
        TableName="impact-RequestEvents",
        TimeToLiveSpecification={"AttributeName": "expiresAt", "Enabled": True},
    )
    tables = find_tables(boto3.Session(), "impact")
    resources = left_tables._template(dynamodb, tables)["Resources"]
    assert resources.keys() == {"RequestEvents", "State"}
    assert {resource["DeletionPolicy"] for resource in resources.values()} == {"Retain"}
    events, state = resources["RequestEvents"]["Properties"], resources["State"]["Properties"]
    assert (events["TableName"], state["TableName"]) == ("impact-RequestEvents", "impact-State")
    assert (events["DeletionProtectionEnabled"], state["DeletionProtectionEnabled"]) == (True, False)
    assert events["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}
    assert "TimeToLiveSpecification" not in state
    assert events["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": False}
    assert events["TableClass"] == "STANDARD"


def test_why_cloudformation_cannot_take_a_table_over_is_said(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(dynamodb, "State")
    tables = find_tables(boto3.Session(), "impact")
    cloudformation = boto3.client("cloudformation")
    clients = {"cloudformation": cloudformation, "dynamodb": dynamodb}
    monkeypatch.setattr(boto3.Session, "client", lambda session, service: clients[service])
    reason = "impact-State already exists in stack arn:aws:cloudformation:another"
    with Stubber(cloudformation) as stubber:
        asked = {
            "StackName": "impact",
            "ChangeSetName": "take-over-tables",
            "ChangeSetType": "IMPORT",
            "TemplateBody": ANY,
            "ResourcesToImport": [
                {
                    "ResourceType": "AWS::DynamoDB::Table",
                    "LogicalResourceId": "State",
                    "ResourceIdentifier": {"TableName": "impact-State"},
                }
            ],
        }
        stubber.add_response("create_change_set", {"Id": "x"}, asked)
        stubber.add_response("describe_change_set", {"Status": "FAILED", "StatusReason": reason})
        with pytest.raises(CannotDeploy, match=f"cannot take over impact-State: {reason}"):
            take_over(boto3.Session(), "impact", tables)
