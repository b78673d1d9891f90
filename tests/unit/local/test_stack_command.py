"""`make local`: it ends after SIGINT or SIGTERM, whenever the signal arrives; where it cannot listen."""

import os
import signal
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.stack import __main__ as command
from local.stack import free_port


@contextmanager
def handlers_kept() -> Iterator[None]:
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_arrives_while_a_finalizer_runs_ends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python drops exceptions that are raised in a finalizer."""

    class Connection:
        pass

    def tick(_: Any) -> None:
        weakref.finalize(Connection(), os.kill, os.getpid(), signal.SIGTERM)  # it is collected at once

    stack = SimpleNamespace(api_url="", endpoint_url="", ingest_token="", read_token="", environment={})
    ports = [f"--port={free_port()}", f"--ministack-port={free_port()}"]
    monkeypatch.setattr(sys, "argv", ["local.stack", *ports, f"--env-file={tmp_path / 'env'}"])
    monkeypatch.setattr(command, "running_stack", lambda **_: nullcontext(stack))
    monkeypatch.setattr(command, "update_rates", lambda _: None)
    monkeypatch.setattr(command, "_tick", tick)
    monkeypatch.setattr(command, "_interrupted", type(command._interrupted)())
    with handlers_kept():
        assert command.main() == 0
    assert "nothing is left running" in capsys.readouterr().out
    assert not (tmp_path / "env").exists()


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1", "-h; touch ran"])
def test_an_address_of_another_machine_is_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    ports = [f"--port={free_port()}", f"--ministack-port={free_port()}"]
    monkeypatch.setattr(sys, "argv", ["local.stack", *ports, f"--host={host}"])
    monkeypatch.setattr(command, "running_stack", lambda **_: pytest.fail("it starts"))
    assert command.main() == 1
    assert capsys.readouterr().err == (f"{host!r} is no address of this machine. All of them: HOST=0.0.0.0\n")
