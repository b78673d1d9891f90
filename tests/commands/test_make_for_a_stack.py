"""Each command of the Makefile that works on a deployed stack, with `make local` in place of AWS."""

from pathlib import Path

import pytest

from tests.commands.commands import assert_unchanged, make
from tests.e2e.api import day

pytestmark = pytest.mark.long

COMMANDS = {
    "local": "",
    "rollup": f"day={day(1)}",
    "rate": "date=2012-01-03 usd=1.3014 reason=old yes=1",
    "replay": "",
    "erase": "user=nobody",
    "put-back": "from=restored to=impact-State",
    "deploy": "STACK=second",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_works_and_changes_no_file(project: Path, local: dict[str, str], name: str) -> None:
    if name != "local":  # which runs already
        assert make(project, name, COMMANDS[name], **local)
    assert_unchanged(project)
