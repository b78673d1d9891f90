"""What the service costs: the docs show what `python -m benchmarks.cost` computes, from measured bytes."""

import re
import subprocess
import sys

import pytest

from benchmarks.cost.model import LOG_TIERS, MILLION, Units, Usage, dollars, tiered
from benchmarks.cost.tables import parts, table
from local import PROJECT


@pytest.mark.parametrize("page", ["README.md", "docs/cost.md"])
def test_the_docs_show_the_table(page: str) -> None:
    assert f"\n{table()}\n" in (PROJECT / page).read_text()


def test_the_page_shows_what_each_part_costs() -> None:
    assert f"\n{parts()}\n" in (PROJECT / "docs/cost.md").read_text()


def test_the_bytes_are_those_that_are_measured() -> None:
    command = [sys.executable, "-m", "benchmarks.cost"]
    out = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    measured = re.findall(r"^  (\w+) +([\d,]+) +([\d,]+)$", out, flags=re.MULTILINE)
    assert {name for name, _, _ in measured} == {
        "event_bytes",
        "summary_bytes",
        "summary_bytes_of_one_model",
        "log_bytes",
    }
    for name, used, now in measured:
        assert (name, used) == (name, now)


def test_a_price_falls_with_the_amount() -> None:
    assert tiered(10_240, LOG_TIERS) == 10_240 * 0.50
    assert tiered(10_241, LOG_TIERS) == 10_240 * 0.50 + 0.25
    assert tiered(1_000_000, LOG_TIERS) < 1_000_000 * 0.10


def test_each_part_grows_with_what_it_is_for() -> None:
    usage = Usage(MILLION, 20)
    base = dollars(Units(), usage)
    assert dollars(Units(), Usage(MILLION, 1))["deliveries: API"] == pytest.approx(
        20 * base["deliveries: API"]
    )
    assert dollars(Units(), Usage(2 * MILLION, 20))["ledger: writes"] == 2 * base["ledger: writes"]
    assert dollars(Units(), Usage(MILLION, 20, retention_days=200))["ledger: storage"] == pytest.approx(
        base["ledger: storage"] / 2
    )
    large = dollars(Units(event_bytes=1025), usage)
    assert large["ledger: writes"] == 2 * base["ledger: writes"]
