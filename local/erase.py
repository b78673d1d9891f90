"""`make erase user=ID`: delete all that a deployed stack holds of one user, its events and its summaries.

It reads the whole ledger for that (a read unit for each 4 KB), says what it found, and asks. Run it again an
hour later: until then events may arrive that were still under way, and a rollup may write what it had read
before. Backups (35 days of point-in-time recovery) keep what was deleted; a day's totals, which name nobody,
keep counting it until that day is counted again. AWS credentials come from the environment.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from typing import Any

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import BotoCoreError, ClientError

Item = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(usage="make erase user=ID [STACK=impact]", description=__doc__)
    parser.add_argument("--stack", default=os.environ.get("IMPACT_STACK", "impact"))
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("user", help="the user's id")
    arguments = parser.parse_args()
    dynamodb: Any = boto3.resource("dynamodb", region_name=os.environ.get("AWS_REGION"))
    try:
        ledger = dynamodb.Table(f"{arguments.stack}-RequestEvents")
        summaries = dynamodb.Table(f"{arguments.stack}-DailySummaries")
        events, days = list(_events(ledger, arguments.user)), list(_days(summaries, arguments.user))
        print(f"{len(events)} events and {len(days)} daily summaries.")
        if (events or days) and not (arguments.yes or _agreed()):
            print("Nothing was deleted.")
            return 1
        _delete(ledger, events)  # first: a rollup would make the summaries again from them
        _delete(summaries, days)
    except (BotoCoreError, ClientError) as error:
        print(f"Not all of it could be deleted, run it again: {error}", file=sys.stderr)
        return 1
    print("Deleted.")
    return 0


def _agreed() -> bool:
    return sys.stdin.isatty() and input("Delete them for good? [y/N] ").lower() in ("y", "yes")


def _events(ledger: Any, user_id: str) -> Iterator[Item]:
    """Find the keys of a user's events by a look at each event: none is missed, in whatever shard it lies."""
    pages = ledger.meta.client.get_paginator("scan").paginate(
        TableName=ledger.name,
        FilterExpression=Attr("userId").eq(user_id),
        ProjectionExpression="dayShard, userEvent",
        ConsistentRead=True,
    )
    return (item for page in pages for item in page["Items"])


def _days(summaries: Any, user_id: str) -> Iterator[Item]:
    pages = summaries.meta.client.get_paginator("query").paginate(
        TableName=summaries.name,
        KeyConditionExpression=Key("userId").eq(user_id),
        ProjectionExpression="userId, #day",
        ExpressionAttributeNames={"#day": "day"},
        ConsistentRead=True,
    )
    return (item for page in pages for item in page["Items"])


def _delete(table: Any, keys: list[Item]) -> None:
    with table.batch_writer() as batch:
        for key in keys:
            batch.delete_item(Key=key)


if __name__ == "__main__":
    sys.exit(main())
