"""The deployed stack, once for all tests of a run."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from impact_cli.left_tables import TABLES
from local.stack import Stack, running_stack
from tests.e2e.api import Api
from tests.e2e.deploying import delete
from tests.leaks import PLANTED, leaks


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """template.yaml on MiniStack, with IAM enforced. At the end, no log may contain a user id or a token."""
    with running_stack() as running:
        yield running
        assert (
            leaks(
                running.log_lines(), [*PLANTED, running.ingest_token, running.read_token, running.mcp_token]
            )
            == []
        )


@pytest.fixture(scope="session")
def api(stack: Stack) -> Api:
    """The stack's HTTP API."""
    return Api(stack)


@pytest.fixture
def name(stack: Stack, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for a stack of the test's own. At the end, the stack and its tables are gone."""
    name = f"own-{abs(hash(request.node.name)) % 10**6}"
    yield name
    delete(stack, name)
    dynamodb = stack.client("dynamodb")
    for table in TABLES:
        with suppress(dynamodb.exceptions.ResourceNotFoundException):
            dynamodb.update_table(TableName=f"{name}-{table}", DeletionProtectionEnabled=False)
            dynamodb.delete_table(TableName=f"{name}-{table}")
