"""`impact day`: below its users stands what is not in their figures, added up over all pages."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from impact_cli.main import main
from impact_cli.target import Target
from impact_cli.verbs.day import PAGE_ROWS
from tests.unit.cli.test_focus import DAY, summaries_and_total, wire


class Service:
    """In place of the API."""

    def __init__(self, summaries: list[dict[str, Any]]):
        self._summaries = summaries

    def today(self) -> str:
        raise AssertionError("nobody needs to know it")

    def day(self, day: str) -> Iterator[dict[str, Any]]:
        assert day == DAY
        return iter(self._summaries)


def shown(
    summaries: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[str, str]:
    monkeypatch.setattr(Target, "reader", lambda _: Service(summaries))
    assert main(["day", DAY]) == 0
    out, error = capsys.readouterr()
    return out, error


@pytest.fixture(autouse=True)
def no_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMPACT_CONFIG", str(tmp_path / "none.toml"))


@pytest.mark.parametrize("users", [1, PAGE_ROWS, PAGE_ROWS + 1, 2 * PAGE_ROWS])
def test_each_user_is_shown_once_and_counts_are_of_all_pages(
    users: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summaries, _ = summaries_and_total(
        wire(userId=f"user-{number:03d}", costUSD=None) for number in range(users)
    )
    for summary in summaries:
        summary["repriced"] = 2
    out, error = shown(summaries, monkeypatch, capsys)
    found = [line.split()[0] for line in out.splitlines() if line.startswith("user-")]
    assert sorted(found) == [f"user-{number:03d}" for number in range(users)]
    assert error.startswith(f"{DAY}: {users:,} users. ")
    requests = "1 request" if users == 1 else f"{users} requests"
    assert f"Unpriced: {requests} without a known cost." in error
    assert f"By the price book: {2 * users} requests." in error


def test_a_summary_from_before_the_price_book_and_a_day_without_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summaries, _ = summaries_and_total([wire(costUSD=Decimal(1))])
    del summaries[0]["repriced"]
    out, error = shown(summaries, monkeypatch, capsys)
    assert "alice" in out
    assert "price book" not in error
    assert shown([], monkeypatch, capsys) == (f"{DAY}: no requests.\n", "")
