"""The tool that edits the code: it runs, and the tests that it names are there."""

import os
import subprocess
import sys

import pytest

from local import PROJECT
from tests.mutations import SLOW, TESTS, edits


def test_each_module_and_each_of_its_tests_is_there() -> None:
    for module, files in TESTS.items():
        assert (PROJECT / module).is_file()
        assert [file for file in files if not (PROJECT / file.partition("::")[0]).is_file()] == []
    written = "".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    assert [name for name in SLOW if name not in written] == []


def test_an_edit_changes_what_a_module_does_and_nothing_that_it_says() -> None:
    made = edits("functions/impact/keys.py")
    assert len({edit.source for edit in made}) == len(made)
    assert "return day_shard" not in {edit.after for edit in made}
    assert {edit.before for edit in made if edit.after == "return None"} >= {"return f'{day}#{shard:02d}'"}
    assert not any("State kind" in edit.before or edit.before == "str" for edit in made)


@pytest.mark.long
def test_an_edit_is_caught() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutations", *("--number", "1", "--only", "impact/fx_rates.py")],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1].split() == ["1", "of", "1", "caught"]
