"""Search all states of the model for one that violates a claim: S1, S2, S3 or L (docs/finality.md)."""

from collections import deque
from typing import NamedTuple

from tests.model.states import ABSENT, Protocol, Scenario, State
from tests.model.transitions import Model

Parents = dict[State, tuple[State, str] | None]


class Found(NamedTuple):
    states: int
    claim: str | None
    """The violated claim, if any."""
    trace: list[str]
    """The shortest sequence of steps to the violation."""
    steps: int = 0
    """Maximum number of requests, in any order, until the mark is cleared, without events and failures."""


def explore(protocol: Protocol, scenario: Scenario) -> Found:
    """Search breadth first: so the first violation has the shortest trace."""
    model = Model(protocol, scenario)
    start = canonical(model.start())
    parents: Parents = {start: None}
    queue = deque([start])
    marked: dict[State, list[State]] = {}
    while queue:
        state = queue.popleft()
        quiet = []
        for name, successor, is_quiet in model.steps(state):
            after = canonical(successor)
            if after not in parents:
                parents[after] = (state, name)
                queue.append(after)
            if is_quiet and after.stands:
                quiet.append(after)
            if claim := broken(scenario, state, after):
                return Found(len(parents), claim, [*trace(parents, state), name])
        if state.stands:
            marked[state] = quiet
    return liveness(marked, parents)


def canonical(state: State) -> State:
    return state._replace(counts=tuple(sorted(state.counts)))


def trace(parents: Parents, state: State) -> list[str]:
    names, here = list[str](), parents[state]
    while here:
        names.append(here[1])
        here = parents[here[0]]
    return names[::-1]


def broken(scenario: Scenario, before: State, after: State) -> str | None:
    """Name the claim that a step violates."""
    summarised = sum(content for _, content in after.summaries)
    if (
        after.counted
        and not after.stands
        and after.acknowledged & after.ledger & ~(summarised & after.total[1])
    ):
        return "S1"
    for (_, old), (_, new) in zip(before.summaries, after.summaries, strict=True):
        if old & ~new & ~after.deleted:
            return "S2"
    late_ended = scenario.late_writes_outlive or not (after.late and after.late.old)
    if after.fresh and late_ended and not any(count.old for count in after.counts):
        empty = any(revision != ABSENT and not content for revision, content in after.summaries)
        if empty or (summarised | after.total[1]) & ~after.ledger:
            return "S3"
    return None


def liveness(marked: dict[State, list[State]], parents: Parents) -> Found:
    """Check claim L: while the mark stands, no sequence of requests alone is endless, so the mark is cleared.

    In each such state a count can take a step, so a sequence ends only by clearing the mark.
    """
    before: dict[State, int] = dict.fromkeys(marked, 0)
    for successors in marked.values():
        for after in successors:
            before[after] += 1
    steps = dict.fromkeys((state for state, number in before.items() if not number), 1)
    ready = deque(steps)
    while ready:
        state = ready.popleft()
        for after in marked[state]:
            steps[after] = max(steps.get(after, 0), steps[state] + 1)
            before[after] -= 1
            if not before[after]:
                ready.append(after)
    circle = next((state for state, number in before.items() if number), None)
    if circle:
        return Found(len(parents), "L", [*trace(parents, circle), "... and so on, for ever"])
    return Found(len(parents), None, [], max(steps.values(), default=0))
