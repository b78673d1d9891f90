"""`make bench`: run every benchmark, one after the other. `--smallest` only shows that each works."""

import argparse
import subprocess
import sys

SMALLEST = {
    "imports": ("--runs=1",),
    "mcp_imports": ("--runs=1",),
    "ingest": ("--runs=1",),
    "reading": ("--shards", "16", "--days=3", "--users=20"),
    "rollup": ("--pairs=1", "--largest=10000"),
    "callback": ("--rounds=2", "--seconds=0.5"),
    "senders": ("--scenarios=1", "--seconds=1"),
    "outbox": ("--events=10000",),
    "cost": (),
    "export": ("--events=5000", "--only", "csv --events", "parquet", "focus"),
    "breakdown": ("--events=240", "--summed=2500", "--distinct=10"),
    "page": ("--users", "20", "--days=4", "--runs=1"),
    "units": ("--shards", "2", "--users=20"),
}
"""For each benchmark, options that make it quick. Its results mean nothing then."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--smallest", action="store_true", help="four minutes in all")
    smallest = parser.parse_args().smallest
    for name, options in SMALLEST.items():
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *(options if smallest else ())]
        if code := subprocess.run(command, check=False).returncode:
            print(f"\nbenchmarks.{name} failed", file=sys.stderr)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
