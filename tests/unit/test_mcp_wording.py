"""Figures and names as text for a model."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.wording import NAME_SHOWN, amount, amounts, count, listed, plain, quoted, rounded, shown_name

AMOUNTS = st.decimals(min_value=0, max_value=10**15, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0", "exactly 0 EUR"),
        ("12", "exactly 12 EUR"),
        ("12.5", "exactly 12.5 EUR"),
        ("1234567.89", "exactly 1234567.89 EUR"),
        ("12.345678", "12.35 EUR (rounded; exactly 12.345678 EUR)"),
        ("0.995", "1.00 EUR (rounded; exactly 0.995 EUR)"),
        ("0.099", "exactly 0.099 EUR"),
        ("0.0012345", "0.0012 EUR (rounded; exactly 0.0012345 EUR)"),
        ("8.4E-7", "exactly 0.00000084 EUR"),
        ("1E+3", "exactly 1000 EUR"),
        ("0." + "3" * 38, f"0.33 EUR (rounded; exactly 0.{'3' * 38} EUR)"),
    ],
)
def test_an_amount_is_exact_or_marked_as_rounded(number: str, text: str) -> None:
    assert amount(Decimal(number), "EUR") == text


def test_a_range() -> None:
    low, high = Decimal("0.01234"), Decimal("0.0341")
    assert amounts(low, high, "kWh") == "0.012 to 0.034 kWh (rounded; exactly 0.01234 to 0.0341 kWh)"
    assert amounts(Decimal("0.5"), Decimal("0.5"), "kWh") == "exactly 0.5 kWh"


@given(AMOUNTS)
def test_rounding_stays_within_half_a_unit_and_five_percent(number: Decimal) -> None:
    off = abs(rounded(number) - number)
    assert off <= Decimal("0.005")
    assert off <= number * Decimal("0.05")
    assert Decimal(plain(rounded(number))) == rounded(number)


@given(st.text())
def test_a_name_stays_on_one_line_within_its_quotation_marks(name: str) -> None:
    shown = shown_name(name)
    assert shown.isprintable()
    assert not set(shown) & set("\"'`<>[]!*|\n\r")
    assert len(shown) <= NAME_SHOWN + len("...")
    assert quoted(name) == f'"{shown}"'
    shown.encode()


def test_names_as_they_are_met_in_practice_stay_as_they_are() -> None:
    for name in ("openai/gpt-4o", "bedrock/eu.anthropic.claude-v1:0", "azure/Größe 4", "65f1c0de@x.org"):
        assert shown_name(name) == name
    assert shown_name("x" * 121) == "x" * 120 + "..."
    assert shown_name("\u115f\u1160\u3164\uffa0") == "\\u{115f}\\u{1160}\\u{3164}\\u{ffa0}"
    assert shown_name('a"\n\u2028\U0001f600') == "a\\u{22}\\u{a}\\u{2028}\\u{1f600}"


def test_counts_and_days() -> None:
    assert (count(1, "request"), count(0, "request"), count(2000, "day")) == (
        "1 request",
        "0 requests",
        "2000 days",
    )
    assert listed(["2026-11-01"]) == "2026-11-01"
    assert listed([f"2026-11-0{day}" for day in range(1, 7)]) == "6 days between 2026-11-01 and 2026-11-06"
