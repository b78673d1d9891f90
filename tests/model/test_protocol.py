"""The protocol keeps its claims in every order of requests; and each of its conditions is needed."""

from dataclasses import replace

import pytest

from tests.model.explore import explore
from tests.model.states import COUNT, Protocol, Scenario

AGAIN = Protocol(total_conflict="again")
ON_TIME_AND_LATE = Scenario(events=((0, False), (1, True)), second_tries=0)
ONE_USER = replace(ON_TIME_AND_LATE, events=((0, False), (0, True)))
BOTH_LATE = replace(ON_TIME_AND_LATE, events=((0, True), (1, True)))
DELETED = Scenario(events=((0, False),), deletions=1, second_tries=0)


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(ON_TIME_AND_LATE, id="on time and late"),
        pytest.param(ONE_USER, id="one user"),
        pytest.param(DELETED, id="deleted by hand"),
        pytest.param(replace(DELETED, late_writes=True), id="deleted by hand, late writes"),
        pytest.param(Scenario(), id="three events", marks=pytest.mark.long),
        pytest.param(replace(ON_TIME_AND_LATE, late_writes=True), id="late writes", marks=pytest.mark.long),
        pytest.param(replace(ON_TIME_AND_LATE, deletions=1), id="late, deleted", marks=pytest.mark.long),
    ],
)
def test_every_claim_holds(scenario: Scenario) -> None:
    found = explore(AGAIN, scenario)
    assert found.claim is None, "\n".join(found.trace)
    assert found.states > 1000


@pytest.mark.parametrize(
    ("scenario", "claim"),
    [
        pytest.param(replace(DELETED, late_writes=True, late_writes_outlive=True), "S3", id="late write"),
        pytest.param(replace(DELETED, index_lags=True), "S3", id="index lags"),
        pytest.param(
            Scenario(events=((0, True),), deletions=1, deleted_come_again=True),
            "S1",
            id="deleted, comes again",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_is_not_claimed(scenario: Scenario, claim: str) -> None:
    """Limits after a deletion by hand, known and told of."""
    assert explore(AGAIN, scenario).claim == claim


def moved(request: str, *, behind: str) -> tuple[str, ...]:
    others = [other for other in COUNT if other != request]
    at = others.index(behind) + 1
    return (*others[:at], request, *others[at:])


SUMMARIES_LAST = (*COUNT[:2], *COUNT[4:6], *COUNT[2:4], *COUNT[6:])


@pytest.mark.parametrize(
    ("variant", "scenario", "claim"),
    [
        (replace(AGAIN, count=moved("read mark", behind="read page 1")), ON_TIME_AND_LATE, "S1"),
        (replace(AGAIN, count=moved("read total", behind="read page 1")), ON_TIME_AND_LATE, "S1"),
        (replace(AGAIN, count=SUMMARIES_LAST), ONE_USER, "S2"),
        (replace(AGAIN, count=moved("clear mark", behind="write summary 1")), ON_TIME_AND_LATE, "S1"),
        (replace(AGAIN, summary_condition="none"), ONE_USER, "S2"),
        (replace(AGAIN, total_condition=False), ON_TIME_AND_LATE, "S1"),
        (replace(AGAIN, total_conflict="finish"), ON_TIME_AND_LATE, "S1"),
        (replace(AGAIN, clear_condition=False), ON_TIME_AND_LATE, "S1"),
        (replace(AGAIN, mark_begins_anew=True), replace(BOTH_LATE, late_writes=True, counts=1), "S1"),
        (replace(AGAIN, stale_pages=True), ON_TIME_AND_LATE, "S1"),
        (replace(AGAIN, ingest=("mark", "put", "ack")), ON_TIME_AND_LATE, "S1"),
        (replace(AGAIN, ingest=("put", "ack", "mark")), ON_TIME_AND_LATE, "S1"),
        (replace(AGAIN, total_conflict="compare"), DELETED, "S3"),
    ],
)
def test_each_condition_is_needed(variant: Protocol, scenario: Scenario, claim: str) -> None:
    assert explore(variant, scenario).claim == claim
