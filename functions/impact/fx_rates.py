"""The European Central Bank's reference rate that a day is converted at. Pure: no AWS, no network.

A day is converted at the rate of the last ECB date before it. The ECB publishes a rate on each day on which
TARGET, its payment system, is open (without exception since 2002). So the date is known before the rate is,
and a rate that is late is not mistaken for a bank holiday.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from dateutil.easter import easter

from impact.calendar import day_before, days_between
from impact.decimals import quotient
from impact.types import Item

FX_LOOKBACK_DAYS = 7
"""Days to look back for a rate. TARGET days are at most five days apart."""

DUE = timedelta(days=85)
"""Each TARGET day of so long back needs its rate: a little less than the ECB's file of 90 days covers."""

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class FxRate:
    """A reference rate: `usd` US dollars for one euro, published on the ECB date `date`."""

    date: str
    usd: Decimal

    def as_fields(self) -> Item:
        """The rate under the contract's names."""
        return {"fxRate": self.usd, "fxDate": self.date}


def is_target_day(day: date) -> bool:
    """Tell whether TARGET is open on a day, and so whether the ECB publishes rates on it.

    It is closed at weekends, on 1 January, Good Friday, Easter Monday, 1 May, 25 and 26 December:
    https://www.ecb.europa.eu/ecb/contacts/working-hours/html/index.en.html
    """
    if day.weekday() >= 5 or (day.month, day.day) in ((1, 1), (5, 1), (12, 25), (12, 26)):
        return False
    sunday = easter(day.year)
    return day not in (sunday - 2 * _ONE_DAY, sunday + _ONE_DAY)


def fx_date_of(day: str) -> str:
    """Return the ECB date whose rate a day is converted at: the last one before the day."""
    before = date.fromisoformat(day) - _ONE_DAY
    while not is_target_day(before):
        before -= _ONE_DAY
    return before.isoformat()


def days_converted_at(ecb_date: str) -> list[str]:
    """Return the days that are converted at the rate of an ECB date, in order."""
    after = (date.fromisoformat(ecb_date) + number * _ONE_DAY for number in range(1, FX_LOOKBACK_DAYS + 1))
    return [day.isoformat() for day in after if fx_date_of(day.isoformat()) == ecb_date]


def due_dates(today: date) -> set[str]:
    """Return the ECB dates whose rate must be known: up to the one that today is converted at."""
    days = days_between((today - DUE).isoformat(), fx_date_of(today.isoformat()))
    return {day for day in days if is_target_day(date.fromisoformat(day))}


@dataclass(frozen=True)
class FxRates:
    """Known rates: US dollars for one euro, by ECB date."""

    usd: Mapping[str, Decimal]

    def of(self, day: str) -> FxRate | None:
        """Return the rate that a day is converted at, or None while it is not known."""
        return self._on(fx_date_of(day))

    def latest_before(self, day: str) -> FxRate | None:
        """Return the last known rate of the FX_LOOKBACK_DAYS days before a day."""
        for _ in range(FX_LOOKBACK_DAYS):
            day = day_before(day)
            if day in self.usd:
                return self._on(day)
        return None

    def _on(self, ecb_date: str) -> FxRate | None:
        usd = self.usd.get(ecb_date)
        return FxRate(ecb_date, usd) if usd is not None else None


def to_euros(usd: Decimal, rate: FxRate) -> Decimal:
    """Convert dollars: one division, rounded to 38 digits."""
    return quotient(usd, rate.usd)
