"""Events a second and core of the rollup, beside a plain boto3 loop; memory by size of a shard."""

import argparse
import json
import os
import subprocess
import sys
from statistics import median
from typing import Any

ENVIRONMENT = os.environ | {"PYTHONPATH": "functions:layers/callback:."}


def run(how: str, events: int) -> dict[str, Any]:
    """Recompute a shard of so many events in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.rollup.dynamodb_stub", str(events)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as wire:
        assert wire.stdout
        port = wire.stdout.readline().strip()
        try:
            count = [sys.executable, "-m", "benchmarks.rollup.recompute", how, port]
            result: dict[str, Any] = json.loads(subprocess.check_output(count, text=True, env=ENVIRONMENT))
        finally:
            wire.terminate()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollup", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="paired runs of 50,000 events (5)")
    parser.add_argument("--largest", type=int, default=1_000_000, help="events of the largest shard")
    options = parser.parse_args()

    ratios = []
    print("events of a shard   ours, events/s a core   boto3 resource   ratio")
    for _ in range(options.pairs):
        fast, plain = (rate(run(how, 50_000)) for how in ("ours", "resource"))
        ratios.append(fast / plain)
        print(f"{50_000:17,}{fast:24,.0f}{plain:17,.0f}{fast / plain:8.1f}", flush=True)
    print(f"median ratio: {median(ratios):.1f}\n")

    print("events of a shard   seconds of processor   peak memory, MB")
    size = 10_000
    while size <= options.largest:
        result = run("ours", size)
        print(f"{result['events']:17,}{result['seconds']:23.1f}{result['peak_mb']:18.1f}", flush=True)
        size *= 10


def rate(result: dict[str, Any]) -> float:
    return float(result["events"] / result["seconds"])


if __name__ == "__main__":
    main()
