"""The environment variables of the callback."""

from pathlib import Path

import pytest

from tests.unit.callback.conftest import Load
from tests.unit.callback.recorded import PAYLOADS
from tests.unit.callback.service import Service
from tests.unit.callback.test_litellm_callbacks import succeed


def test_a_bad_setting_is_logged_and_replaced(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    handler = load(
        IMPACT_SERVICE_URL="localhost:3090",
        IMPACT_SERVICE_TOKEN=" ",
        IMPACT_BATCH_SIZE="many",
        IMPACT_FLUSH_SECONDS="-1",
    )
    for name in ("SERVICE_URL", "BATCH_SIZE", "FLUSH_SECONDS", "SERVICE_TOKEN"):
        assert f"IMPACT_{name}" in caplog.text
    assert (handler._sender._transport.host, handler._sender._transport._port) == ("localhost", 3090)
    assert (handler._sender._batch_size, handler._sender._flush_seconds) == (100, 10.0)


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
