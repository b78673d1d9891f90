"""The tables of template.yaml in DynamoDB Local, for functions that `sam local` runs.

    docker run -p 8000:8000 amazon/dynamodb-local &
    python -m local.tables
"""

import os
from pathlib import Path
from typing import Any

import boto3
from samcli.yamlhelper import yaml_parse

TEMPLATE = Path(__file__).parents[1] / "template.yaml"
DYNAMODB_LOCAL = "http://localhost:8000"

_OF_A_TABLE = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")


def make_tables(endpoint_url: str, names: dict[str, str] | None = None) -> list[str]:
    """Make the template's tables, where they are not there, and return their names.

    `sam local` gives functions a table's logical id for its name; `names` maps it to another one.
    """
    client: Any = boto3.client(
        "dynamodb",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    made = []
    for logical_id, resource in yaml_parse(TEMPLATE.read_text())["Resources"].items():
        if resource["Type"] != "AWS::DynamoDB::Table":
            continue
        properties = resource["Properties"]
        name = (names or {}).get(logical_id, logical_id)
        try:
            client.create_table(TableName=name, **{key: properties[key] for key in _OF_A_TABLE if key in properties})
        except client.exceptions.ResourceInUseException:
            pass
        made.append(name)
    return made


if __name__ == "__main__":
    print(*make_tables(os.environ.get("DYNAMODB_LOCAL_URL", DYNAMODB_LOCAL)), sep="\n")
