"""The calendar of a deployed stack: a day has the shards that it began with."""

import json
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pytest
from moto import mock_aws

from impact.calendar import FIRST_DAY, Period, Settings
from impact.store import Store
from impact_cli.deployed_stack import calendar_of
from local.tables import schemas
from tests.events import NOON


@pytest.mark.parametrize(
    ("periods", "day", "shards"),
    [
        ({}, "2026-11-24", 6),
        ({FIRST_DAY: 4}, "2026-11-24", 4),
        ({FIRST_DAY: 4, "2026-11-25": 8}, "2026-11-24", 4),
        ({FIRST_DAY: 4, "2026-11-25": 8}, "2026-11-25", 8),
        ({FIRST_DAY: 4, "2026-11-25": 8}, "2027-01-01", 8),
    ],
)
def test_a_day_has_the_shards_that_it_began_with(periods: dict[str, int], day: str, shards: int) -> None:
    table: Any = {"TableName": "impact-State"} | schemas()["State"]
    template = {
        "Parameters": {
            "ShardCount": {"Type": "Number", "Default": 6},
            "ReportingTimeZone": {"Type": "String", "Default": "UTC"},
            "RetentionDays": {"Type": "Number", "Default": 400},
        },
        "Resources": {"State": {"Type": "AWS::DynamoDB::Table", "Properties": table}},
    }
    with mock_aws():
        boto3.client("cloudformation").create_stack(StackName="impact", TemplateBody=json.dumps(template))
        store = Store.of(boto3.client("dynamodb"), "", "", "impact-State")
        for first_day, count in periods.items():
            settings = Settings(ZoneInfo("UTC"), timedelta(days=400), count)
            store.state.put_period(Period(first_day, settings), NOON)
        assert calendar_of(boto3.Session(), "impact", store).shard_count(day) == shards
