"""Four kills of a real proxy: of one with one worker, and of one with four. `make crashes` has more."""

from pathlib import Path

import pytest

from local.litellm_proxy import ENVIRONMENT
from tests.crashes.__main__ import report
from tests.crashes.rounds import run


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(
    not (ENVIRONMENT / "bin" / "litellm").exists(), reason="LiteLLM is not installed (make proxy-env)"
)
def test_what_a_proxy_has_answered_is_in_the_ledger_exactly_once_whenever_it_is_killed(
    tmp_path: Path,
) -> None:
    result = run(tmp_path, rounds=4, seed=1)
    assert not result.verdict.problems, report(result)
    assert all(each.answered for each in result.rounds)
