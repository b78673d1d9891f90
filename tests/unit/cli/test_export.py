"""`impact export`: a stopped export is continued only from where it came."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from impact_cli.ledger_export import source_of
from impact_cli.main import main
from impact_cli.target import Target
from impact_client import Unavailable

DAYS = ("2026-11-01", "2026-11-02")
EXPORT = ["export", "jsonl", "--since", DAYS[0], "--until", DAYS[1]]


class Service:
    """In place of the API: a user on each day."""

    def __init__(self, url: str, stops_at: str = ""):
        self.url, self._stops_at = url, stops_at

    def today(self) -> str:
        raise AssertionError("nobody needs to know it")

    def totals(self, first: str, last: str) -> dict[str, Any]:
        return {"from": first, "to": last, "days": [{"day": day, "users": 1} for day in DAYS]}

    def day(self, day: str) -> Iterator[dict[str, Any]]:
        if day == self._stops_at:
            raise Unavailable("It is stopped.")
        yield {"userId": self.url, "day": day}


def test_an_export_is_not_continued_from_another_stack_of_that_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMPACT_CONFIG", str(tmp_path / "none.toml"))
    path = tmp_path / "out.jsonl"
    one, other = "https://one.example.com", "https://other.example.com"
    for service, code in ((Service(one, DAYS[1]), 1), (Service(other), 1), (Service(one), 0)):
        monkeypatch.setattr(Target, "reader", lambda _, of=service: of)
        assert main([*EXPORT, "-o", str(path)]) == code
    assert "out.jsonl.part is of another export that was stopped" in capsys.readouterr().err
    assert path.read_text().count(one) == len(DAYS)


@mock_aws
def test_where_events_come_from_is_an_account_and_a_region() -> None:
    source = source_of(boto3.Session(region_name="eu-central-1"))
    assert source == "123456789012 https://dynamodb.eu-central-1.amazonaws.com"
