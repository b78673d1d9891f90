"""Rows for programs: exact, under the API's field names, and harmless in a spreadsheet."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.billing import CORRECTED, Terms, before_correction, statement
from impact.summary import Tally
from impact_cli.records import (
    DAY_COLUMNS,
    SUMMARY_COLUMNS,
    cell,
    column_types,
    columns_of,
    csv_header,
    csv_lines,
    csv_row,
    json_lines,
    to_json,
)
from impact_client import Figures, Summary
from local.openapi.document import document

numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**12, places=38)


@given(numbers)
def test_numbers_keep_every_digit(number: Decimal) -> None:
    assert Decimal(cell(number)) == number
    assert "E" not in cell(number)
    assert json.loads(to_json({"n": number}), parse_float=Decimal, parse_int=Decimal) == {"n": number}


@given(st.text() | st.text("=+-@;,\t\r\n'a"))
def test_no_cell_of_text_is_run_by_a_spreadsheet(text: str) -> None:
    """Nor is what follows in it, in a spreadsheet that takes `;` for the end of a cell."""
    written = cell(text)
    for part in re.split("[;\t\r\n]", written):
        assert not part.startswith(("=", "+", "-", "@"))
    assert not written.startswith(("\t", "\r"))
    assert written.replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (True, "true"),
        (0, "0"),
        (Decimal("-1E-7"), "-0.0000001"),
        (["a", "b"], '["a", "b"]'),
        (datetime(2026, 11, 23, 12, 30, tzinfo=UTC), "2026-11-23T12:30:00Z"),
        ("=cmd|'/C calc'!A0", "'=cmd|'/C calc'!A0"),
        ("x;=1+1;\n@SUM(A1);y", "x;'=1+1;\n'@SUM(A1);y"),
        ("a-b; c=d", "a-b; c=d"),
        ("zoë", "zoë"),
    ],
)
def test_a_value_of_each_kind(value: Any, written: str) -> None:
    assert cell(value) == written


@given(st.lists(st.fixed_dictionaries({"userId": st.text(st.characters(exclude_categories=["Cs"]))})))
def test_csv_reads_back(rows: list[dict[str, str]]) -> None:
    text = csv_header(["userId"]) + "".join(csv_lines(rows, ["userId"]))
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[0] if row else "" for row in read[1:]] == [cell(row["userId"]) for row in rows]


def test_nested_fields_and_missing_ones_have_a_cell() -> None:
    row = {"userId": "alice", "co2eKg": {"low": Decimal("0.1"), "high": Decimal(2)}}
    assert list(csv_lines([row], ("userId", "co2eKg.low", "co2eKg.high", "waterL.low"))) == ["alice,0.1,2,\n"]


def test_a_line_of_json_is_one_line() -> None:
    [line] = json_lines([{"userId": "two\nlines\u2028"}])
    assert (line.count("\n"), json.loads(line)) == (1, {"userId": "two\nlines\u2028"})


def flattened(fields: dict[str, Any]) -> set[str]:
    names = set()
    for name, value in fields.items():
        names |= {f"{name}.{part}" for part in value} if isinstance(value, dict) else {name}
    return names


def test_every_field_of_a_summary_but_its_models_has_a_column() -> None:
    """Those of the rollup itself, and those that the API describes."""
    terms = Terms(Decimal(1), Decimal(1), Decimal(1), "a study")
    sums = Tally(firstTs="x", lastTs="x", prices=("2.1",), first=Tally(prices=("1.1",)))
    fields = statement(sums, None, terms)
    fields |= before_correction(sums, fields, None, terms)
    del fields["models"], fields["before"]["models"]
    assert flattened(fields) <= set(SUMMARY_COLUMNS)
    assert {f"before.{name}" for name in CORRECTED} <= set(SUMMARY_COLUMNS)
    schemas = document()["components"]["schemas"]
    for schema, columns in (("DailySummary", SUMMARY_COLUMNS), ("PlatformDay", DAY_COLUMNS)):
        described = set(schemas[schema]["properties"]) - {"models"}
        assert described == {name.partition(".")[0] for name in columns}, schema


def test_ids_of_prices_are_one_text() -> None:
    row = {"prices": ["7.3", "7.4"], "before": {"prices": ["1.1"], "unpriced": 2}, "tags": ["a"]}
    columns = ("prices", "before.prices", "before.unpriced", "before.repriced", "tags")
    assert csv_row(row, columns) == ["7.3 7.4", "1.1", "2", "", '["a"]']
    assert csv_row({}, columns) == [""] * 5


def test_counts_are_whole_numbers_in_each_column() -> None:
    types = column_types(Summary)
    counts = {name for name, kind in types.items() if kind is int}
    assert {"repriced", "unpriced", "before.repriced", "before.unpriced"} <= counts
    assert not {"costReportedUSD", "before.costUSD", "co2eKg.low", "prices"} & counts


def test_who_and_when_come_first() -> None:
    assert SUMMARY_COLUMNS[:4] == ("userId", "name", "costCentre", "day")
    assert DAY_COLUMNS[:2] == ("day", "users")
    assert columns_of(Figures)[0] == "requests"
    assert len(set(SUMMARY_COLUMNS)) == len(SUMMARY_COLUMNS)
