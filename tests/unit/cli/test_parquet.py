"""Parquet files: the price book's fields have columns, and what stops the records is raised as it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from arro3.io import read_parquet

from impact_cli.parquet import write_parquet
from impact_cli.records import column_types
from impact_client import Summary, Unavailable
from tests.unit.cli.test_focus import LLAMA, of_book, summaries_and_total, wire


@pytest.mark.parametrize("error", [Unavailable("no response"), KeyboardInterrupt()])
def test_what_stops_the_records_is_raised(tmp_path: Path, error: BaseException) -> None:
    def records() -> Iterator[dict[str, int]]:
        yield {"requests": 1}
        raise error

    with pytest.raises(type(error)):
        write_parquet(tmp_path / "a.parquet", records(), {"requests": int})


def test_what_the_price_book_adds_to_a_summary_has_columns(tmp_path: Path) -> None:
    corrected, _ = summaries_and_total([wire(**LLAMA)], book=of_book(0, 1))
    plain, _ = summaries_and_total([wire()])
    write_parquet(tmp_path / "a.parquet", [*corrected, *plain], column_types(Summary))
    table = read_parquet(str(tmp_path / "a.parquet")).read_all()
    expected = {
        "costReportedUSD": ["0", "0.00475"],
        "repriced": [1, 0],
        "prices": ["1.1", None],
        "before.prices": [None, None],  # at first it had no price
        "before.unpriced": [1, None],
        "before.billedEUR": ["0", None],
    }
    assert {name: table[name].to_pylist() for name in expected} == expected
