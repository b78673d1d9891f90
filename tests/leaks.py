"""No log may contain a user id, a token or a prompt: a pytest plugin that searches logs for what tests send.

It fails the test during which such a line was logged. The end of the `stack` fixture searches all
logs of the deployed functions, and the demo the logs of its own run.
"""

from collections.abc import Iterable

import pytest

PLANTED = (
    "alice",
    "u-body",
    "u-meta",
    "t0ken",
    "s3cret",
    "planted",
    "What does a forest cost",
    "Hello there friend",
)
"""Parts of the user ids, tokens and prompts that the tests send."""


def leaks(lines: Iterable[str], secrets: Iterable[str] = PLANTED) -> list[str]:
    """List the lines that contain a secret."""
    secrets = tuple(secrets)
    return [line for line in lines if any(secret in line for secret in secrets)]


def is_logged(line: str) -> bool:
    """Tell log lines of the callback and the functions from other output of tests and commands."""
    return "impact service:" in line or (line.startswith("{") and ('"level":' in line or '"_aws":' in line))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    captured = [text for when, _, text in item._report_sections if when == call.when]
    found = leaks(line for text in captured for line in text.splitlines() if is_logged(line))
    if found:
        report.outcome = "failed"
        report.longrepr = "\n".join(["A secret was logged:", *found])
    return report
