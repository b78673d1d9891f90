"""What the operator's commands need of a deployed stack: its state, tables, calendar, and physical ids."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import boto3
import click
from botocore.config import Config
from botocore.exceptions import ClientError

from impact.calendar import Calendar, Settings
from impact.day_settings import effective_calendar, parse_settings
from impact.store import Store

FoundStack = Mapping[str, Any]
"""A stack as CloudFormation describes it."""
UNKNOWN_KEYS = (
    *("UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException"),
    *("SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "AuthFailure"),
)
"""What AWS says to credentials that it does not know, or no longer."""
POLL: Any = {"Delay": 3, "MaxAttempts": 400}  # seconds; CloudFormation takes minutes at most
EMPTY = ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE")
"""Nobody confirmed the first change set, or the first deployment failed: only tables can be there."""


def cannot_call(error: Exception) -> str:
    """What to say where AWS refuses a command, or is out of reach, on one line."""
    if isinstance(error, ClientError) and error.response["Error"]["Code"] not in UNKNOWN_KEYS:
        return f"AWS refused this: {error}"
    reason = str(error).removesuffix(".")
    return f"AWS cannot be called: {reason}. Set AWS_PROFILE and AWS_REGION, or run `aws configure`."


class NoStack(click.ClickException):
    """There is no stack of that name."""

    def __init__(self, stack: str, session: boto3.Session):
        super().__init__(f"There is no stack {stack} in {session.region_name}. Name another with --stack.")


@contextmanager
def existing(session: boto3.Session, stack: str) -> Iterator[None]:
    """Turn what AWS says to a name that it does not know into NoStack."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException" or (
            code == "ValidationError" and "does not exist" in str(error)
        ):
            raise NoStack(stack, session) from None
        raise


def caller_of(session: boto3.Session) -> str:
    """The ARN of the AWS credentials: who appends a price or a correction. Raises ClientError."""
    return str(session.client("sts").get_caller_identity()["Arn"])


def find_stack(session: boto3.Session, stack: str) -> FoundStack | None:
    """Look a stack up. Raises ClientError."""
    try:
        [found] = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return found


def is_empty(found: FoundStack) -> bool:
    return found["StackStatus"] in EMPTY


def holds_only(session: boto3.Session, found: FoundStack, logical_ids: Collection[str]) -> bool:
    """Whether a stack has no other resources than these: a deployment of it was begun and is not whole."""
    if is_empty(found):
        return True
    described = session.client("cloudformation").describe_stack_resources(StackName=found["StackId"])
    left = [r for r in described["StackResources"] if r["ResourceStatus"] != "DELETE_COMPLETE"]
    return {resource["LogicalResourceId"] for resource in left} <= set(logical_ids)


def parameters_of(found: FoundStack | None) -> dict[str, str]:
    """The parameters that a stack was deployed with: none if it never was."""
    if found is None or is_empty(found):
        return {}
    return {item["ParameterKey"]: item["ParameterValue"] for item in found.get("Parameters", [])}


def delete_stack(session: boto3.Session, found: FoundStack) -> None:
    """Delete a stack, but not its tables, and wait until it is gone. Raises ClientError, WaiterError."""
    cloudformation = session.client("cloudformation")
    cloudformation.delete_stack(StackName=found["StackId"])
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=found["StackId"], WaiterConfig=POLL)


def store_of(session: boto3.Session, stack: str, *, connections: int = 10) -> Store:
    """The stack's tables. `connections` is the maximum number of calls at a time."""
    config = Config(max_pool_connections=connections, retries={"mode": "standard", "total_max_attempts": 10})
    client: Any = session.client("dynamodb", config=config)
    for operation in ("Query", "Scan"):
        client.meta.events.register(f"before-parse.dynamodb.{operation}", _take_items_as_they_are)
    return Store.of(client, f"{stack}-RequestEvents", f"{stack}-DailySummaries", f"{stack}-State")


def _take_items_as_they_are(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Spare botocore the walk through its model of a page, as the functions do (impact.dynamodb).

    The two differ only in binary attributes, which stay in base64. The walk takes half the time of an export.
    """
    if response_dict["status_code"] != HTTPStatus.OK:
        return
    with suppress(TypeError, ValueError):  # what is no JSON object is botocore's to report
        customized_response_dict.update(json.loads(response_dict["body"]))
        response_dict["body"] = b"{}"


def calendar_of(session: boto3.Session, stack: str, store: Store) -> Calendar:
    """Read the effective settings of the stack's days: from State, or else from the stack's parameters.

    Raises NoStack, BotoCoreError, ClientError.
    """
    with existing(session, stack):
        return effective_calendar(store, lambda: _requested_settings(session, stack))


def today_of(session: boto3.Session, stack: str, store: Store) -> str:
    """The current day in the stack's reporting time zone. Raises NoStack, BotoCoreError, ClientError."""
    return calendar_of(session, stack, store).day_of(datetime.now(UTC))


def physical_id(session: boto3.Session, stack: str, logical_id: str) -> str:
    """Look up the name (or URL) that a resource of template.yaml has in this stack.

    Raises NoStack, BotoCoreError, ClientError.
    """
    with existing(session, stack):
        resource = session.client("cloudformation").describe_stack_resource(
            StackName=stack, LogicalResourceId=logical_id
        )
    return resource["StackResourceDetail"]["PhysicalResourceId"]


def settings_of(parameters: Mapping[str, str]) -> Settings:
    """The settings of days that a stack's parameters ask for. Raises InvalidSettings."""
    return parse_settings(
        parameters["ReportingTimeZone"], parameters["RetentionDays"], parameters["ShardCount"]
    )


def _requested_settings(session: boto3.Session, stack: str) -> Settings:
    [described] = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return settings_of(parameters_of(described))
