"""Tables behind a proxy that makes calls fail: in DynamoDB Local if DYNAMODB_LOCAL_URL is set, else moto."""

from collections.abc import Iterator

import pytest

from impact.dynamodb import connect
from impact.store import Store
from tests.conftest import DYNAMODB_LOCAL_URL
from tests.faults.aws_fault_proxy import Proxy, faulty, moto_server
from tests.tables import drop_tables, make_tables


@pytest.fixture(scope="session")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if DYNAMODB_LOCAL_URL:
        yield DYNAMODB_LOCAL_URL
    else:
        with moto_server(tmp_path_factory.mktemp("moto") / "log") as url:
            yield url


@pytest.fixture(scope="session")
def running_proxy(dynamodb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with faulty(dynamodb, tmp_path_factory.mktemp("microburst") / "log") as proxy:
        yield proxy


@pytest.fixture
def proxy(running_proxy: Proxy) -> Iterator[Proxy]:
    yield running_proxy
    running_proxy.heal()


@pytest.fixture
def tables(dynamodb: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Empty tables of the test's own, which it reaches without faults."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb)
    made = make_tables(connect(read_timeout=30, attempts=3))
    yield made
    drop_tables(made)
