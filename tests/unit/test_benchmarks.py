"""`python -m benchmarks.imports` without a build. With one, it is part of `make bench`."""

import sys
from pathlib import Path

import pytest

from benchmarks import imports
from local import PROJECT


def test_without_a_build_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["imports", "--runs=1"])
    monkeypatch.setattr(imports, "BUILT", PROJECT / "no-build")
    assert imports.main() == 1
    assert capsys.readouterr().err == "There is no no-build: run `make build` first.\n"


def test_without_the_functions_own_python_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["imports", "--runs=1"])
    monkeypatch.setattr(imports, "BUILT", tmp_path)
    monkeypatch.setattr(imports, "python_of_the_functions", lambda: None)
    assert imports.main() == 0
    assert capsys.readouterr().out.startswith("Not measured: ")
