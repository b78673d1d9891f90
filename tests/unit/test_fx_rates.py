"""Which reference rate a day is converted at, and the conversion."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.calendar import day_after, days_between
from impact.ecb import packaged
from impact.fx_rates import (
    FX_LOOKBACK_DAYS,
    FxRate,
    FxRates,
    days_converted_at,
    fx_date_of,
    is_target_day,
    to_euros,
)


@pytest.mark.parametrize(
    ("day", "converted_at"),
    [
        ("2026-04-01", "2026-03-31"),
        ("2026-04-02", "2026-04-01"),
        ("2026-04-03", "2026-04-02"),  # Good Friday
        ("2026-04-04", "2026-04-02"),
        ("2026-04-05", "2026-04-02"),
        ("2026-04-06", "2026-04-02"),  # Easter Monday
        ("2026-04-07", "2026-04-02"),
        ("2026-04-08", "2026-04-07"),
        ("2026-05-01", "2026-04-30"),  # Labour Day, a Friday
        ("2026-05-04", "2026-04-30"),
        ("2026-05-05", "2026-05-04"),
        ("2026-11-21", "2026-11-20"),  # Saturday
        ("2026-11-22", "2026-11-20"),
        ("2026-11-23", "2026-11-20"),  # Monday: at Friday's still
        ("2026-11-24", "2026-11-23"),
        ("2026-12-25", "2026-12-24"),  # a Friday
        ("2026-12-28", "2026-12-24"),
        ("2026-12-29", "2026-12-28"),
        ("2027-01-01", "2026-12-31"),
        ("2027-01-04", "2026-12-31"),
    ],
)
def test_a_day_is_converted_at_the_last_rate_before_it(day: str, converted_at: str) -> None:
    assert fx_date_of(day) == converted_at


def test_the_ecb_has_published_on_each_target_day_since_2002() -> None:
    published = packaged("2002-01-01", "9999-12-31")
    days = days_between("2002-01-01", max(published))
    assert {day for day in days if is_target_day(date.fromisoformat(day))} == published.keys()


@given(st.dates(date(2000, 1, 1), date(2200, 1, 1)))
def test_the_rate_of_a_day_is_in_reach_before_it(day: date) -> None:
    at = date.fromisoformat(fx_date_of(day.isoformat()))
    assert 1 <= (day - at).days <= FX_LOOKBACK_DAYS
    assert is_target_day(at)


@given(st.dates(date(2000, 1, 1), date(2200, 1, 1)))
def test_a_day_later_is_converted_no_earlier(day: date) -> None:
    assert fx_date_of(day.isoformat()) <= fx_date_of(day_after(day.isoformat()))


@given(st.dates(date(2000, 1, 1), date(2200, 1, 1)))
def test_a_day_is_among_those_of_its_rate_and_of_no_other(day: date) -> None:
    ecb_date = fx_date_of(day.isoformat())
    assert day.isoformat() in days_converted_at(ecb_date)
    assert {fx_date_of(other) for other in days_converted_at(ecb_date)} == {ecb_date}
    assert days_converted_at("2026-11-20") == ["2026-11-21", "2026-11-22", "2026-11-23"]


def test_a_rate_that_is_not_known_is_none_and_the_latest_stands_in() -> None:
    rates = FxRates({"2026-11-19": Decimal("1.1"), "2026-11-20": Decimal("1.2")})
    assert rates.of("2026-11-23") == FxRate("2026-11-20", Decimal("1.2"))
    assert rates.of("2026-11-24") is None
    assert rates.latest_before("2026-11-24") == FxRate("2026-11-20", Decimal("1.2"))
    assert rates.latest_before("2026-11-20") == FxRate("2026-11-19", Decimal("1.1"))
    assert rates.latest_before("2026-11-19") is None
    assert rates.latest_before("2026-11-27") == FxRate("2026-11-20", Decimal("1.2"))
    assert rates.latest_before("2026-11-28") is None


POSITIVE = st.decimals(Decimal("0.0001"), Decimal(100), places=4)
COST = st.decimals(Decimal("1e-9"), Decimal(1_000_000), allow_nan=False, allow_infinity=False)


@given(COST, POSITIVE)
def test_euros_are_dollars_divided_once_to_38_digits(usd: Decimal, rate: Decimal) -> None:
    converted = to_euros(usd, FxRate("2026-11-20", rate))
    exact = Fraction(usd) / Fraction(rate)
    unit = Fraction(10) ** (converted.adjusted() - 37)
    assert abs(Fraction(converted) - exact) <= unit / 2
    assert len(converted.as_tuple().digits) <= 38


def test_euros_of_a_known_day() -> None:
    assert to_euros(Decimal("0.00475"), FxRate("2026-10-30", Decimal("1.1172"))) == Decimal(
        "0.0042517006802721088435374149659863945578"
    )
    assert to_euros(Decimal("1.25"), FxRate("2026-10-30", Decimal("1.25"))) == 1
    assert to_euros(Decimal(0), FxRate("2026-10-30", Decimal("1.25"))) == 0
