"""The stack on this machine: its parameters, and a start without the European Central Bank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]

from impact_cli.template_parameters import override
from local.stack import Stack
from local.stack.__main__ import update_rates
from local.stack.stack import FunctionFailed


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2.5",
        "rate(1 hour)",
        "azure=SWE,bedrock=DEU",
        "http://127.0.0.1:1/x",
        'a "quoted" word, it\'s here',
    ],
)
def test_sam_reads_a_parameter_as_it_was_given(value: str) -> None:
    read = CfnParameterOverridesType().convert((override("One", value), override("Two", 2)), None, None)
    assert read == {"One": value, "Two": "2"}


class Unreachable(Stack):
    def invoke(self, function: str, payload: object) -> Any:
        faults = "https://ecb.example/daily.xml: no route to host; no rate known of 2026-11-20, 2026-11-23"
        raise FunctionFailed(function, {"errorType": "RatesIncomplete", "errorMessage": faults})


def test_a_start_without_the_ecb_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    update_rates(Unreachable("http://127.0.0.1:1", build=Path()))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("No fx rates: amounts stay in dollars (`unconverted`)")
    assert said.err.endswith("https://ecb.example/daily.xml: no route to host\n")
