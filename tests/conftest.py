"""DynamoDB for the tests: moto in this process, or DynamoDB Local if DYNAMODB_LOCAL_URL is set."""

import os
from collections import Counter
from collections.abc import Iterator
from threading import RLock
from typing import Any

# Before any module of the functions is imported: they read their environment once, as on Lambda.
os.environ.update(
    AWS_REGION="eu-central-1",
    AWS_DEFAULT_REGION="eu-central-1",
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    REQUEST_EVENTS_TABLE="test-RequestEvents",
    DAILY_SUMMARIES_TABLE="test-DailySummaries",
    STATE_TABLE="test-State",
    ROLLUP_QUEUE_URL="https://sqs.eu-central-1.amazonaws.com/0/RollupQueue",
    ROLLUP_RECEIVES_MAX="3",
    FAILED_ROLLUPS_URL="https://sqs.eu-central-1.amazonaws.com/0/FailedRollups",
    RETENTION_DAYS="400",
    SHARD_COUNT="16",
    REPORTING_TIME_ZONE="UTC",
    POWERTOOLS_SERVICE_NAME="impact",
    POWERTOOLS_METRICS_NAMESPACE="ImpactService",
    POWERTOOLS_DEV="false",
)
# `make test` sets variables for nested makes, which would reach each command that a test runs.
for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "STACK"):
    os.environ.pop(name, None)
DYNAMODB_LOCAL_URL = os.environ.get("DYNAMODB_LOCAL_URL")
if DYNAMODB_LOCAL_URL:
    os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = DYNAMODB_LOCAL_URL

import pytest  # noqa: E402
from moto import mock_aws  # noqa: E402
from moto.dynamodb.models import DynamoDBBackend  # noqa: E402
from xdist.scheduler import LoadScopeScheduling  # noqa: E402

from impact.store import Store  # noqa: E402
from local.litellm_proxy import ENVIRONMENT, litellm_version  # noqa: E402
from tests.fuzz import ROUNDS  # noqa: E402
from tests.tables import drop_tables, make_tables  # noqa: E402

pytest_plugins = ["tests.leaks", "tests.leftovers"]

_one_at_a_time = RLock()


def _atomic(name: str) -> None:
    """Serialize moto's requests of all threads, so that a condition and its write are one step.

    Also, moto's own dictionaries do not change while it iterates over them.
    """
    operation = getattr(DynamoDBBackend, name)

    def one_at_a_time(*arguments: Any, **options: Any) -> Any:
        with _one_at_a_time:
            return operation(*arguments, **options)

    setattr(DynamoDBBackend, name, one_at_a_time)


for _operation in ("put_item", "update_item", "delete_item", "get_item", "query", "scan"):
    _atomic(_operation)


@pytest.fixture
def store() -> Iterator[Store]:
    """Empty tables of a stack of the test's own."""
    if DYNAMODB_LOCAL_URL:
        made = make_tables()
        yield made
        drop_tables(made)
    else:
        with mock_aws():
            yield make_tables()


_counts = pytest.StashKey[dict[str, Counter[str]]]()


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Counter[str]:
    """A counter of what a test sent and saw, over all its parameters. `make fuzz` prints it at the end."""
    counts = request.config.stash.setdefault(_counts, {})
    return counts.setdefault(request.node.originalname, Counter())


def pytest_report_header() -> str:
    return f"LiteLLM: {litellm_version() or 'not installed'} ({ENVIRONMENT.name})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, counts in config.stash.get(_counts, {}).items():
        if ROUNDS > 1:
            figures = ", ".join(f"{count:,} {what}" for what, count in counts.most_common())
            terminalreporter.write_line(f"{name}: {figures}")


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Run the tests of a file in one process, and all that share something expensive, such as a stack."""

    SHARED = ("tests/e2e/", "tests/browser/", "tests/samlocal/", "tests/faults/")
    ON_THEIR_OWN = (
        *("build", "callback_process", "demo", "doctor", "impact_alone", "make_local"),
        *("reverse_proxy", "update"),
    )
    """Files of tests/e2e that deploy a stack of their own, or none."""
    SPLIT = ("tests/simulation/test_simulation.py", "tests/commands/test_make.py")
    """Files whose tests may run in different processes: they share nothing, and take long."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.removeprefix("tests/e2e/test_").removesuffix(".py") in self.ON_THEIR_OWN:
            return file
        if nodeid.startswith(self.SPLIT):
            return nodeid
        return next((folder for folder in self.SHARED if nodeid.startswith(folder)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Scheduling(config, log)
