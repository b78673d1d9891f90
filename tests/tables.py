"""The stack's tables, made from the template's own definitions, in moto or in DynamoDB Local."""

from typing import Any
from uuid import uuid4

from impact.dynamodb import Store
from local.tables import schemas


def make_tables(client: Any) -> Store:
    """Create the tables of a new stack and return the store on them."""
    stack = f"test-{uuid4().hex[:8]}"
    for name, schema in schemas().items():
        client.create_table(TableName=f"{stack}-{name}", **schema)
    return Store(client, f"{stack}-RequestEvents", f"{stack}-DailySummaries", f"{stack}-State")


def drop_tables(store: Store) -> None:
    for table in (store.events, store.summaries, store.state):
        store.client.delete_table(TableName=table)
