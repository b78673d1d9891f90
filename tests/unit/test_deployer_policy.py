"""deploy/deployer-policy.json: all that a deployment needs, and nothing else.

What CloudFormation calls for each type of resource is in the types' own schemas, which cfn-lint contains.
What `sam deploy` and `make deploy` call is tried in tests/e2e/test_deployer_policy.py.
"""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import pytest

from local import PROJECT
from tests.translated import translated

POLICY_BYTES = 6144
"""The largest managed policy, without white space (IAM's quotas)."""

UNUSED = re.compile(
    "(kms|ec2|elasticfilesystem|s3files|kinesis|firehose):"  # no key, network or stream of ours
    "|dynamodb:(Import|DescribeImport|.*Replica|(Enable|Disable|Update)Kinesis|UpdateContributorInsights)"
    "|dynamodb:(Put|Delete)ResourcePolicy|dynamodb:(Batch|Put|Update|Delete)(Write)?Item|dynamodb:(Scan|Query|GetItem)"
    "|dynamodb:DeleteTable"  # tables are retained
    "|iam:CreateServiceLinkedRole"  # for replicas
    "|lambda:(Put|Delete)Function(Concurrency|CodeSigningConfig)|lambda:GetCodeSigningConfig"
    "|lambda:Put(RuntimeManagement|FunctionRecursion|FunctionScaling)Config"
    "|lambda:(PublishVersion|PassCapacityProvider)"
    "|logs:(Put|Delete)(DataProtection|Index)Policy|logs:DeleteResourcePolicy|logs:(Ass|Disass)ociateKmsKey"
    "|logs:PutLogGroupDeletionProtection|logs:PutBearerTokenAuthentication"
    "|s3:(REST.PUT.OBJECT|GetObjectMetadata)|logs:(CreateLogStream|DescribeLogStreams|PutLogEvents)"
)
"""Calls for properties that the template does not use."""

BY_THE_COMMANDS = {
    # `sam deploy` and `make deploy` themselves
    *("dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"),
    # API Gateway, when a stage gets an access log (its documentation, "http-api-logging")
    *("logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery", "logs:ListLogDeliveries"),
}
UNSCOPED = {
    *("AccessLogs", "DescribeAlarms"),  # IAM knows no resource for these actions
    *("QueueToWorker", "QueueToWorkerItself"),  # a mapping's id is not known before
    "Api",  # neither is an API's
    "BucketForTheZips",  # SAM CLI's
}


@cache
def statements() -> list[dict[str, Any]]:
    policy = json.loads((PROJECT / "deploy/deployer-policy.json").read_text())
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def actions(statement: dict[str, Any]) -> list[str]:
    action = statement["Action"]
    return [action] if isinstance(action, str) else action


def granted(*services: str) -> set[str]:
    return {action for s in statements() for action in actions(s) if action.partition(":")[0] in services}


@cache
def handlers() -> dict[str, set[str]]:
    """What CloudFormation calls to create, read, update and delete, by type of resource."""
    types = {resource["Type"] for resource in translated().values()}
    found = {}
    for file in (files("cfnlint") / "data/schemas/resources").iterdir():
        schema = json.loads(file.read_text()) if file.name.endswith(".json") else {}
        if schema.get("typeName") in types:
            called = (schema["handlers"].get(name, {}) for name in ("create", "read", "update", "delete"))
            calls = {call for handler in called for call in handler.get("permissions", [])}
            found[schema["typeName"]] = {call.replace("s3:get", "s3:Get") for call in calls}
    assert found.keys() == types
    return found


def test_all_that_cloudformation_calls_for_each_resource_is_granted() -> None:
    allowed = granted(
        *("apigateway", "cloudwatch", "dynamodb", "iam", "lambda", "logs", "s3", "scheduler", "sqs")
    )
    for kind, calls in handlers().items():
        assert {call for call in calls if not UNUSED.match(call)} <= allowed, kind


def test_nothing_else_is_granted() -> None:
    """S3 and CloudFormation, which only the commands call, are tried on MiniStack."""
    needed = {call for calls in handlers().values() for call in calls if not UNUSED.match(call)}
    services = ("apigateway", "cloudwatch", "dynamodb", "iam", "lambda", "logs", "scheduler", "sqs")
    assert granted(*services) - needed == BY_THE_COMMANDS


def test_no_item_can_be_changed_and_no_table_deleted() -> None:
    assert not granted("dynamodb") & {
        f"dynamodb:{name}"
        for name in ("DeleteTable", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem")
    }


@pytest.mark.parametrize("statement", statements(), ids=lambda statement: statement["Sid"])
def test_each_statement_names_the_stack(statement: dict[str, Any]) -> None:
    resources = statement["Resource"]
    for resource in [resources] if isinstance(resources, str) else resources:
        named = re.search(r"[:/]impact(-|/)", resource) or "aws-sam-cli-managed-default" in resource
        transform = resource == "arn:aws:cloudformation:*:aws:transform/Serverless-2016-10-31"
        assert named or transform or statement["Sid"] in UNSCOPED


def test_roles_are_passed_to_lambda_and_scheduler_only() -> None:
    [statement] = [s for s in statements() if "iam:PassRole" in actions(s)]
    to = statement["Condition"]["StringEquals"]["iam:PassedToService"]
    principals = {
        s["Principal"]["Service"][0]
        if isinstance(s["Principal"]["Service"], list)
        else s["Principal"]["Service"]
        for role in translated().values()
        if role["Type"] == "AWS::IAM::Role"
        for s in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    }
    assert set(to) == principals


def test_it_fits_into_a_managed_policy() -> None:
    text = (PROJECT / "deploy/deployer-policy.json").read_text()
    assert len(re.sub(r"\s", "", text)) <= POLICY_BYTES
