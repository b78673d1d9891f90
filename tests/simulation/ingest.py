"""Import the ingest function with tables in moto: it reads the fx rates when it starts."""

from moto import mock_aws

from impact.dynamodb import connect
from local.tables import schemas

with mock_aws():
    for name, schema in schemas().items():
        connect(read_timeout=10, attempts=1).create_table(TableName=f"test-{name}", **schema)
    from ingest import app

__all__ = ["app"]
