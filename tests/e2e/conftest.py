"""The deployed stack, once for all tests of a run."""

from collections.abc import Iterator

import pytest

from local.stack import Stack, running_stack
from tests.e2e.api import Api


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """template.yaml on MiniStack, with IAM enforced."""
    with running_stack() as running:
        yield running


@pytest.fixture(scope="session")
def api(stack: Stack) -> Api:
    """The stack's HTTP API."""
    return Api(stack)
