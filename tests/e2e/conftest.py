"""The deployed stack, once for all tests of a run."""

from collections.abc import Iterator

import pytest

from local.stack import Stack, running_stack
from tests.e2e.api import Api
from tests.leaks import PLANTED, leaks


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """template.yaml on MiniStack, with IAM enforced. At the end, no log may contain a user id or a token."""
    with running_stack() as running:
        yield running
        assert leaks(running.log_lines(), [*PLANTED, running.ingest_token, running.read_token]) == []


@pytest.fixture(scope="session")
def api(stack: Stack) -> Api:
    """The stack's HTTP API."""
    return Api(stack)
