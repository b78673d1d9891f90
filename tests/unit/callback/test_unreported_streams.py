"""Streams that end early: LiteLLM's own report counts; where it does not come, ours does."""

from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from request_events import unreported_streams
from request_events.unreported_streams import EndedStream, UnreportedStreams


class Loop:
    """An event loop's `call_later`, and its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[..., object], tuple[object, ...]]] = []

    def call_later(self, seconds: float, call: Callable[..., object], *arguments: object) -> None:
        self.due.append((self.now + seconds, call, arguments))

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for entry in [entry for entry in self.due if entry[0] <= self.now]:
            self.due.remove(entry)
            entry[1](*entry[2])


def stream(call_id: object = "call", start: object = "10:00:00.000001", **details: object) -> EndedStream:
    call = SimpleNamespace(model_call_details={"litellm_call_id": call_id, "start_time": start, **details})
    return EndedStream(call, GeneratorExit(), datetime.now())


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def reported() -> list[Any]:
    return []


@pytest.fixture
def waiting(reported: list[Any]) -> UnreportedStreams:
    return UnreportedStreams(reported.append, is_behind=lambda: False)


def test_it_is_reported_once_where_litellm_does_not_report_it(
    waiting: UnreportedStreams, loop: Loop, reported: list[Any]
) -> None:
    given = stream()
    waiting.add(given, loop.call_later)
    loop.advance(unreported_streams.WAIT_SECONDS - 1)
    assert reported == []
    loop.advance(1)
    assert reported == [given]
    loop.advance(100)
    waiting.report_all()
    assert reported == [given]


def test_litellms_own_report_comes_first(waiting: UnreportedStreams, loop: Loop, reported: list[Any]) -> None:
    given = stream()
    waiting.add(given, loop.call_later)
    waiting.reported({"litellm_call_id": "call", "start_time": "10:00:00.000001", "model": "gpt-4o"})
    loop.advance(100)
    assert reported == []


def test_a_call_id_that_a_caller_uses_again_hides_nothing(
    waiting: UnreportedStreams, loop: Loop, reported: list[Any]
) -> None:
    """He knows no microsecond."""
    given = stream()
    waiting.add(given, loop.call_later)
    waiting.reported({"litellm_call_id": "call", "start_time": "10:00:00.000002"})
    waiting.add(other := stream(start="10:00:00.000003"), loop.call_later)
    loop.advance(100)
    assert reported == [given, other]


def test_it_waits_for_as_long_as_litellm_has_reports_to_hand_over(loop: Loop, reported: list[Any]) -> None:
    behind = [True, True, False]
    waiting = UnreportedStreams(reported.append, is_behind=lambda: behind.pop(0))
    waiting.add(stream(), loop.call_later)
    loop.advance(unreported_streams.WAIT_SECONDS)
    loop.advance(unreported_streams.WAIT_SECONDS)
    assert reported == []
    loop.advance(unreported_streams.WAIT_SECONDS)
    assert len(reported) == 1


def test_at_the_end_of_the_process_nothing_waits_any_longer(
    waiting: UnreportedStreams, loop: Loop, reported: list[Any]
) -> None:
    streams = [stream(f"call-{number}") for number in range(3)]
    for given in streams:
        waiting.add(given, loop.call_later)
    waiting.report_all()
    assert sorted(reported, key=streams.index) == streams


def test_a_forked_child_does_not_report_what_is_its_parents(
    waiting: UnreportedStreams, loop: Loop, reported: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting.add(stream(), loop.call_later)
    monkeypatch.setattr("os.getpid", lambda: 1)
    waiting.report_all()
    assert reported == []


@pytest.mark.parametrize("given", [stream(call_id=None), stream(call_id=7), stream(start=None)])
def test_one_that_could_not_be_recognised_is_reported_at_once(
    given: Any, waiting: UnreportedStreams, loop: Loop, reported: list[Any]
) -> None:
    waiting.add(given, loop.call_later)
    assert (reported, loop.due) == ([given], [])


def test_so_many_wait_and_no_more(
    waiting: UnreportedStreams, loop: Loop, reported: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds its prompt in memory."""
    monkeypatch.setattr(unreported_streams, "WAITING_MAX", 2)
    streams = [stream(f"call-{number}") for number in range(3)]
    for given in streams:
        waiting.add(given, loop.call_later)
    assert reported == streams[2:]


def test_a_report_that_comes_before_the_end_is_seen_counts_as_well(
    waiting: UnreportedStreams, loop: Loop, reported: list[Any]
) -> None:
    """LiteLLM tells of a stream that breaks before the break has come through its hooks."""
    given = stream()
    waiting.reported(given.call.model_call_details)
    for number in range(5000):  # a client may take its time with the last parts
        waiting.reported(stream(f"call-{number}").call.model_call_details)
    waiting.add(given, loop.call_later)
    loop.advance(100)
    assert (reported, loop.due) == ([], [])


def test_the_report_of_an_earlier_try_is_not_that_of_the_last(
    waiting: UnreportedStreams, loop: Loop, reported: list[Any]
) -> None:
    last = stream(api_call_start_time="10:00:01")
    waiting.reported(last.call.model_call_details)
    last.call.model_call_details["api_call_start_time"] = "10:00:02"
    waiting.add(last, loop.call_later)
    loop.advance(100)
    assert reported == [last]
