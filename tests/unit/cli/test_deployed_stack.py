"""The calendar of a deployed stack: a day has the shards that it began with."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import JSONParser
from moto import mock_aws

from impact.calendar import FIRST_DAY, Period, Settings
from impact.dynamodb import to_wire
from impact.store import Store
from impact_cli.deployed_stack import calendar_of, store_of
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


def test_pages_of_items_are_those_of_boto3_without_its_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    item = {"dayShard": "2026-11-23#00", "userEvent": "zoë 😀#1", "tags": ["a", "b"], "stream": True}
    footprint = {"co2eKg": {"low": Decimal("0.1"), "high": Decimal("1E-7")}, "tokens_in": 7, "none": None}
    walked: list[Any] = []
    plain_parser: Any = JSONParser
    walk = plain_parser._handle_map

    def counted(parser: Any, shape: Any, value: Any) -> Any:
        walked.append(value)
        return walk(parser, shape, value)

    monkeypatch.setattr(plain_parser, "_handle_map", counted)
    with mock_aws():
        session = boto3.Session()
        plain: Any = session.client("dynamodb")
        plain.create_table(TableName="impact-RequestEvents", **schemas()["RequestEvents"])
        for number in range(3):
            event = {**item, **footprint, "userEvent": f"zoë 😀#{number}"}
            plain.put_item(TableName="impact-RequestEvents", Item=to_wire(event))
        query: dict[str, Any] = {
            "KeyConditionExpression": "dayShard = :d",
            "ExpressionAttributeValues": {":d": {"S": "2026-11-23#00"}},
            "ConsistentRead": True,
            "Limit": 2,
        }
        pages = list(plain.get_paginator("query").paginate(TableName="impact-RequestEvents", **query))
        scanned = plain.scan(TableName="impact-RequestEvents")["Items"]
        assert walked
        walked.clear()
        store = store_of(session, "impact")
        assert list(store.ledger.pages(**query)) == [page["Items"] for page in pages]
        assert store.client.scan(TableName="impact-RequestEvents")["Items"] == scanned
        assert walked == []
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            list(store.state.pages(**query))


@pytest.mark.parametrize("body", [b"not JSON", b"[1]", b""])
def test_a_response_that_is_no_object_is_left_to_botocore(body: bytes) -> None:
    store = store_of(boto3.Session(region_name="eu-central-1"), "impact")
    asked: dict[str, Any] = {}
    response = {"status_code": 200, "body": body}
    store.client.meta.events.emit(
        "before-parse.dynamodb.Query", response_dict=response, customized_response_dict=asked
    )
    assert (response["body"], asked) == (body, {})
