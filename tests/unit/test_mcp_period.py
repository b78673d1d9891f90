"""Which days a tool's figures are of."""

from typing import Any

import pytest

from mcp_server.period import BadArgument, Period, period_asked

TODAY = "2026-11-23"


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        ({}, "2026-11-01", TODAY),
        ({"month": "2026-11"}, "2026-11-01", TODAY),
        ({"month": "2026-10"}, "2026-10-01", "2026-10-31"),
        ({"month": "2028-02"}, "2028-02-01", "2028-02-29"),
        ({"month": "2026-12"}, "2026-12-01", "2026-12-31"),
        ({"month": "2999-12"}, "2999-12-01", "2999-12-31"),
        ({"from": "2026-11-20"}, "2026-11-20", TODAY),
        ({"to": "2026-10-15"}, "2026-10-01", "2026-10-15"),
        ({"from": "2025-11-23", "to": TODAY}, "2025-11-23", TODAY),
        ({"from": "2026-12-01", "to": "2026-12-01"}, "2026-12-01", "2026-12-01"),
    ],
)
def test_the_days_asked(given: dict[str, Any], first: str, last: str) -> None:
    assert period_asked(given, TODAY) == Period(first, last)


def test_the_first_of_a_month_is_a_month_of_one_day() -> None:
    assert period_asked({}, "2026-12-01").days == 1


@pytest.mark.parametrize(
    "given",
    [
        {"month": "november"},
        {"month": "2026-00"},
        {"month": "1999-12"},
        {"month": "2026-11-01"},
        {"month": ["2026-11"]},
        {"from": "2026-02-30"},
        {"from": 20261101},
        {"to": "2026-W48-1"},
        {"from": "2026-11-24"},
        {"from": "2025-11-22", "to": TODAY},
        {"month": "2026-11", "from": "2026-11-01"},
    ],
)
def test_what_is_no_period_is_told(given: dict[str, Any]) -> None:
    with pytest.raises(BadArgument):
        period_asked(given, TODAY)
