"""Events a second and peak memory of `impact export`, and whether a second file is the same as the first.

The command runs as a process of its own; another one imitates a stack on loopback. The events are in one
partition of the ledger, the summaries on one day, so that nothing can be freed between two steps.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DAY = "2026-11-23"
IMPACT = (sys.executable, "-c", "import sys; from impact_cli.main import main; sys.exit(main())")
ENVIRONMENT = os.environ | {
    "PYTHONPATH": "cli:functions:layers/callback:.",
    **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "IMPACT_READ_TOKEN"), "x"),
    "AWS_REGION": "eu-central-1",
}
EXPORTS = {
    "csv --events": ("csv", "--events"),
    "jsonl --events": ("jsonl", "--events"),
    "parquet --events": ("parquet", "--events"),
    "csv": ("csv",),
    "jsonl": ("jsonl",),
    "parquet": ("parquet",),
    "focus": ("focus",),
}
USERS_SHARE = 10
"""One summary for so many events."""
GROWTH_MAX = 1.2
"""More memory than this for ten times the rows is growth. What malloc keeps differs between runs."""
JUDGED_ROWS = 10_000
"""Fewer rows may all be in a buffer: their memory says nothing."""


@dataclass(frozen=True)
class Export:
    """What an export took, and a digest of what it wrote."""

    seconds: float
    processor_seconds: float
    peak_mb: float
    bytes: int
    digest: str


@contextmanager
def stack(events: int) -> Iterator[str]:
    """Serve so many events, and a tenth as many summaries. Yields the URL."""
    command = [sys.executable, "-m", "benchmarks.export.stack_stub", str(events), str(events // USERS_SHARE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as served:
        assert served.stdout
        try:
            yield f"http://127.0.0.1:{served.stdout.readline().strip()}"
        finally:
            served.terminate()


def export(url: str, options: tuple[str, ...], output: Path) -> Export:
    days = ("--since", DAY, "--until", DAY, "--output", str(output))
    environment = ENVIRONMENT | {
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_ENDPOINT_URL_STS": url,
        "IMPACT_SERVICE_URL": url,
    }
    began = time.perf_counter()
    process = subprocess.Popen([*IMPACT, "export", *options, *days], env=environment, stderr=subprocess.PIPE)
    assert process.stderr
    with process.stderr as errors:
        said = errors.read()
    _, status, used = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"impact export {' '.join(options)} failed ({code}): {said.decode()}")
    seconds = time.perf_counter() - began
    size, digest = contents(output)
    # Its parent has less memory: what Linux reports is of the exporter.
    return Export(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, size, digest)


def contents(output: Path) -> tuple[int, str]:
    """The size and a digest of a file, or of all files of a folder, with their names."""
    paths = sorted(path for path in output.rglob("*") if path.is_file()) if output.is_dir() else [output]
    size, digest = 0, hashlib.sha256()
    for path in paths:
        size += path.stat().st_size
        digest.update(str(path.relative_to(output.parent)).encode())
        with path.open("rb") as file:
            while part := file.read(2**20):
                digest.update(part)
    return size, digest.hexdigest()


def twice(url: str, options: tuple[str, ...]) -> tuple[Export, bool]:
    """Export two times. Returns what the first one took, and whether both wrote the same."""
    exports = []
    for _ in range(2):
        with tempfile.TemporaryDirectory(prefix="export-") as folder:
            exports.append(export(url, options, Path(folder) / "export"))
    return exports[0], exports[0].digest == exports[1].digest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="of the largest export (1,000,000)")
    parser.add_argument("--only", choices=EXPORTS, nargs="+", default=list(EXPORTS), help="these exports")
    options = parser.parse_args()
    print(f"{'':18}     rows   rows/s   rows/s of a core   size, MB   peak memory, MB   same file twice")
    failed = False
    for name in options.only:
        peaks = []  # in MB
        for events in (options.events // 10, options.events):
            rows = events if "--events" in EXPORTS[name] else events // USERS_SHARE
            with stack(events) as url:
                took, is_same = twice(url, EXPORTS[name])
            if rows >= JUDGED_ROWS:
                peaks.append(took.peak_mb)
            print(
                f"{name:18}{rows:9,}{rows / took.seconds:9,.0f}{rows / took.processor_seconds:19,.0f}"
                f"{took.bytes / 1e6:11,.1f}{took.peak_mb:18,.0f}   {'yes' if is_same else 'NO'}",
                flush=True,
            )
            failed |= not is_same
        if peaks and peaks[-1] > GROWTH_MAX * peaks[0]:
            print(f"{name}: its memory grows", flush=True)
            failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main())
