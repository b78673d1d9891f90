"""Processor time of each function's imports, beside the minimum: what it needs in any case.

`python -m benchmarks.imports`. The minimum is bare Python for the authorizer, and boto3 with a DynamoDB
client for the others. The last row is ingest without EcoLogits. Each import runs in a process of its own, in
turns, so that all meet the same conditions.
"""

import argparse
import os
import subprocess
import sys
from statistics import median

FLOOR = "import boto3; boto3.client('dynamodb')"
WITHOUT_ECOLOGITS = """
import sys, types
footprint = types.ModuleType("impact.footprint")
footprint.Footprints = lambda *_: types.SimpleNamespace(unknown_zones=list)
sys.modules["impact.footprint"] = footprint
import ingest.app
"""
ROWS = {
    "authorizer": ("import authorizer.app", "pass"),
    **{
        name: (f"import {name}.app", FLOOR)
        for name in ("ingest", "rollup", "rollup_worker", "rates", "summaries")
    },
    "ingest, EcoLogits": ("import ingest.app", WITHOUT_ECOLOGITS),
}
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": "functions:layers/callback",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "REQUEST_EVENTS_TABLE": "events",
    "DAILY_SUMMARIES_TABLE": "summaries",
    "STATE_TABLE": "state",
    "POWERTOOLS_METRICS_NAMESPACE": "ImpactService",
    # Nothing listens there: ingest tries to read the fx rates when it starts, and continues without them.
    "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
}
TIMED = "import time\nbegan = time.process_time()\n{}\nprint(time.process_time() - began, flush=True)"


def milliseconds(statement: str) -> float:
    """Time a statement in a fresh interpreter."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    return float(subprocess.check_output(command, env=ENVIRONMENT).split()[-1]) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="runs of each, of which the median is shown (7)")
    runs = parser.parse_args().runs
    print("function             import, ms   floor, ms   ratio   more, ms")
    for name, (statement, floor) in ROWS.items():
        pairs = [(milliseconds(statement), milliseconds(floor)) for _ in range(runs)]
        ours, theirs = (median(times) for times in zip(*pairs, strict=True))
        ratio = f"{median(a / b for a, b in pairs):.2f}" if floor != "pass" else "-"
        print(f"{name:19}{ours:12.0f}{theirs:12.0f}{ratio:>8}{ours - theirs:11.0f}")


if __name__ == "__main__":
    main()
