"""The judge of the crashes: what it lets pass, and what it never does."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.crashes.clients import BOTH, FAILURE, SUCCESS, Answered
from tests.crashes.oracle import QUEUE_SECONDS, READ_SECONDS, Hooks, Verdict, judge

KILL = 1000.0
STEPS = ("called", "kept")


def item(user: str, status: str = SUCCESS) -> dict[str, Any]:
    return {"userId": user, "status": status}


def served(user: str, status: int = 200) -> dict[str, Any]:
    return {"call": user, "status": status}


def judged(
    folder: Path, journal: list[tuple[str, str, str]], ledger: list[Any], *answered: Answered
) -> Verdict:
    """The verdict on one process that was killed; providers have served `a` and `b`, each also in vain."""
    lines = [json.dumps({"step": step, "user": u, "status": s, "at": KILL - 1}) for step, u, s in journal]
    (folder / "7.jsonl").write_text("".join(line + "\n" for line in lines))
    everything = [served(user, status) for user in "ab" for status in (200, 500)]
    return judge(answered, [KILL], Hooks.read(folder), everything, ledger)


def steps(*events: tuple[str, str]) -> list[tuple[str, str, str]]:
    return [(step, *event) for event in events for step in STEPS]


def test_all_is_well(tmp_path: Path) -> None:
    events = [("a", FAILURE), ("a", SUCCESS), ("b", SUCCESS)]
    ledger = [item(*event) for event in events]
    answered = (Answered("a", BOTH, KILL - 1), Answered("b", (SUCCESS,), KILL - 100))
    assert judged(tmp_path, steps(*events), ledger, *answered) == Verdict()


@pytest.mark.parametrize("at", [KILL - 0.1, KILL + 0.1], ids=["read before it", "read after it"])
def test_a_request_that_was_answered_and_never_called_is_lost_with_the_queue(
    tmp_path: Path, at: float
) -> None:
    verdict = judged(tmp_path, [], [], Answered("a", (SUCCESS,), at))
    assert verdict == Verdict([], {("a", SUCCESS)})


def test_so_is_one_that_the_kill_cut_within_the_call(tmp_path: Path) -> None:
    journal = [*steps(("b", SUCCESS)), ("called", "a", SUCCESS)]
    verdict = judged(tmp_path, journal, [item("b")], Answered("a", (SUCCESS,), KILL - 0.1))
    assert verdict == Verdict([], {("a", SUCCESS)})


@pytest.mark.parametrize(
    ("journal", "ledger", "answered", "problem"),
    [
        ([], [], [Answered("a", (SUCCESS,), KILL - QUEUE_SECONDS - 1)], "just before a kill"),
        ([], [], [Answered("a", (SUCCESS,), KILL + READ_SECONDS + 1)], "just before a kill"),
        ([], [], [Answered("a", (FAILURE,), KILL - 0.1)], "before it answers"),
        ([], [item("a")], [Answered("a", BOTH, KILL - 0.1)], "before it answers"),
        (steps(("a", SUCCESS)), [], [], "the callback was called"),
        ([("called", "a", SUCCESS), *steps(("b", SUCCESS))], [item("b")], [], "the callback was called"),
        (steps(("a", SUCCESS)), [item("a"), item("a")], [], "2 times in the ledger"),
        (steps(("a", SUCCESS)) * 2, [item("a")], [], "called for it twice"),
        ([], [item("c")], [], "no provider has served it"),
    ],
    ids=[
        "answered long before",
        "answered after",
        "a failure",
        "the failure before a success",
        "kept",
        "called, and the process went on",
        "doubled",
        "called for twice",
        "invented",
    ],
)
def test_all_else_is_a_problem(
    tmp_path: Path,
    journal: list[tuple[str, str, str]],
    ledger: list[Any],
    answered: list[Answered],
    problem: str,
) -> None:
    verdict = judged(tmp_path, journal, ledger, *answered)
    assert [problem in each for each in verdict.problems].count(True) >= 1, verdict
