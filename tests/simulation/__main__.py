"""`make simulate seeds=100000`: run many seeds. `--seed N`: run one, and print all that happened."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import tests.conftest  # noqa: F401  # the functions read their environment when they are imported
from tests.simulation.explained import ALL
from tests.simulation.mutants import MUTANTS
from tests.simulation.oracle import Violation
from tests.simulation.run import Result, run, run_all, trace
from tests.simulation.scenario import Simulation

SHOWN_MAX = 3


def main() -> int:
    arguments = _arguments()
    if arguments.seed is not None:
        return _one(arguments.seed)
    if arguments.mutants:
        return _mutants(arguments.seeds)
    return _many(range(arguments.first, arguments.first + arguments.seeds), arguments.jobs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--first", type=int, default=0, help="the first one (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one a processor)")
    parser.add_argument("--seed", type=int, help="run this one alone, and show its whole trace")
    parser.add_argument(
        "--mutants", action="store_true", help="find each defect of mutants.py, and by which seed"
    )
    return parser.parse_args()


def _one(seed: int) -> int:
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        simulation = Simulation(seed, Path(folder))
        try:
            simulation.run()
            what = ""
        except (Violation, Exception) as failure:
            what = f"{type(failure).__name__}: {failure}"
        print(trace(simulation, (), lines=100_000))
        print(f"seed {seed}: {what or 'nothing is wrong'}")
        return 1 if what else 0


def _many(seeds: range, jobs: int) -> int:
    start, done, events, summaries = time.monotonic(), 0, 0, 0
    failed: list[Result] = []
    for result in run_all(seeds, jobs):
        done, events = done + 1, events + result.events
        summaries += result.explained[ALL]
        if result.violation:
            failed.append(result)
            if len(failed) <= SHOWN_MAX:
                print(f"\n{result}", flush=True)
        if sys.stderr.isatty() and done % 20 == 0:
            rate = done / (time.monotonic() - start)
            print(f"\r{done} of {len(seeds)} seeds, {rate:.0f} a second", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    seconds = time.monotonic() - start
    print(
        f"{done} seeds from {seeds.start} on, {events} events, {summaries} summaries explained,"
        f" {seconds:.0f} s: ",
        end="",
    )
    print(
        f"{len(failed)} failed: {sorted(result.seed for result in failed)[:50]}"
        if failed
        else "nothing is wrong"
    )
    return 1 if failed else 0


def _mutants(seeds: int) -> int:
    """Try seeds for each defect until one finds it."""
    missed = 0
    for name, mutant in MUTANTS.items():
        with mutant.put_in():
            found = next((result for result in map(run, range(seeds)) if result.violation), None)
        missed += found is None
        told = f"seed {found.seed:>4}  {found.violation[:100]}" if found else f"not found by {seeds} seeds"
        print(f"{name:<60} {told}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
