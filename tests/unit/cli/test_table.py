"""Tables for people: aligned, rounded, and harmless."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact_cli.table import (
    NAME_COLUMNS,
    TEXT_MAX,
    Row,
    amount,
    bar,
    footprint,
    money,
    name_column,
    share,
    table,
    text,
    value_cell,
    visible,
    whose,
    width,
)


def test_columns_are_aligned_whatever_is_in_them() -> None:
    rows = [{"a": "漢字", "n": "1"}, {"a": "e\u0301", "n": "100"}, {"a": "\x1b[2J", "n": "-"}]
    made = table(rows, {"user": text("a"), "n": text("n")})
    assert made == "user       n\n漢字       1\ne\u0301        100\n\\x1b[2J    -"
    assert len({width(line) for line in made.splitlines()}) == 1


@given(st.text(), st.integers(min_value=1, max_value=20))
def test_no_text_controls_the_terminal(value: str, longest: int) -> None:
    assert visible(value).isprintable()
    assert width(visible(value, longest)) <= max(longest, 1)


@given(
    st.text(min_size=1),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.none() | st.text("4x;", min_size=1),
)
def test_a_name_is_shown_beside_its_id_whatever_the_text(user_id: str, name: str, centre: str | None) -> None:
    row = {"userId": user_id, "name": name} | ({"costCentre": centre} if centre else {})
    head = whose(row)
    assert head.isprintable()
    assert head.startswith(f"{visible(name, TEXT_MAX)} ({visible(user_id)})")
    assert head.endswith(f", cost centre {centre}" if centre else ")")
    [cell] = [cell(row) for cell in name_column([{}, row]).values()]
    assert cell.isprintable()
    assert cell == visible(name, NAME_COLUMNS)


@given(st.text() | st.sampled_from(["(none)", "(others)", '"(none)"', "("]))
def test_no_value_is_mistaken_for_none_or_the_rest(value: str) -> None:
    shown = value_cell({"value": value})
    assert shown.isprintable()
    assert shown not in ("(none)", "(others)")


@pytest.mark.parametrize("before", ["", " ", "\u3164", "\u0301", "\u2800"])
@pytest.mark.parametrize("brackets", ["()", "\uff08\uff09", "\u2768\u2769", "\ufe59\ufe5a"])
def test_a_value_that_looks_like_none_is_quoted(before: str, brackets: str) -> None:
    value = f"{before}none".join(brackets)
    for like in (value, before + value):
        assert value_cell({"value": like}) == f'"{like}"'


def test_values_that_look_alike_are_told_apart() -> None:
    values = ["(none)", '"(none)"', "(others)", "Marketing", "marketing", "none", "\x1b"]
    rows: list[Row] = [{"value": value} for value in values]
    rows += [{"value": None}, {"value": None, "rest": True}]
    shown = [value_cell(row) for row in rows]
    assert shown == [
        *('"(none)"', r'"\"(none)\""', '"(others)"', "Marketing", "marketing", "none", r"\x1b"),
        *("(none)", "(others)"),
    ]


def test_without_any_name_there_is_no_column() -> None:
    assert name_column([{"userId": "alice"}]) == {}
    assert whose({"userId": "alice\n"}) == "alice\\n"


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("0", "0.000000"),
        ("0.0000004", "0.000000"),
        ("0.0065234567", "0.006523"),
        ("99.9999999", "100.000000"),
        ("1234.565", "1,234.56"),
        ("1234.575", "1,234.58"),
        (
            "12345678901234567890123456789012345678.125",
            "12,345,678,901,234,567,890,123,456,789,012,345,678.12",
        ),
    ],
)
def test_amounts_are_rounded(number: str, shown: str) -> None:
    assert amount(Decimal(number)) == shown


def test_what_is_not_known_is_a_dash_not_a_zero() -> None:
    assert money("costEUR")({}) == footprint("co2eKg")({}) == text("reason")({}) == "-"
    assert share(Decimal(1), Decimal(0)) == "-"


def test_euros_that_no_rate_has_made_are_a_dash() -> None:
    assert money("costEUR")({"costEUR": Decimal(0), "unconverted": Decimal(1)}) == "-"
    assert money("billedEUR")({"billedEUR": Decimal(0), "unconverted": Decimal(1)}) == "-"
    assert money("costEUR")({"costEUR": Decimal(0), "unconverted": Decimal(0)}) == "0.000000"
    assert money("costUSD")({"costUSD": Decimal(0), "unconverted": Decimal(1)}) == "0.000000"


def test_a_range_has_two_digits_each() -> None:
    row = {"co2eKg": {"low": Decimal("0.000191324"), "high": Decimal("0.000318850")}}
    assert footprint("co2eKg", 1000)(row) == "0.19-0.32"


def test_a_bar_is_as_long_as_its_share_of_the_largest() -> None:
    assert [bar(Decimal(n), Decimal(10), 10) for n in (10, 5, 0)] == ["█" * 10, "█" * 5, ""]
    assert bar(Decimal(0), Decimal(0)) == ""
