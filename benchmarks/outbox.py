"""The end of a long outage: a million events wait on disk, and a new process delivers them.

`python -m benchmarks.outbox` (minutes). Each part is a process of its own, to measure its memory. The ingest,
on loopback, accepts every batch at once. During the delivery, the process also accepts new events.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks.callback.proxy import ROOT, received, server

PAYLOAD = ROOT / "tests/unit/callback/payloads/claude_chat_async_success.json"
ENVIRONMENT = os.environ | {"PYTHONPATH": f"layers/callback:{ROOT}"}
PAUSE_SECONDS = 0.002


def events(name: str) -> Iterator[bytes]:
    """Yield events without end, as the callback writes them."""
    from request_events.capture import capture, encode

    event = capture(json.loads(PAYLOAD.read_text())["kwargs"]) or {}
    number = 0
    while True:
        yield encode(event | {"eventId": f"{name}-0000-4480-a15e-{number:012d}:success"})
        number += 1


def memory() -> int:
    """Peak memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fill(folder: Path, count: int) -> dict[str, Any]:
    """Append so many events, as in an outage, in which the sender begins a new segment now and then."""
    from request_events.outbox import Outbox
    from request_events.segment import SEGMENT_BYTES

    outbox = Outbox(folder)
    before, times = memory(), []
    for _, line in zip(range(count), events("waiting"), strict=False):
        start = time.perf_counter()
        outbox.append(line)
        times.append(time.perf_counter() - start)
        if len(times) == 10_000:
            cuts = quantiles(times, n=100)
            times = times[:0]
        if outbox.size >= SEGMENT_BYTES:
            outbox.seal()
    grown = memory() - before
    scans = [seconds(outbox.measure) for _ in range(100)]
    stats = outbox.measure()
    outbox.close()
    return {
        "append": [cuts[49], cuts[98]],
        "memory": grown,
        "files": len(list(folder.glob("*.jsonl"))),
        "bytes": stats.bytes,
        "told": stats.events,
        "scan": max(scans),
        "later scan": scans[-1],
    }


def seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def resume(folder: Path, url: str) -> dict[str, Any]:
    """Deliver the waiting events, and new ones."""
    began = time.monotonic()
    from request_events.outbox import Outbox
    from request_events.sender import Sender

    outbox = Outbox(folder)
    sender = Sender(outbox, url, "benchmark")
    before, sent, sends = memory(), 0, []
    waiting = outbox.measure().events
    sender.start()
    first = 0.0
    for line in events("meanwhile"):
        sends.append(seconds(lambda line=line: sender.send(line)))
        sent += 1
        delivered = sender._reporter._delivered
        first = first or (time.monotonic() - began if delivered else 0.0)
        if delivered >= waiting:
            break
        time.sleep(PAUSE_SECONDS)
    took = time.monotonic() - began
    sender.close(60)
    cuts = quantiles(sends, n=100)
    return {
        "first": first,
        "rate": sender._reporter._delivered / took,
        "memory": memory() - before,
        "sent": sent,
        "send": [cuts[49], cuts[98]],
    }


def run(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.outbox", "--part", *arguments]
    output = subprocess.check_output(command, env=ENVIRONMENT, cwd=ROOT)
    result: dict[str, Any] = json.loads(output)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbox", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="how many wait (1,000,000)")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        kind, folder, argument = options.part
        part = fill(Path(folder), int(argument)) if kind == "fill" else resume(Path(folder), argument)
        print(json.dumps(part))
        return
    count = max(10_000, min(options.events, 5_000_000))
    with tempfile.TemporaryDirectory() as folder, server("ingest", "0") as ingest:
        filled = run("fill", folder, str(count))
        print(f"{count:,} events wait: {filled['bytes'] / 1e6:.0f} MB in {filled['files']} files")
        print(f"append                p50 {us(filled['append'][0])}, p99 {us(filled['append'][1])}")
        print(f"memory                {filled['memory'] / 1e6:+.1f} MB")
        print(
            f"a look at all of it   {filled['scan'] * 1000:.0f} ms at most while it reads, "
            f"{filled['later scan'] * 1000:.1f} ms then; it reports {filled['told']:,}",
            flush=True,
        )
        resumed = run("resume", folder, f"http://127.0.0.1:{ingest}/")
        counts = received(ingest)
        expected = count + resumed["sent"]
        left = len(list(Path(folder).glob("*.jsonl")))
    print(f"\nA new process         first delivery after {resumed['first']:.2f} s, imports and all")
    print(f"                      {resumed['rate']:,.0f} events/s, {resumed['memory'] / 1e6:+.1f} MB")
    print(f"send meanwhile        p50 {us(resumed['send'][0])}, p99 {us(resumed['send'][1])}")
    twice = sum(counts.values()) - len(counts)
    print(f"arrived               {len(counts):,} of {expected:,}, {twice} twice; {left} files left")


def us(value: float) -> str:
    return f"{value * 1e6:.0f} microseconds"


if __name__ == "__main__":
    main()
