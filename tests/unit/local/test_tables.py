"""`python -m local.tables`, where there is no DynamoDB Local, and with `--help`."""

import sys

import pytest

from local import tables
from local.stack import free_port


def test_without_dynamodb_local_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://localhost:{free_port()}"
    monkeypatch.setenv("DYNAMODB_LOCAL_URL", url)
    monkeypatch.setattr(sys, "argv", ["tables"])
    assert tables.main() == 1
    assert capsys.readouterr().err.startswith(f"No DynamoDB Local at {url}: start it")


def test_help_makes_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "make_tables", pytest.fail)
    monkeypatch.setattr(sys, "argv", ["tables", "--help"])
    with pytest.raises(SystemExit, match="0"):
        tables.main()
