"""`make put-back from=TABLE to=TABLE`: copy to the stack's table the items of a restored table that it lacks.

It overwrites nothing, so it can be stopped and run again. It reads the whole restored table, and consumes a
write unit of the stack's table for each item. AWS credentials and region come from the environment, as for
any AWS tool.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

WRITERS = 32
PROGRESS_SECONDS = 10.0
CALLS = Config(max_pool_connections=WRITERS, retries={"mode": "standard", "total_max_attempts": 10})


def main() -> int:
    parser = argparse.ArgumentParser(usage="make put-back from=TABLE to=TABLE", description=__doc__)
    parser.add_argument("source", help="the restored table")
    parser.add_argument("target", help="the stack's table")
    arguments = parser.parse_args()
    if arguments.source == arguments.target:
        parser.error("from and to are the same table")
    try:
        client = boto3.Session(region_name=os.environ.get("AWS_REGION")).client("dynamodb", config=CALLS)
        put_back(client, arguments.source, arguments.target)
    except (BotoCoreError, ClientError) as error:
        print(f"Not all items were put back. Run it again: {error}", file=sys.stderr)
        return 1
    return 0


def put_back(client: Any, source: str, target: str) -> None:
    """Copy the missing items, and print how many these were. Raises BotoCoreError, ClientError."""
    schema = client.describe_table(TableName=target)["Table"]["KeySchema"]
    [key] = [part["AttributeName"] for part in schema if part["KeyType"] == "HASH"]

    def put(item: Any) -> bool:
        try:
            client.put_item(
                TableName=target,
                Item=item,
                ConditionExpression="attribute_not_exists(#key)",
                ExpressionAttributeNames={"#key": key},
            )
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    read = written = 0
    told = time.monotonic()
    pages = client.get_paginator("scan").paginate(TableName=source, ConsistentRead=True)
    with ThreadPoolExecutor(WRITERS) as writers:
        for page in pages:
            puts = list(writers.map(put, page["Items"]))
            read, written = read + len(puts), written + sum(puts)
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                print(f"{read} items read, {written} of them put back so far", file=sys.stderr)
    print(f"{read} items in {source}: {written} were missing in {target} and are put back")


if __name__ == "__main__":
    sys.exit(main())
