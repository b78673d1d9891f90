"""Figures of a run, for `make fuzz`."""

import os
from collections import Counter

import pytest

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "1"))
"""Each is a seed of its own; the tests take one, `make fuzz` more."""

_counted = pytest.StashKey[dict[str, Counter[str]]]()


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Counter[str]:
    """Where a test counts what it sent and saw; over all rounds it is shown in the end of a run."""
    figures = request.config.stash.setdefault(_counted, {})
    name = request.node.originalname
    return figures.setdefault(name, Counter())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, counts in config.stash.get(_counted, {}).items():
        if ROUNDS > 1:
            told = ", ".join(f"{count:,} {what}" for what, count in counts.most_common())
            terminalreporter.write_line(f"{name}: {told}")
