"""How long the end of a process may take: what a sender is given, on a clock that stands still."""

import atexit
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from request_events import shutdown
from request_events.shutdown import Shutdown


@pytest.mark.parametrize(
    ("told_ago", "given"), [(None, 2.0), (0.0, 2.0), (1.0, 1.0), (1.9, 0.5), (60.0, 0.5)]
)
def test_the_last_delivery_has_two_seconds_from_sigterm_and_half_a_second_at_least(
    monkeypatch: pytest.MonkeyPatch, told_ago: float | None, given: float
) -> None:
    seconds: list[float] = []
    former = signal.getsignal(signal.SIGTERM)
    sender: Any = SimpleNamespace(close=seconds.append)
    ending = Shutdown(sender)
    try:
        monkeypatch.setattr(shutdown, "time", SimpleNamespace(monotonic=lambda: 1000.0))
        ending._sigterm_at = None if told_ago is None else 1000.0 - told_ago
        ending.close()
    finally:
        atexit.unregister(ending.close)
        signal.signal(signal.SIGTERM, former)
    assert seconds == pytest.approx([given])
