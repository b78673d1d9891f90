"""Put a load on a running stack with several senders, and observe every process meanwhile."""

import multiprocessing
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.process_usage import Usage
from benchmarks.load.sender import Load, Sent, send
from local.stack import Stack
from local.waiting import wait_until

SENDERS = 4
DRAIN_SECONDS = 120.0
LOOK_SECONDS = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """The result of a load."""

    events: int
    stored: int
    rejected: int
    wrong: list[str]
    """Responses other than 200, and 503 with Retry-After."""
    unanswered: list[str]
    statuses: Counter[int]
    posts: list[float]
    """Seconds of each POST, sorted."""
    seconds: float
    """From the first event to the last one delivered."""
    megabytes: list[dict[str, float]]
    """Resident memory of the largest process of each kind, each second."""
    spent: dict[str, float]
    """Seconds of processor time by kind of process."""

    @property
    def is_good(self) -> bool:
        return self.events == self.stored and not (self.wrong or self.unanswered or self.rejected)

    def percentile(self, share: float) -> float:
        """Seconds in which that share of all POSTs had a response."""
        return self.posts[min(int(share * len(self.posts)), len(self.posts) - 1)]

    def memory(self, kind: str, share: float) -> float:
        """Megabytes of a kind of process after that share of the time."""
        found = [megabytes[kind] for megabytes in self.megabytes if kind in megabytes]
        return found[min(int(share * len(found)), len(found) - 1)] if found else 0.0


def run(stack: Stack, load: Load, say: Say = lambda _: None) -> Outcome:
    """Send events to a stack, wait until all are delivered, and count them in the ledger."""
    with tempfile.TemporaryDirectory(prefix="impact-load-") as folder:
        _warm(stack)
        before = _count(stack)
        context = multiprocessing.get_context("spawn")
        usage, megabytes, pipes, began = Usage(), [], [], time.monotonic()
        processes = []
        for number in range(SENDERS):
            receiving, sending = context.Pipe(duplex=False)
            name = f"load-{time.time_ns()}-{number}"
            share = Load(load.rate / SENDERS, load.seconds)
            url = f"{stack.api_url}/api/request-event"
            arguments = (name, Path(folder) / name, url, stack.ingest_token, share, DRAIN_SECONDS, sending)
            process = context.Process(target=send, args=arguments, daemon=True)
            process.start()
            sending.close()
            processes.append(process)
            pipes.append(receiving)
        while any(
            process.is_alive() and not pipe.poll() for process, pipe in zip(processes, pipes, strict=True)
        ):
            megabytes.append(usage.megabytes())
            usage.seconds()
            _tell(say, time.monotonic() - began, megabytes[-1])
            time.sleep(LOOK_SECONDS)
        seconds, spent = time.monotonic() - began, usage.spent()
        sent: list[Sent] = [pipe.recv() for pipe in pipes]
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()
    return Outcome(
        events=sum(one.events for one in sent),
        stored=_count(stack) - before,
        rejected=sum(one.rejected for one in sent),
        wrong=[response for one in sent for response in one.wrong],
        unanswered=[fault for one in sent for fault in one.unanswered],
        statuses=sum((Counter(one.statuses) for one in sent), Counter()),
        posts=sorted(post for one in sent for post in one.seconds),
        seconds=seconds,
        megabytes=megabytes,
        spent=spent,
    )


def _warm(stack: Stack) -> None:
    """Start a process of the function for each sender: starting them is not part of the load."""
    headers = {"Authorization": f"Bearer {stack.ingest_token}"}
    request = urllib.request.Request(f"{stack.api_url}/api/request-event", b"[{}]", headers)

    def responds() -> bool:
        with suppress(OSError), urllib.request.urlopen(request, timeout=60):
            return True
        return False

    with ThreadPoolExecutor(SENDERS) as callers:
        starting = [callers.submit(wait_until, responds, "ingest to start") for _ in range(SENDERS)]
    for start in starting:
        start.result()


def _count(stack: Stack) -> int:
    pages: Any = (
        stack.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=stack.request_events_table, Select="COUNT")
    )
    return sum(page["Count"] for page in pages)


def _tell(say: Say, elapsed: float, megabytes: dict[str, float]) -> None:
    if int(elapsed) % 10 == 0:
        say(
            f"{elapsed:5.0f} s  " + "  ".join(f"{kind} {mb:.0f} MB" for kind, mb in sorted(megabytes.items()))
        )
