"""Create the tables of template.yaml in DynamoDB Local, for functions that `sam local` runs.

docker run -p 8000:8000 amazon/dynamodb-local &
python -m local.tables
"""

import argparse
import os
import sys
from contextlib import suppress
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from local.template import resources

DYNAMODB_LOCAL = "http://localhost:8000"

_SCHEMA = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")


def schemas() -> dict[str, dict[str, Any]]:
    """Arguments of CreateTable for each of the template's tables, by logical id."""
    tables = resources("AWS::DynamoDB::Table")
    return {n: {key: table[key] for key in _SCHEMA if key in table} for n, table in tables.items()}


def make_tables(endpoint_url: str) -> list[str]:
    """Create the template's tables that do not exist yet, and return the names of all.

    A table's name is its logical id: that is what `sam local` passes to the functions.
    """
    client = boto3.client(
        "dynamodb",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 2}),
    )
    tables = schemas()
    for name, schema in tables.items():
        with suppress(client.exceptions.ResourceInUseException):
            client.create_table(TableName=name, **schema)
    return list(tables)


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m local.tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    url = os.environ.get("DYNAMODB_LOCAL_URL", DYNAMODB_LOCAL)
    try:
        print(*make_tables(url), sep="\n")
    except EndpointConnectionError:
        print(f"No DynamoDB Local at {url}: start it, or name it in DYNAMODB_LOCAL_URL.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
