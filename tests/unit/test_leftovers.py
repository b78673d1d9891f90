"""A test that leaves something behind fails by itself, and what it has left is named."""

import subprocess
import sys
from xml.etree import ElementTree

import pytest

from local import PROJECT

HEAD = """
import os, random, signal, socket, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import pytest
import local.process

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
ORPHAN = [sys.executable, "-c", f"import subprocess; subprocess.Popen({SLEEP!r})"]
"""
NEXT = """

def test_the_next_one_is_well():
    assert os.getpid.__name__ == "getpid"
    assert local.process.stop.__module__ == "local.process"
    assert "LEFT" not in os.environ
"""

LEFT = {
    "a thread": (
        "threading.Thread(target=time.sleep, args=(600,), name='worker', daemon=True).start()",
        "worker",
    ),
    "a server": (
        "threading.Thread(target=ThreadingHTTPServer(('127.0.0.1', 0), BaseHTTPRequestHandler).serve_forever,"
        " daemon=True, name='server').start()",
        "the thread server",
    ),
    "a process": ("subprocess.Popen(SLEEP)", "time.sleep(600)"),
    "a process of a process": ("subprocess.run(ORPHAN)", "time.sleep(600)"),
    "an open file": ("globals().update(kept=open(__file__))", "test_it.py"),
    "a pipe": ("os.pipe()", "the open file pipe:"),
    "a socket that listens": (
        "globals().update(kept=socket.create_server(('127.0.0.1', 0)))",
        "the open file socket",
    ),
    "a patched os": ("os.getpid = lambda: 0", "os.getpid is not what it was"),
    "a patched module": ("local.process.stop = print", "local.process.stop is not what it was"),
    "a variable": ("os.environ['LEFT'] = '1'", "the environment variable LEFT is not what it was"),
    "a handler": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "the handler of SIGTERM is not what it was",
    ),
    "a folder": ("os.chdir('/')", "the working directory is not"),
}
GONE = {
    "a thread that ends": "threading.Thread(target=time.sleep, args=(0.2,)).start()",
    "a process that ends": "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(0.2)'])",
    "garbage": "open(__file__)",
}


FIXTURES = """
@pytest.fixture(scope="module")
def tidy():
    started = subprocess.Popen(SLEEP)
    yield started
    started.kill()
    started.wait()

@pytest.fixture(scope="module")
def untidy():
    yield subprocess.Popen(SLEEP)

def test_a_fixture(tidy, untidy):
    assert tidy.poll() is None

def test_it_is_still_there(tidy, untidy):
    assert tidy.poll() is None
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run a test for each case above, in a process of its own; return what pytest says of each."""
    folder = tmp_path_factory.mktemp("tests")
    cases = [statement for statement, _ in LEFT.values()] + list(GONE.values())
    tests = "".join(f"def test_{number}():\n    {statement}\n\n" for number, statement in enumerate(cases))
    (folder / "test_it.py").write_text(HEAD + tests + NEXT + FIXTURES)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.leftovers",
        "-p",
        "no:cacheprovider",
        "--junitxml=xml",
    ]
    ignored = ["-W", "ignore::ResourceWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
    environment = {"PYTHONPATH": str(PROJECT), "LEFTOVERS_GRACE_SECONDS": "0.5"}
    subprocess.run([*command, *ignored], cwd=folder, env=environment, capture_output=True, check=False)
    reported = ElementTree.parse(folder / "xml").iter("testcase")
    return {str(case.get("name")): "".join(str(part.text) for part in case) for case in reported}


@pytest.mark.parametrize("what", LEFT)
def test_a_test_that_leaves_something_fails_and_says_what(outcomes: dict[str, str], what: str) -> None:
    number, (_, named) = list(LEFT).index(what), LEFT[what]
    said = outcomes[f"test_{number}"]
    assert f"test_it.py::test_{number} has left something behind:" in said
    assert named in said


@pytest.mark.parametrize("what", GONE)
def test_what_ends_by_itself_is_not_left(outcomes: dict[str, str], what: str) -> None:
    assert outcomes[f"test_{len(LEFT) + list(GONE).index(what)}"] == ""


def test_what_a_fixture_has_must_be_gone_when_the_fixture_ends(outcomes: dict[str, str]) -> None:
    assert outcomes["test_a_fixture"] == ""
    said = outcomes["test_it_is_still_there"]  # the last test that uses them
    assert "The fixture untidy has left something behind:" in said
    assert "The fixture tidy" not in said


def test_the_next_test_is_not_harmed(outcomes: dict[str, str]) -> None:
    assert outcomes["test_the_next_one_is_well"] == ""
