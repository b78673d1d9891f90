"""What the operator's commands need of a deployed stack: its tables, its calendar, its physical ids."""

from typing import Any

import boto3
from botocore.config import Config

from impact.calendar import Calendar, Settings
from impact.day_settings import effective_calendar, parse_settings
from impact.store import Store


def store_of(session: boto3.Session, stack: str, *, connections: int = 10) -> Store:
    """The stack's tables. `connections` is the maximum number of calls at a time."""
    config = Config(max_pool_connections=connections, retries={"mode": "standard", "total_max_attempts": 10})
    client: Any = session.client("dynamodb", config=config)
    return Store.of(client, f"{stack}-RequestEvents", f"{stack}-DailySummaries", f"{stack}-State")


def calendar_of(session: boto3.Session, stack: str, store: Store) -> Calendar:
    """Read the effective settings of the stack's days: from State, or else from the stack's parameters.

    Raises BotoCoreError, ClientError.
    """
    return effective_calendar(store, lambda: _requested_settings(session, stack))


def physical_id(session: boto3.Session, stack: str, logical_id: str) -> str:
    """Look up the name (or URL) that a resource of template.yaml has in this stack.

    Raises BotoCoreError, ClientError.
    """
    resource = session.client("cloudformation").describe_stack_resource(
        StackName=stack, LogicalResourceId=logical_id
    )
    return resource["StackResourceDetail"]["PhysicalResourceId"]


def _requested_settings(session: boto3.Session, stack: str) -> Settings:
    [described] = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    parameters = {item["ParameterKey"]: item["ParameterValue"] for item in described["Parameters"]}
    return parse_settings(
        parameters["ReportingTimeZone"], parameters["RetentionDays"], parameters["ShardCount"]
    )
