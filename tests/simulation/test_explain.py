"""`impact explain` reproduces the summaries of the simulation to the last digit."""

from collections import Counter
from itertools import count

import pytest

from tests.simulation.explained import ALL
from tests.simulation.run import run


@pytest.mark.parametrize("wanted", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_summaries_are_explained_to_the_last_digit(wanted: int) -> None:
    """Other seeds than those of test_simulation, which explains its summaries too."""
    explained: Counter[str] = Counter()
    for seed in count(10_000):
        result = run(seed)
        assert not result.violation, str(result)
        explained += result.explained
        if explained[ALL] >= wanted:
            break
    few = {name: number for name, number in explained.items() if number < wanted / 20}
    assert not few, f"{few} of {explained[ALL]}"
