"""The stack's tables, made from the template's own definitions, in moto or in DynamoDB Local."""

from functools import cache
from typing import Any
from uuid import uuid4

from impact.dynamodb import connect
from impact.store import Store
from local.tables import schemas


@cache
def dynamodb() -> Any:
    """The client of all tests. Cached, because creating one takes a sixth of a second."""
    return connect(read_timeout=10, attempts=3, connections=40)


def make_tables(client: Any = None) -> Store:
    """Create the tables of a new stack and return the store on them."""
    client = client or dynamodb()
    stack = f"test-{uuid4().hex[:8]}"
    for name, schema in schemas().items():
        client.create_table(TableName=f"{stack}-{name}", **schema)
    return Store.of(client, f"{stack}-RequestEvents", f"{stack}-DailySummaries", f"{stack}-State")


def with_client(store: Store, client: Any) -> Store:
    """The same tables, seen by another client."""
    return Store.of(client, store.ledger.name, store.summaries.name, store.state.name)


def drop_tables(store: Store) -> None:
    for table in (store.ledger.name, store.summaries.name, store.state.name):
        store.client.delete_table(TableName=table)
