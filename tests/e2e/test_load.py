"""The load of `make load`, for ten seconds."""

import pytest

from benchmarks.load.run import SENDERS, run
from benchmarks.load.sender import Load
from local.stack import Stack


@pytest.mark.long
def test_a_load_with_a_burst_is_delivered_to_the_last_event_and_takes_no_memory(stack: Stack) -> None:
    load = Load(rate=8, seconds=10)
    outcome = run(stack, load)
    assert outcome.events == SENDERS * Load(load.rate / SENDERS, load.seconds).due(load.seconds) > 200
    assert (outcome.stored, outcome.rejected, outcome.wrong) == (outcome.events, 0, [])
    assert set(outcome.statuses) <= {200, 503}
    if any(outcome.megabytes):
        assert outcome.memory("senders", 1.0) < 1.1 * outcome.memory("senders", 0.5)


def test_a_burst_is_ten_times_the_rate() -> None:
    load = Load(rate=20, seconds=300)
    assert [load.due(second) for second in (0, 5, 6, 7, 8, 60)] == [0, 100, 300, 500, 520, 1560]
    assert load.due(1000) == load.due(300) == 5 * 1560
