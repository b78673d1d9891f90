"""Fx rates for the tests: US dollars for one euro, as the ECB published them."""

from datetime import date
from decimal import Decimal

from impact.calendar import days_between
from impact.fx_rates import FxRate, is_target_day
from impact.store import Store
from tests.events import NOON

_APRIL_2026 = """
2026-03-30 1.1484  2026-03-31 1.1498  2026-04-01 1.1605  2026-04-02 1.1525
2026-04-07 1.1557  2026-04-08 1.1706  2026-04-09 1.1685  2026-04-10 1.1711
2026-04-13 1.1684  2026-04-14 1.1793  2026-04-15 1.178   2026-04-16 1.1782  2026-04-17 1.1797
2026-04-20 1.176   2026-04-21 1.1767  2026-04-22 1.1733  2026-04-23 1.1694  2026-04-24 1.1712
2026-04-27 1.1749  2026-04-28 1.168   2026-04-29 1.1706  2026-04-30 1.1702
"""
_WORDS = _APRIL_2026.split()
APRIL_2026 = [FxRate(date, Decimal(usd)) for date, usd in zip(_WORDS[::2], _WORDS[1::2], strict=True)]
"""A month with weekends, Good Friday (3 April) and Easter Monday (6 April)."""

BEFORE_NOON = FxRate("2026-11-20", Decimal("1.1172"))
"""The rate of the tests' day, a Monday."""

_DAYS = days_between("2026-11-01", "2026-12-31")
THAT_WINTER = [FxRate(day, Decimal(1)) for day in _DAYS if is_target_day(date.fromisoformat(day))]
"""Rates for tests in which no day lacks one: one dollar for one euro."""


def publish(store: Store, *rates: FxRate) -> None:
    """Store fx rates for the service."""
    for rate in rates or (BEFORE_NOON,):
        store.state.put_fx_rate(rate, source="test", now=NOON)
