"""A value is taken out of rows that are stored: its row is added to the rest, and each sum stays."""

from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.breakdown import Encoded, Rows, encode
from impact.breakdown_columns import COLUMNS, DAY_COLUMNS, Row
from impact.decimals import EXACT

WHOLE = [name for name in COLUMNS if name in ("requests", "failures", "tokens_in", "rated", "unrated")]
amounts = st.decimals(0, 10**6, places=30, allow_nan=False)
values = st.none() | st.sampled_from(["alice", "Alice", "a#", "\x1b[2J", "null", "\u202eפ"])
M2 = DAY_COLUMNS.index("restoredM2")


def rows_of(columns: tuple[str, ...]) -> st.SearchStrategy[Rows]:
    def number(name: str) -> st.SearchStrategy[Any]:
        if name in ("costEUR", "costUSD", "billedEUR", "latencyTotal", "latencyMax", "energyLow"):
            return amounts
        if name == "restoredM2":
            return st.none() | amounts
        return st.integers(0, 10**9) if name in WHOLE else st.just(0)

    row = st.tuples(*map(number, columns)).map(list)
    return st.builds(Rows, st.dictionaries(values, row, max_size=5), st.none() | row)


def sums(rows: Rows) -> Row:
    every = [*rows.values.values(), *([rows.rest] if rows.rest else [])]
    with localcontext(EXACT):
        added = [sum((number or 0 for number in column), Decimal(0)) for column in zip(*every, strict=True)]
    return [*added[:-1], max(row[-1] for row in every)] if every else []


@pytest.mark.parametrize("columns", [COLUMNS, DAY_COLUMNS], ids=["shard", "day"])
@given(data=st.data())
def test_sums_stay_to_the_last_digit_and_the_value_goes(columns: tuple[str, ...], data: Any) -> None:
    rows, others = data.draw(rows_of(columns)), data.draw(rows_of(columns))
    written = encode(columns, {"user": rows, "team": others})
    for value in list(rows.values):
        if value is None:
            continue
        after = Encoded(written).without("user", value)
        assert after is not None
        found = Encoded(after)
        assert found.rows("user").values == {v: row for v, row in rows.values.items() if v != value}
        assert sums(found.rows("user")) == sums(rows)
        assert (found.rows("team").values, found.rows("team").rest) == (others.values, others.rest)
        assert found.without("user", value) is None


def test_what_is_not_there_changes_nothing() -> None:
    written = encode(COLUMNS, {"user": Rows({"alice": [0] * len(COLUMNS)})})
    assert Encoded(written).without("user", "bob") is None
    assert Encoded(written).without("team", "alice") is None


def test_square_metres_that_are_not_known_stay_so() -> None:
    unknown, known = [0] * len(DAY_COLUMNS), [0] * len(DAY_COLUMNS)
    unknown[M2], known[M2] = None, Decimal(2)  # type: ignore[call-overload]
    for rest, after in ((unknown, None), (known, 2), (None, None)):
        left = Encoded(encode(DAY_COLUMNS, {"user": Rows({"alice": unknown}, rest)})).without("user", "alice")
        assert left is not None
        moved = Encoded(left).rows("user").rest
        assert moved is not None
        assert moved[M2] == after
