"""Set what MiniStack's CloudFormation leaves out of a table: its TTL and its point-in-time recovery.

Delete this module once tests/e2e/test_doctor.py passes without it.
"""

import boto3

from local.template import resources


def complete_tables(session: boto3.Session, stack_name: str) -> None:
    """Give each table of a stack these settings of the template."""
    dynamodb = session.client("dynamodb")
    for logical_id, properties in resources("AWS::DynamoDB::Table").items():
        table = {"TableName": f"{stack_name}-{logical_id}"}
        recovery = properties["PointInTimeRecoverySpecification"]
        dynamodb.update_continuous_backups(**table, PointInTimeRecoverySpecification=recovery)
        if ttl := properties.get("TimeToLiveSpecification"):
            dynamodb.update_time_to_live(**table, TimeToLiveSpecification=ttl)
