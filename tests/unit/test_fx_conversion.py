"""Rates in memory: no event waits for them, and a failed read leaves those that were there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from impact import fx_conversion
from impact.fx_conversion import CACHE_SECONDS, RETRY_SECONDS, CachedFxRates
from impact.fx_rates import FxRates

OLD, NEW = (FxRates({"2026-11-20": Decimal(usd)}) for usd in ("1.1", "1.2"))


class Source:
    """What State returns, one read after the other. An Event is a read that hangs."""

    def __init__(self, *results: FxRates | Exception | Event):
        self.results = list(results)

    def __call__(self) -> FxRates:
        result = self.results.pop(0)
        if isinstance(result, Event):
            result.wait(30)
            return NEW
        if isinstance(result, Exception):
            raise result
        return result


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(fx_conversion, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_they_are_read_again_in_the_background(clock: Any, executor: ThreadPoolExecutor) -> None:
    hanging = Event()
    rates = CachedFxRates(Source(OLD, hanging), executor, failed=lambda error: None)
    rates.wait(10)
    assert rates() == OLD
    clock.now = CACHE_SECONDS
    assert rates() == OLD  # and the read begins
    clock.now = 3 * CACHE_SECONDS
    assert rates() == OLD  # not a second read while one is under way
    hanging.set()
    rates.wait(10)
    assert rates() == NEW


def test_a_failed_read_leaves_the_last_rates_and_is_tried_again_soon(
    clock: Any, executor: ThreadPoolExecutor
) -> None:
    failures: list[Exception] = []
    fault = ConnectionError()
    rates = CachedFxRates(Source(OLD, fault, NEW), executor, failures.append)
    rates.wait(10)
    clock.now = CACHE_SECONDS
    rates()
    rates.wait(10)
    assert (rates(), failures) == (OLD, [fault])
    clock.now += RETRY_SECONDS
    rates()
    rates.wait(10)
    assert rates() == NEW


def test_a_start_waits_a_moment_and_goes_on_without(executor: ThreadPoolExecutor) -> None:
    hanging = Event()
    rates = CachedFxRates(Source(hanging), executor, failed=lambda error: None)
    rates.wait(0.01)
    assert rates() == FxRates({})
    hanging.set()
