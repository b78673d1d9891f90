"""A sustained load on the stack on this machine, with a burst of ten times as much in each minute.

`python -m benchmarks.load`, or `make load`. Four senders, each with the callback's own outbox and sender,
post to the API of the stack on MiniStack, all on loopback. At the end every event must be in the ledger once,
and every POST must have had a response: 200, or 503 with Retry-After. Then it prints whether MiniStack or our
code is the limit. The exit code is 1 if anything is wrong.
"""

import argparse
import os
import sys

from benchmarks.ingest import run as ingest
from benchmarks.load.process_usage import EMULATOR, SENDER
from benchmarks.load.run import SENDERS, Outcome, run
from benchmarks.load.sender import BURST_EVERY_SECONDS, BURST_FACTOR, BURST_SECONDS, Load
from local.stack import running_stack

SHOWN = (0.1, 0.25, 0.5, 0.75, 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=300, help="how long (300)")
    parser.add_argument("--rate", type=float, default=20, help="events a second, outside bursts (20)")
    options = parser.parse_args()
    print(f"Before it, the machine's load was {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors.")
    with running_stack(progress=lambda step: print(step, flush=True)) as stack:
        print(f"{options.rate:.0f} events a second for {options.seconds:.0f} s from {SENDERS} senders,")
        print(
            f"{BURST_FACTOR} times that for {BURST_SECONDS:.0f} s of each {BURST_EVERY_SECONDS:.0f}",
            flush=True,
        )
        outcome = run(stack, Load(options.rate, options.seconds), lambda line: print(line, flush=True))
    _report(outcome)
    _limit(outcome)
    print(f"\n{'All events are stored, once.' if outcome.is_good else 'NOT as it should be.'}")
    return 0 if outcome.is_good else 1


def _report(outcome: Outcome) -> None:
    print(f"\nevents sent {outcome.events}, stored {outcome.stored}, rejected {outcome.rejected}")
    print(f"in {outcome.seconds:.0f} s: {outcome.events / outcome.seconds:.0f} events a second")
    print(f"responses {dict(outcome.statuses)}, invalid {len(outcome.wrong)}, none {len(outcome.unanswered)}")
    odd = sorted({*outcome.wrong, *outcome.unanswered})[:10]
    print(*odd, sep="\n", end="\n" if odd else "")
    each = outcome.events / len(outcome.posts)
    print(f"a POST of {each:.0f} events on average: p50 {outcome.percentile(0.5) * 1000:.0f} ms,", end=" ")
    print(f"p99 {outcome.percentile(0.99) * 1000:.0f} ms, longest {outcome.posts[-1] * 1000:.0f} ms")
    if any(outcome.megabytes):
        print("\nmemory, MB, of the largest process, after" + "".join(f"{share:8.0%}" for share in SHOWN))
        for kind in (SENDER, "Ingest", "Authorizer", EMULATOR):
            print(f"{kind:>40}" + "".join(f"{outcome.memory(kind, share):8.0f}" for share in SHOWN))


def _limit(outcome: Outcome) -> None:
    """Print where the processor time went, and how much our own code needs when it is measured alone."""
    if not outcome.spent:
        return
    total = sum(outcome.spent.values())
    print("\nprocessor time                 ms an event   share")
    for kind, seconds in sorted(outcome.spent.items(), key=lambda item: -item[1]):
        print(f"{kind:>30}{1000 * seconds / outcome.events:12.2f}{seconds / total:8.0%}")
    alone = ingest()["with"]
    print(f"{'Ingest, storage taking no time':>30}{alone:12.2f}", end="")
    print(f"\n\nMiniStack is one process, so the limit here: {_most(outcome, EMULATOR)} events a second.")
    print(f"A process of ingest takes {_most(outcome, 'Ingest')}; Lambda runs as many as are needed.")


def _most(outcome: Outcome, kind: str) -> str:
    """The events a second for which a kind of process has processor time, with a processor of its own."""
    return f"{outcome.events / outcome.spent.get(kind, 0):.0f}" if outcome.spent.get(kind) else "unknown"


if __name__ == "__main__":
    sys.exit(main())
