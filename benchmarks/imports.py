"""Processor time of each function's imports from the zip that `make build` made, beside the minimum.

`python -m benchmarks.imports`. The minimum is what a function needs in any case: bare Python for the
authorizer, and botocore with a DynamoDB client for the others. The last row is ingest without EcoLogits. Each
import runs in a process of its own, in turns, so that all meet the same conditions. The files are of 1980, as
in the zip: so bytecode counts only if Lambda uses it too.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from local import PROJECT

BUILT = PROJECT / ".aws-sam" / "build" / "IngestFunction"  # all functions have the same zip
IN_A_ZIP = datetime(1980, 1, 1, tzinfo=UTC).timestamp()
FLOOR = "import botocore.session; botocore.session.get_session().create_client('dynamodb')"
WITHOUT_ECOLOGITS = """
import sys, types
footprint = types.ModuleType("impact.footprint")
footprint.Footprints = lambda *_: types.SimpleNamespace(unknown_zones=list)
sys.modules["impact.footprint"] = footprint
import ingest.app
"""
ROWS = {
    "authorizer": ("import authorizer.app", "pass"),
    "page": ("import page.app", "pass"),
    **{
        name: (f"import {name}.app", FLOOR)
        for name in (
            *("ingest", "rollup", "rollup_worker", "rates", "summaries", "mcp_server"),
            "person_authorizer",
        )
    },
    "ingest, EcoLogits": ("import ingest.app", WITHOUT_ECOLOGITS),
}
ENVIRONMENT = {
    **os.environ,
    "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's folder is read-only
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


def python_of_the_functions() -> str | None:
    """Ask functions/Makefile which Python of their version is on this machine."""
    command = ["make", "--silent", "--file=functions/Makefile", "python"]
    return subprocess.check_output(command, cwd=PROJECT, text=True).strip() or None


def unpack(folder: Path) -> None:
    shutil.copytree(BUILT, folder)
    for path in folder.rglob("*"):
        os.utime(path, (IN_A_ZIP, IN_A_ZIP))


def runs_here(python: str, folder: Path) -> bool:
    """Tell whether the zip's compiled packages can be imported: on Linux only."""
    command = [python, "-c", "import pydantic_core"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def milliseconds(python: str, folder: Path, statement: str) -> float:
    """Time a statement in a fresh interpreter."""
    command = [python, "-c", TIMED.format(statement)]
    return float(subprocess.check_output(command, cwd=folder, env=ENVIRONMENT).split()[-1]) * 1000


def measure(python: str, folder: Path, runs: int) -> None:
    print("function             import, ms   floor, ms   ratio   more, ms")
    for name, (statement, floor) in ROWS.items():
        pairs = [
            (milliseconds(python, folder, statement), milliseconds(python, folder, floor))
            for _ in range(runs)
        ]
        ours, theirs = (median(times) for times in zip(*pairs, strict=True))
        ratio = f"{median(a / b for a, b in pairs):.2f}" if floor != "pass" else "-"
        print(f"{name:19}{ours:12.0f}{theirs:12.0f}{ratio:>8}{ours - theirs:11.0f}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="runs of each, of which the median is shown (7)")
    runs = parser.parse_args().runs
    if not BUILT.is_dir():
        print(f"There is no {BUILT.relative_to(PROJECT)}: run `make build` first.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "zip"
        unpack(folder)
        python = python_of_the_functions()
        if python and runs_here(python, folder):
            measure(python, folder, runs)
        else:
            print("Not measured: the zip runs on Linux with the functions' own Python (template.yaml).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
