"""The stack's tables, made from the template's own definitions, in moto or in DynamoDB Local."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from samtranslator.yaml_helper import yaml_parse

from impact.dynamodb import Store

TEMPLATE = Path(__file__).parents[1] / "template.yaml"
_SCHEMA = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")


def make_tables(client: Any, stack: str | None = None) -> Store:
    """Create the three tables of a new stack and return the store on them."""
    stack = stack or f"test-{uuid4().hex[:8]}"
    names = {name: f"{stack}-{name}" for name in ("RequestEvents", "DailySummaries", "State")}
    resources = yaml_parse(TEMPLATE.read_text())["Resources"]
    for logical_id, table in names.items():
        properties = resources[logical_id]["Properties"]
        client.create_table(TableName=table, **{k: properties[k] for k in _SCHEMA if k in properties})
    return Store(client, names["RequestEvents"], names["DailySummaries"], names["State"])


def drop_tables(store: Store) -> None:
    for table in (store.events, store.summaries, store.state):
        store.client.delete_table(TableName=table)
