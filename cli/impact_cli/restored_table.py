"""A restored table: copy the items that the stack's table lacks.

It overwrites nothing, so it can be stopped and run again. It reads the whole restored table, and consumes a
write unit of the stack's table for each item.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click
from botocore.config import Config
from botocore.exceptions import ClientError

from impact_cli.progress import Progress

WRITERS = 32
CALLS = Config(max_pool_connections=WRITERS, retries={"mode": "standard", "total_max_attempts": 10})


class CannotPutBack(click.ClickException):
    """Nothing was copied. The text says why."""


def put_back(client: Any, source: str, target: str) -> None:
    """Copy the missing items, and print how many these were.

    Raises CannotPutBack, BotoCoreError, ClientError.
    """
    schema = _keys(client, target)
    if _keys(client, source) != schema:
        raise CannotPutBack(f"{source} has other keys than {target}: it is not a backup of it.")
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


def _keys(client: Any, table: str) -> Any:
    try:
        return client.describe_table(TableName=table)["Table"]["KeySchema"]
    except ClientError as error:
        raise CannotPutBack(f"{table} cannot be read, nothing was copied: {error}") from None
