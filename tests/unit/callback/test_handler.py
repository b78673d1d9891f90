"""The handler, loaded the way LiteLLM loads it: from a file, outside `sys.modules`. LiteLLM is a stand-in."""

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

from tests.unit.callback.conftest import Load
from tests.unit.callback.service import Service, error
from tests.unit.callback.test_capture import PAYLOADS


def succeed(handler: Any, kwargs: Any) -> None:
    """As LiteLLM calls it."""
    asyncio.run(
        handler.async_log_success_event(kwargs=kwargs, response_obj=None, start_time=None, end_time=None)
    )


def fail(handler: Any, kwargs: Any) -> None:
    asyncio.run(
        handler.async_log_failure_event(kwargs=kwargs, response_obj=None, start_time=None, end_time=None)
    )


def test_a_success_and_a_failure_of_one_call_are_two_events(load: Load, service: Service) -> None:
    handler = load()
    fail(handler, PAYLOADS["flaky_retry_async_failure"])
    succeed(handler, PAYLOADS["flaky_retry_async_success"])
    fail(handler, PAYLOADS["unknown_model_async_failure"])
    service.wait_for(lambda s: len(s.taken) == 2)
    assert {event_id.split(":")[1] for event_id in service.taken} == {"failure", "success"}


def test_only_the_async_hooks_are_implemented(load: Load) -> None:
    """LiteLLM calls the sync ones for images and for some failures as well."""
    own = {name for name in vars(type(load())) if not name.startswith("_")}
    assert own == {"async_log_success_event", "async_log_failure_event"}


def test_the_hooks_take_litellms_names(load: Load) -> None:
    handler = load()
    for hook in (handler.async_log_success_event, handler.async_log_failure_event):
        assert list(inspect.signature(hook).parameters) == [
            "kwargs",
            "response_obj",
            "start_time",
            "end_time",
        ]


def test_it_never_raises_and_names_nobody(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    handler = load()

    def broken(line: bytes) -> None:
        raise RuntimeError(line)

    monkeypatch.setattr(handler._courier, "send", broken)
    for _ in range(3):
        succeed(handler, PAYLOADS["body_user_async_success"])
    succeed(handler, None)
    assert len(caplog.records) == 1
    assert "u-body" not in caplog.text


def test_a_bad_setting_is_told_and_replaced(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    handler = load(
        IMPACT_SERVICE_URL="localhost:3090",
        IMPACT_SERVICE_TOKEN=" ",
        IMPACT_BATCH_SIZE="many",
        IMPACT_FLUSH_SECONDS="-1",
    )
    for name in ("SERVICE_URL", "BATCH_SIZE", "FLUSH_SECONDS", "SERVICE_TOKEN"):
        assert f"IMPACT_{name}" in caplog.text
    assert handler._courier._address == ("localhost", 3090)
    assert (handler._courier._batch_size, handler._courier._flush_seconds) == (100, 1.0)


def test_a_token_that_no_header_can_hold_is_not_logged(
    load: Load, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    succeed(load(IMPACT_SERVICE_TOKEN="s3cret\nétoken"), PAYLOADS["plain_async_success"])
    service.wait_for(lambda s: len(s.taken) == 1)
    assert "IMPACT_SERVICE_TOKEN" in caplog.text
    assert "s3cret" not in caplog.text


def test_settings_are_read_at_the_start(load: Load, service: Service, tmp_path: Path) -> None:
    handler = load(IMPACT_BATCH_SIZE="7", IMPACT_FLUSH_SECONDS="3600", IMPACT_OUTBOX=str(tmp_path / "mine"))
    for number in range(7):
        succeed(handler, PAYLOADS["plain_async_success"] | {"litellm_call_id": f"call-{number}"})
    service.wait_for(lambda s: len(s.taken) == 7)
    assert service.headers[0]["Authorization"] == "Bearer t0ken"
    assert (tmp_path / "mine").is_dir()


def test_the_default_outbox_is_in_the_users_state_folder(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    succeed(load(IMPACT_OUTBOX=""), PAYLOADS["plain_async_success"])
    assert (tmp_path / ".local/state/impact-service/outbox").is_dir()


def test_on_lambda_it_delivers_before_it_returns(load: Load, service: Service, tmp_path: Path) -> None:
    handler = load(AWS_LAMBDA_FUNCTION_NAME="proxy")
    succeed(handler, PAYLOADS["plain_async_success"])
    assert len(service.taken) == 1
    service.script.append(lambda _: error(503))
    succeed(handler, PAYLOADS["body_user_async_success"])
    assert len(service.taken) == 1
    succeed(handler, PAYLOADS["emb_async_success"])
    assert len(service.taken) == 3
