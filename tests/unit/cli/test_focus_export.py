"""A day of a FOCUS export: it is not kept in memory, and it may be gone when its turn comes."""

import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, cast

from impact_cli.focus_export import day_lines
from impact_client import Impact
from tests.events import NOON
from tests.unit.cli.test_focus import DAY, FOOTPRINT, WHO, starts_at, summaries_and_total, wire

USERS = 2000


class Service:
    """In place of the API: a day of many users."""

    def __init__(self) -> None:
        self._summaries, self._total = summaries_and_total(
            wire(FOOTPRINT, userId=f"user-{number}", costUSD=Decimal(number)) for number in range(USERS)
        )

    def totals(self, first: str, last: str) -> dict[str, Any]:
        assert first == last == DAY
        return {"days": [self._total]}

    def day(self, day: str) -> Iterator[dict[str, Any]]:
        assert day == DAY
        return iter(self._summaries)


def test_a_day_is_not_kept_in_memory() -> None:
    step = day_lines(cast("Impact", Service()), DAY, WHO, starts_at, NOON)
    tracemalloc.start()
    try:
        size = sum(len(line) for line in step.lines())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 2_000_000
    assert peak < size / 2  # of all that the process does meanwhile


def test_a_day_whose_users_were_erased_meanwhile_has_no_rows() -> None:
    class Erased(Service):
        def totals(self, first: str, last: str) -> dict[str, Any]:
            return {"days": []}

    step = day_lines(cast("Impact", Erased()), DAY, WHO, starts_at, NOON)
    assert (list(step.lines()), step.result()) == ([], None)
