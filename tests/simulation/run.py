"""Run a seed, and report a violation in few lines."""

import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation.oracle import Violation
from tests.simulation.scenario import Simulation
from tests.simulation.world import Stuck

TRACE_LINES = 40
LINE_LENGTH = 160


@dataclass(frozen=True)
class Result:
    """The result of one seed."""

    seed: int
    events: int
    """Number of events in the ledger at the end."""
    explained: Counter[str] = field(default_factory=Counter)
    """Number of summaries that were explained, by what is in them."""
    violation: str = ""
    trace: str = ""

    def __str__(self) -> str:
        about = f"make simulate seed={self.seed}"
        return f"seed {self.seed}: {self.violation}\n{self.trace}\n  again: {about}"


def run(seed: int) -> Result:
    """Run one seed. Its disks are in memory if possible, because real ones would be slow."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=memory) as folder:
        simulation = Simulation(seed, Path(folder))
        try:
            simulation.run()
        except (Violation, Stuck, Exception) as failure:
            about = failure.about if isinstance(failure, Violation) else ()
            what = f"{type(failure).__name__}: {failure}"
            return Result(seed, len(simulation.oracle.stored), violation=what, trace=trace(simulation, about))
        return Result(seed, len(simulation.oracle.stored), simulation.explained)


def trace(simulation: Simulation, about: Iterable[str], lines: int = TRACE_LINES) -> str:
    """The lines of the trace that led to it: those with its words, and those about deaths and outages."""
    words = (*about, " is killed", " is down", " is up", " is full")
    start = simulation.start.timestamp()
    told = [
        f"  {(when - start) / 3600:9.4f} h  {who:<12} {what}"[:LINE_LENGTH]
        for when, who, what in simulation.world.trace
        if not about or any(word in f"{who} {what}" for word in words)
    ]
    left_out = [f"  ... {len(told) - lines} lines before"] if len(told) > lines else []
    return "\n".join([f"  {simulation}", *left_out, *told[-lines:]])


def run_all(seeds: range, jobs: int) -> Iterator[Result]:
    """Run seeds in so many processes. Yield results as they come."""
    if jobs == 1:
        yield from map(run, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(run, seeds, chunksize=20)
