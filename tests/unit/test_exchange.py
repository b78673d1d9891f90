"""Rates in memory: no event waits for them, and a failed read leaves those that were there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from impact import exchange
from impact.exchange import FRESH_SECONDS, RETRY_SECONDS, RatesInMemory
from impact.rates import Rates

OLD, NEW = (Rates({"2026-11-20": Decimal(usd)}) for usd in ("1.1", "1.2"))


class Source:
    """What State answers, one read after the other; an Event is an answer that hangs."""

    def __init__(self, *answers: Rates | Exception | Event):
        self.answers = list(answers)

    def __call__(self) -> Rates:
        answer = self.answers.pop(0)
        if isinstance(answer, Event):
            answer.wait(30)
            return NEW
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(exchange, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_they_are_read_anew_in_the_background(clock: Any, executor: ThreadPoolExecutor) -> None:
    hanging = Event()
    rates = RatesInMemory(Source(OLD, hanging), executor, failed=lambda error: None)
    rates.wait(10)
    assert rates() == OLD
    clock.now = FRESH_SECONDS
    assert rates() == OLD  # and the read begins
    clock.now = 3 * FRESH_SECONDS
    assert rates() == OLD  # not a second read while one is under way
    hanging.set()
    rates.wait(10)
    assert rates() == NEW


def test_a_failed_read_leaves_the_last_rates_and_is_tried_again_soon(
    clock: Any, executor: ThreadPoolExecutor
) -> None:
    failures: list[Exception] = []
    fault = ConnectionError()
    rates = RatesInMemory(Source(OLD, fault, NEW), executor, failures.append)
    rates.wait(10)
    clock.now = FRESH_SECONDS
    rates()
    rates.wait(10)
    assert (rates(), failures) == (OLD, [fault])
    clock.now += RETRY_SECONDS
    rates()
    rates.wait(10)
    assert rates() == NEW


def test_a_start_waits_a_moment_and_goes_on_without(executor: ThreadPoolExecutor) -> None:
    hanging = Event()
    rates = RatesInMemory(Source(hanging), executor, failed=lambda error: None)
    rates.wait(0.01)
    assert rates() == Rates({})
    hanging.set()
