"""The ingest function, imported: it reads the exchange rates when it starts."""

from moto import mock_aws

with mock_aws():
    from ingest import app

__all__ = ["app"]
