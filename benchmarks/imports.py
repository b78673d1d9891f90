"""How long each function takes to import, beside its floor: what it cannot do without.

`python -m benchmarks.imports`. For the authorizer the floor is bare Python; for the others, boto3 and a
DynamoDB client. Each import runs in a process of its own, in turns, so that all meet the same machine.
"""

import argparse
import os
import subprocess
import sys
from statistics import median

FLOOR = "import boto3; boto3.client('dynamodb')"
FUNCTIONS = {
    "authorizer": "pass",
    "ingest": FLOOR,
    "rollup": FLOOR,
    "rollup_worker": FLOOR,
    "summaries": FLOOR,
}
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": "functions:layers/callback",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "REQUEST_EVENTS_TABLE": "events",
    "DAILY_SUMMARIES_TABLE": "summaries",
    "STATE_TABLE": "state",
    "POWERTOOLS_METRICS_NAMESPACE": "ImpactService",
}
TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


def milliseconds(statement: str) -> float:
    """Time a statement in a fresh interpreter."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    return float(subprocess.check_output(command, env=ENVIRONMENT)) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="runs of each, of which the median is shown (7)")
    runs = parser.parse_args().runs
    print("function          import, ms   floor, ms   ratio   more, ms")
    for name, floor in FUNCTIONS.items():
        pairs = [(milliseconds(f"import {name}.app"), milliseconds(floor)) for _ in range(runs)]
        ours, theirs = (median(times) for times in zip(*pairs, strict=True))
        ratio = f"{median(a / b for a, b in pairs):.2f}" if floor != "pass" else "-"
        print(f"{name:16}{ours:12.0f}{theirs:12.0f}{ratio:>8}{ours - theirs:11.0f}")


if __name__ == "__main__":
    main()
