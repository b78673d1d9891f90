"""A restored table: copy the items that the stack's table lacks.

It overwrites nothing, so it can be stopped and run again. It reads the whole restored table, and consumes a
write unit of the stack's table for each item.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.config import Config

from impact_cli.progress import Progress

WRITERS = 32
CALLS = Config(max_pool_connections=WRITERS, retries={"mode": "standard", "total_max_attempts": 10})


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
    progress = Progress()
    pages = client.get_paginator("scan").paginate(TableName=source, ConsistentRead=True)
    with ThreadPoolExecutor(WRITERS) as writers:
        for page in pages:
            puts = list(writers.map(put, page["Items"]))
            read, written = read + len(puts), written + sum(puts)
            progress.show(f"{read} items read, {written} of them put back so far")
    progress.clear()
    print(f"{read} items in {source}: {written} were missing in {target} and are put back")
