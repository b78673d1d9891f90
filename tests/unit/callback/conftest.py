import atexit
import copy
import importlib.util
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from request_events import delivery, log
from request_events import outbox as outbox_module
from request_events.outbox import Outbox
from request_events.sender import Sender
from tests.unit.callback.recorded import PAYLOADS
from tests.unit.callback.service import Service, running_service

SenderMaker = Callable[..., Sender]
SOURCE = Path(__file__).parents[3] / "layers/callback/litellm_callbacks.py"
Load = Callable[..., Any]


@pytest.fixture(autouse=True)
def every_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts with a minute in which nothing was logged."""
    monkeypatch.setattr(log, "_last", {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def outbox(folder: Path) -> Iterator[Outbox]:
    made = Outbox(folder)
    yield made
    made.close()


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture
def make_sender(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[SenderMaker]:
    """Senders for the folder of the test, with little patience; closed in the end."""
    monkeypatch.setattr(delivery, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(outbox_module, "SLOW_SECONDS", 60)  # a busy machine's disk is no slow disk
    senders: list[Sender] = []

    def make(**options: object) -> Sender:
        settings = {"url": service.url, "token": "t0ken", "flush_seconds": 0.01} | options
        made = Sender(Outbox(tmp_path / "outbox"), **settings)  # type: ignore[arg-type]
        senders.append(made)
        return made

    yield make
    for made in senders:
        made.close(5)


@pytest.fixture
def sender(make_sender: SenderMaker) -> Sender:
    """A sender that is still to be started."""
    return make_sender()


class HTTPException(Exception):
    """FastAPI's."""

    def __init__(self, status_code: int, detail: object) -> None:
        super().__init__(status_code, detail)
        self.status_code = status_code
        self.detail = detail


def standard_logging_object(
    *, kwargs: dict[str, Any], start_time: datetime, end_time: datetime, status: str, **_: object
) -> dict[str, Any]:
    """As LiteLLM makes it of a call's details: what is in them, and the times."""
    return {
        "status": status,
        "startTime": start_time.timestamp(),
        "endTime": end_time.timestamp(),
        "completionStartTime": end_time.timestamp(),
        "call_type": kwargs["call_type"],
        "end_user": kwargs["user"],
        "custom_llm_provider": kwargs["custom_llm_provider"],
        "response_cost": 0.0,
        "stream": None,
        "error_information": {"error_code": "", "llm_provider": ""},
    }


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service) -> Iterator[Load]:
    """Loads the handler as LiteLLM does: from a file, outside `sys.modules`. LiteLLM is a stand-in."""
    core = "litellm.litellm_core_utils"
    for name in (
        *("litellm", "litellm.integrations", "litellm.integrations.custom_logger"),
        *(core, f"{core}.litellm_logging", "fastapi"),
    ):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["litellm.integrations.custom_logger"].CustomLogger = object  # type: ignore[attr-defined]
    logging: Any = sys.modules[f"{core}.litellm_logging"]
    logging.get_standard_logging_object_payload = standard_logging_object
    sys.modules["fastapi"].HTTPException = HTTPException  # type: ignore[attr-defined]
    former = signal.getsignal(signal.SIGTERM)
    modules: list[Any] = []

    def load(**environment: str) -> Any:
        defaults = {
            "IMPACT_SERVICE_URL": service.url,
            "IMPACT_SERVICE_TOKEN": "t0ken",
            "IMPACT_FLUSH_SECONDS": "0.05",
            "IMPACT_OUTBOX": str(tmp_path / "outbox"),
        }
        for name, value in (defaults | environment).items():
            monkeypatch.setenv(name, value)
        spec = importlib.util.spec_from_file_location("litellm_callbacks", SOURCE)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        modules.append(module)
        return module.proxy_handler_instance

    yield load
    for module in modules:
        handler = module.proxy_handler_instance
        handler._sender.close(5)
        if not handler._on_lambda:
            atexit.unregister(handler._shutdown.close)
            atexit.unregister(handler._unreported.report_all)
    signal.signal(signal.SIGTERM, former)


@pytest.fixture
def kwargs() -> dict[str, Any]:
    return copy.deepcopy(PAYLOADS["plain_async_success"])


@pytest.fixture
def payload(kwargs: dict[str, Any]) -> dict[str, Any]:
    """LiteLLM's payload within `kwargs`."""
    slp: dict[str, Any] = kwargs["standard_logging_object"]
    return slp
