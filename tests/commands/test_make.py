"""Each command of the Makefile once, with its quickest options: it works, and changes no file."""

from pathlib import Path

import pytest

from tests.commands.commands import NAMES, assert_unchanged, make
from tests.commands.test_make_for_a_stack import COMMANDS as FOR_A_STACK

pytestmark = pytest.mark.long

ARE_TESTS = {
    "faults": "test_an_event_whose_answer_was_lost",
    "fuzz": "test_only_a_rate_is_entered",
    "test-litellm": "test_a_fallback_leads_to_a_model_that_is_there",
}
"""Commands that run tests of `make test-all`: so only one test of each is run here."""
COMMANDS = {
    **dict.fromkeys(("help", "lock", "audit", "validate", "build", "openapi", "cli-reference"), ""),
    **dict.fromkeys(ARE_TESTS, ""),
    "test-litellm": "only=.venv-proxy",
    "simulate": "seeds=10",
    "crashes": "rounds=1",
    "load": "seconds=3 rate=4",
    "bench": "smallest=1",
    "screenshots": "folder=.local/pictures",
}
HERE = {"install", "proxy-env", "lint", "test", "test-all"}
"""What it takes to run these tests, and what `.ci/run` runs just before them."""
IN_MAKE_TEST = {"demo"}
NEEDS_MORE = {"librechat"}
"""Commands that need a running LibreChat."""


SLOW = {"bench": 1800}
"""Time limits in seconds, of what takes longer than other tests beside as much other work."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.timeout(SLOW.get(name, 600))) for name in COMMANDS]
)
def test_each_command_works_and_changes_no_file(project: Path, name: str) -> None:
    options = {"PYTEST_ADDOPTS": f"-k {ARE_TESTS[name]}"} if name in ARE_TESTS else {}
    assert make(project, name, COMMANDS[name], **options)
    assert_unchanged(project)


def test_no_command_is_left_out() -> None:
    assert {*COMMANDS, *FOR_A_STACK, *HERE, *IN_MAKE_TEST, *NEEDS_MORE} == NAMES
