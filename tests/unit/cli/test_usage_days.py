"""A range of any length is read in years, without a gap and without a day twice."""

from datetime import date, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.daily_totals import DAYS_MAX
from impact_cli.usage_days import days_with_use, summaries_of
from impact_client import DayTotal, Impact

TODAY = date(2026, 11, 28)


class Service:
    """Has use on each day, and refuses what the API refuses."""

    def today(self) -> str:
        return str(TODAY)

    def totals(self, first: str | None, last: str | None) -> dict[str, Any]:
        end = date.fromisoformat(last) if last else TODAY
        begin = date.fromisoformat(first) if first else end - timedelta(days=29)
        assert 0 < (end - begin).days + 1 <= DAYS_MAX
        days = [{"day": str(begin + timedelta(days=n))} for n in range((end - begin).days + 1)]
        return {"from": str(begin), "to": str(end), "days": days}


service = cast("Impact", Service())


@given(st.integers(0, 2000))
def test_each_day_is_read_once(length: int) -> None:
    first = TODAY - timedelta(days=length)
    expected = [str(first + timedelta(days=n)) for n in range(length + 1)]
    for last in (None, str(TODAY)):
        begin, end, days = days_with_use(service, str(first), last)
        assert (begin, end, [day["day"] for day in days]) == (str(first), str(TODAY), expected)


def test_without_days_it_is_the_last_thirty() -> None:
    begin, end, days = days_with_use(service, None, None)
    assert (begin, end, len(days)) == ("2026-10-30", "2026-11-28", 30)
    assert days_with_use(service, None, "2026-11-01")[:2] == ("2026-10-03", "2026-11-01")


def test_a_day_with_more_or_fewer_users_than_its_total_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    class Day:
        def day(self, day: str) -> Any:
            return iter([{"userId": "alice", "day": day}])

    def noted(users: int) -> str:
        total = cast("DayTotal", {"day": "2026-11-27", "users": users})
        assert [summary["userId"] for summary in summaries_of(cast("Impact", Day()), total)] == ["alice"]
        return capsys.readouterr().err

    assert noted(1) == ""
    assert noted(2).startswith("2026-11-27 has just changed: 1 users were read, its total has 2.")
