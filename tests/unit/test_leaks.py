"""The search for secrets in logs finds them: in what a function logs, and in what the callback does."""

import subprocess
import sys
from pathlib import Path

import pytest

from local import PROJECT

LOGGING = """
import logging
import pytest
from aws_lambda_powertools import Logger, Metrics

logger, metrics = Logger(service="x"), Metrics(namespace="x", service="x")
callback = logging.getLogger("request_events")

def test_a_function_logs():
    logger.info("took an event", user="{0}")

def test_a_function_fails():
    logger.exception("failed", exc_info=ValueError("of {0}"))

def test_a_metric():
    metrics.add_dimension("user", "{0}")
    metrics.add_metric("Accepted", "Count", 1)
    metrics.flush_metrics()

def test_the_callback_warns():
    callback.warning("impact service: cannot send %s", "{0}")

@pytest.fixture
def ending():
    yield
    logger.info("{0}")

def test_ends(ending):
    print("alice  5 requests")  # a result, not a log
"""


@pytest.mark.parametrize(
    ("logged", "outcome"), [("alice", "4 failed, 1 passed, 1 error in"), ("somebody", "5 passed in")]
)
def test_just_a_test_in_which_a_secret_is_logged_fails(tmp_path: Path, logged: str, outcome: str) -> None:
    (tmp_path / "test_logging.py").write_text(LOGGING.format(logged))
    command = [sys.executable, "-m", "pytest", "-p", "tests.leaks", "-p", "no:cacheprovider"]
    environment = {"PYTHONPATH": str(PROJECT)}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert outcome in ran.stdout, ran.stdout + ran.stderr
