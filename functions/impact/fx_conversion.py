"""Euros of an event on arrival, at the fx rates in memory: no event waits for them or fails without them."""

from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from time import monotonic

from impact.fx_rates import FxRates, to_euros
from impact.types import Item

CACHE_SECONDS = 300.0
RETRY_SECONDS = 30.0  # pause after a failed read


def euro_fields(event: Item, rates: FxRates) -> Item:
    """Convert an event's dollars at the last known rate before its day; {} if none is known.

    An event that came with costEUR keeps it. The summary decides: it is converted at the day's own rate.
    """
    if "costUSD" not in event or "costEUR" in event:
        return {}
    rate = rates.latest_before(event["day"])
    return {"costEUR": to_euros(event["costUSD"], rate)} | rate.as_fields() if rate else {}


class CachedFxRates:
    """The fx rates that `load` returned last, refreshed in the background. `failed` gets what it raises."""

    def __init__(self, load: Callable[[], FxRates], executor: Executor, failed: Callable[[Exception], None]):
        self._load = load
        self._executor = executor
        self._failed = failed
        self._rates = FxRates({})
        self._start()

    def wait(self, seconds: float) -> None:
        """Wait for the first read: at a cold start, when no event waits yet."""
        wait([self._reading], timeout=seconds)

    def __call__(self) -> FxRates:
        if self._reading.done() and monotonic() >= self._due:
            self._start()
        return self._rates

    def _start(self) -> None:
        self._due = monotonic() + CACHE_SECONDS
        self._reading: Future[None] = self._executor.submit(self._read)

    def _read(self) -> None:
        try:
            self._rates = self._load()
        except Exception as error:  # whatever it is, events go on with the rates in memory
            self._due = monotonic() + RETRY_SECONDS
            self._failed(error)
