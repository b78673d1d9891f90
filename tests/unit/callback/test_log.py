"""Log lines: one a minute for one cause."""

import pytest

from request_events import log


def test_causes_are_bounded_and_still_logged(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(10_000):
        log.warn(f"cause {number}", "number %d", number)
    assert len(log._last) == log.CAUSES_MAX + 1
    assert len(caplog.records) == log.CAUSES_MAX + 1
