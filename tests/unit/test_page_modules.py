"""The pages' modules that need no browser, tested by Node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_the_modules_of_the_pages() -> None:
    tests = Path(__file__).parent / "page" / "modules.test.mjs"
    ran = subprocess.run(["node", "--test", str(tests)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
