"""The simulation with many seeds; and each known defect is found."""

import os
import subprocess
import sys
import warnings

import pytest

from local import PROJECT
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import run

SEEDS = 1000
CHUNK = 25
FEW = 100
"""Seeds that `make test` runs."""
SEARCHED = 300
"""Number of seeds to try when a defect's own seed does not find it any more."""


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(first, marks=[pytest.mark.long] if first >= FEW else [])
        for first in range(0, SEEDS, CHUNK)
    ],
)
def test_nothing_is_lost_and_nothing_counted_twice(first: int) -> None:
    failed = [result for result in map(run, range(first, first + CHUNK)) if result.violation]
    assert not failed, "\n".join(map(str, failed))


@pytest.mark.parametrize("name", MUTANTS)
def test_each_defect_is_found(name: str) -> None:
    mutant = MUTANTS[name]
    with mutant.put_in():
        if run(mutant.seed).violation:
            return
        found = next((seed for seed in range(SEARCHED) if run(seed).violation), None)
    assert found is not None, f"{SEARCHED} seeds do not find that {name}"
    warnings.warn(f"{name}: found by seed {found} now, no longer by {mutant.seed}", stacklevel=1)


@pytest.mark.long
def test_a_seed_decides_everything() -> None:
    """In every process, whatever the iteration order of its sets."""
    traces = {
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "23"],
            cwd=PROJECT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(traces) == 1
