"""Rows column by column: they are what they were made of, and add up as decimals do, to the last digit."""

from decimal import Decimal, localcontext
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.breakdown_columns import COLUMNS, COUNTS, DAY_COLUMNS, Columns, ColumnSums, Row, Value
from impact.decimals import EXACT, ZERO, stored
from impact.summary import Sums

TEXTS = st.none() | st.sampled_from(["a", "A", "b", "", "\u202e", "=1"])
MONEY = st.builds(
    lambda digits, places: stored(Decimal(digits).scaleb(-places, EXACT)),
    st.integers(0, 10**38 - 1) | st.just(0),
    st.integers(-3, 60),
)
NUMBERS = {int: st.integers(0, 10**18), Decimal: MONEY, Decimal | None: st.none() | MONEY}
KINDS = get_type_hints(Sums) | dict.fromkeys(("markupEUR", "restorationFeeEUR", "billedEUR"), Decimal)


def rows_of(names: tuple[str, ...]) -> st.SearchStrategy[Row]:
    return st.tuples(*(NUMBERS[KINDS[name]] for name in names)).map(list)


def tables(names: tuple[str, ...]) -> st.SearchStrategy[tuple[dict[Value, Row], Row | None]]:
    row = rows_of(names)
    return st.tuples(st.dictionaries(TEXTS, row, max_size=4), st.none() | row)


BOTH = pytest.mark.parametrize("names", [COLUMNS, DAY_COLUMNS], ids=["shard", "day"])


@BOTH
@given(data=st.data())
def test_rows_come_out_as_they_went_in(names: tuple[str, ...], data: st.DataObject) -> None:
    values, rest = data.draw(tables(names))
    columns = Columns.of(names, values, rest)
    assert columns.rows() == (values, rest)
    assert [columns.row(value) for value in ("a", "b")] == [values.get("a"), values.get("b")]
    assert Columns.from_content(names, columns.content()) == columns
    assert columns.values == sorted(values, key=lambda value: (value is not None, value or ""))
    for name, numbers in zip(names, columns.numbers, strict=True):
        assert all(number is None or type(number) is int for number in numbers), name


@BOTH
@given(data=st.data())
def test_sums_are_those_of_decimals(names: tuple[str, ...], data: st.DataObject) -> None:
    of_days = data.draw(st.lists(tables(names), max_size=4))
    sums, expected = ColumnSums(names), dict[tuple[bool, Value], Row]()
    for values, rest in of_days:
        sums.add(Columns.of(names, values, rest))
        keyed = {(False, value): row for value, row in values.items()}
        for key, row in (keyed | ({} if rest is None else {(True, None): rest})).items():
            expected[key] = _added(names, expected[key], row) if key in expected else row
    rest_sum = expected.pop((True, None), None)
    assert sums.rows() == ({value: row for (_, value), row in expected.items()}, rest_sum)
    assert len(sums) == len(expected) + (rest_sum is not None)


def _added(names: tuple[str, ...], one: Row, other: Row) -> Row:
    with localcontext(EXACT):
        return [
            max(a, b) if name == "latencyMax" else b if a is None else a if b is None else a + b
            for name, a, b in zip(names, one, other, strict=True)
        ]


def test_what_is_not_known_on_a_day_is_not_zero() -> None:
    known = [Decimal(2)] + [ZERO if name not in COUNTS else 0 for name in DAY_COLUMNS[1:]]
    unknown = [None, *known[1:]]
    sums = ColumnSums(DAY_COLUMNS)
    sums.add(Columns.of(DAY_COLUMNS, {"a": unknown, "b": known}, None))
    assert sums.rows()[0] == {"a": unknown, "b": known}
    sums.add(Columns.of(DAY_COLUMNS, {"a": known, "c": unknown}, unknown))
    values, rest = sums.rows()
    assert [values[name][0] for name in "abc"] == [2, 2, None]
    assert rest == unknown


def test_columns_without_rows_are_those_of_what_is_read() -> None:
    assert Columns.from_content(("requests",), None).names == COLUMNS
    assert Columns.from_content(("requests", "billedEUR"), None).rows() == ({}, None)
