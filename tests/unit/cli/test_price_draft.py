"""A price as it is written: amounts are exact, and all that is wrong is said at once."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.price_book import Price, Rates
from impact_cli.price_draft import (
    AMOUNTS,
    CHOICES,
    FIELDS,
    REQUIRED,
    InvalidDraft,
    parse_amount,
    read_end,
    read_price,
)

WRITTEN = {"model": "openai/gpt-6", "from": "2026-12-01", "input": "1.25", "output": "10", "source": "a page"}


def faults(**fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDraft) as raised:
        read_price({**WRITTEN, **{name.replace("_", "-"): value for name, value in fields.items()}})
    return raised.value.faults


def test_a_price_has_what_is_written() -> None:
    assert read_price(WRITTEN) == Price(
        "", "openai/gpt-6", "2026-12-01", Rates(Decimal("1.25"), output=Decimal(10)), source="a page"
    )
    every = dict(zip(AMOUNTS, "1234567", strict=True))
    price = read_price({**WRITTEN, **every, "currency": "EUR", "only": "all", "from": date(2026, 12, 1)})
    assert price.rates == Rates(*map(Decimal, "1234567"))
    assert (price.currency, price.only, price.first_day) == ("EUR", "all", "2026-12-01")


def test_rates_of_one_token_are_multiplied_exactly_and_others_are_not() -> None:
    given_fields = {"per": "token", "input": "1.25e-06", "output": "0.00001", "per-request": "0.01"}
    assert read_price(WRITTEN | given_fields).rates == Rates(
        Decimal("1.25"), output=Decimal(10), perRequest=Decimal("0.01")
    )


@given(st.decimals(0, 100, places=20))
def test_an_amount_is_read_as_it_is_written(amount: Decimal) -> None:
    assert parse_amount(format(amount, "f")) == parse_amount(str(amount)) == amount
    scaled = read_price(WRITTEN | {"per": "token", "input": str(amount)}).rates
    assert scaled is not None
    assert scaled.input is not None
    assert scaled.input.scaleb(-6) == amount


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,25", "'1,25' is not a number: write 1.25"),
        ("1.250,00", "'1.250,00' is not a number, such as 1.25"),
        ("$1", "'$1' is not a number, such as 1.25"),
        ("-1", "'-1' is not a number, such as 1.25"),
        ("NaN", "'NaN' is not a number, such as 1.25"),
        ("1_000", "'1_000' is not a number, such as 1.25"),
        ("١", "'١' is not a number, such as 1.25"),
        ("1e9999", "'1e9999' is not a number, such as 1.25"),
        ("1\n", "'1\\n' is not a number, such as 1.25"),
        (True, "must be a number"),
        (1.25, "must be a number"),
    ],
)
def test_what_is_no_amount(text: object, message: str) -> None:
    assert faults(input=text) == [("input", message)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model": "gpt-6"}, ["model"]),
        ({"model": " openai/gpt-6"}, ["model"]),
        ({"model": 6}, ["model"]),
        ({"model": None, "from": " ", "source": ""}, ["model", "from", "source"]),
        ({"from": "2026-02-30"}, ["from"]),
        ({"from": "1.12.2026"}, ["from"]),
        ({"from": "today"}, ["from"]),
        ({"from": datetime(2026, 12, 1, tzinfo=UTC)}, ["from"]),
        ({"currency": "usd"}, ["currency"]),
        ({"only": "some"}, ["only"]),
        ({"per": "thousand"}, ["per"]),
        ({"inptu": "1"}, ["inptu"]),
        ({"input": None}, ["input"]),
        ({"input": None, "output": None}, ["price"]),
        ({"cache_write": "1e12"}, ["cache-write"]),
        ({"input": "1" * 400, "per": "token"}, ["input"]),
        ({"per_second": "0." + "1" * 39}, ["per-second"]),
        ({"source": "x" * 201, "per_request": "1e10"}, ["source", "per-request"]),
        ({"input": "x", "output": "y", "only": "z"}, ["input", "output", "only"]),
    ],
)
def test_each_field_that_is_wrong_is_named(fields: dict[str, Any], expected: list[str]) -> None:
    assert [field for field, _ in faults(**fields)] == expected


def test_an_end_has_no_rates() -> None:
    ending = {name: WRITTEN[name] for name in REQUIRED}
    assert read_end(ending) == Price("", "openai/gpt-6", "2026-12-01", None, source="a page")
    with pytest.raises(InvalidDraft, match="input: is no field"):
        read_end(ending | {"input": "1"})


def test_the_defaults_are_those_of_a_price() -> None:
    assert {name: values[0] for name, values in CHOICES.items()} == {
        "per": "million",
        "currency": "USD",
        "only": "unpriced",
    }
    assert set(FIELDS) >= {*REQUIRED, *AMOUNTS, *CHOICES}
