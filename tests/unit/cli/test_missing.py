"""What is not in a figure, in words: a line for each reason, and none without one."""

from decimal import Decimal
from typing import Any

import pytest

from impact_cli.missing import COUNTED, ROUNDED, missing

NOTHING: dict[str, Any] = dict.fromkeys(COUNTED, 0)


def test_without_a_reason_there_is_no_line() -> None:
    assert missing(NOTHING, [{"day": "2026-11-23", "final": True}]) == [ROUNDED]


@pytest.mark.parametrize(
    ("total", "line"),
    [
        ({"unpriced": 1}, "Unpriced: 1 request without a known cost. They add 0 here."),
        ({"repriced": 1234}, "By the price book: 1,234 requests. `impact explain` shows how."),
        ({"unrated": 2}, "Unrated: 2 requests without an estimate of the footprint."),
        ({"estimated": 1}, "Estimated: 1 request whose tokens the sender guessed."),
        (
            {"unconverted": Decimal("1.5")},
            "Unconverted: 1.500000 USD wait for the fx rate of their day. No euros stand for them yet.",
        ),
    ],
)
def test_each_reason_has_a_line(total: dict[str, Any], line: str) -> None:
    assert missing(NOTHING | total, []) == [ROUNDED, line]


def test_a_total_from_before_the_price_book_has_no_line_of_it() -> None:
    assert missing({name: 0 for name in COUNTED if name != "repriced"}, []) == [ROUNDED]


def test_many_days_are_counted_and_few_are_named() -> None:
    days = [{"day": f"2026-11-{number:02d}", "final": False} for number in range(1, 8)]
    assert "Not final: 7 days, 2026-11-01 to 2026-11-07." in missing(NOTHING, days)[1]
    assert "Not final: 2026-11-01, 2026-11-02." in missing(NOTHING, days[:2])[1]
