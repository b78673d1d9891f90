from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from request_events import courier as courier_module
from request_events import notices
from request_events.courier import Courier
from request_events.outbox import Outbox
from tests.unit.callback.service import Service

CourierMaker = Callable[..., Courier]


@pytest.fixture(autouse=True)
def every_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts with a minute in which nothing was logged."""
    monkeypatch.setattr(notices, "_last", {})


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def make_courier(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[CourierMaker]:
    """Couriers for the folder of the test, with little patience; closed in the end."""
    monkeypatch.setattr(courier_module, "BACKOFF_SECONDS", 0.01)
    couriers: list[Courier] = []

    def make(**options: object) -> Courier:
        settings = {"url": service.url, "token": "t0ken", "flush_seconds": 0.01} | options
        made = Courier(Outbox(tmp_path / "outbox"), **settings)  # type: ignore[arg-type]
        couriers.append(made)
        return made

    yield make
    for made in couriers:
        made.close(5)


@pytest.fixture
def courier(make_courier: CourierMaker) -> Courier:
    """A courier that is still to be started."""
    return make_courier()
