"""Simulated LiteLLM proxies: the real outbox on a real disk, and the real sender over a simulated network."""

import errno
import http.client
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from request_events import (
    delivery,
    file_lock,
    outbox,
    outbox_report,
    prometheus,
    quarantine,
    responses,
    segment,
    sender,
    transport,
)
from request_events.capture import capture, encode
from request_events.outbox import Outbox
from request_events.sender import Sender
from tests.simulation.cloud import Cloud, replaced
from tests.simulation.world import Clock, Process, Signal, Threading, Time, World

URL = "http://service/api/request-event"


@dataclass
class Disk:
    """The module `os` of the proxies: it closes the files of a process that dies, and disks can be full."""

    world: World
    open_files: dict[Process, set[int]] = field(default_factory=dict)
    not_kept: list[dict[str, Any]] = field(default_factory=list)
    """Events that the service rejected while the disk was full."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, *arguments: Any) -> int:
        fd = os.open(*arguments)
        self.open_files.setdefault(self.world.process, set()).add(fd)
        return fd

    def fdopen(self, fd: int, mode: str, closefd: bool = True) -> Any:
        if closefd:
            self.open_files[self.world.process].discard(fd)
        return os.fdopen(fd, mode, closefd=closefd)

    def close(self, fd: int) -> None:
        self.open_files[self.world.process].discard(fd)
        os.close(fd)

    def write(self, fd: int, data: bytes) -> int:
        worker = self.world.process
        assert isinstance(worker, Worker)
        if worker.machine.disk_is_full:
            if self.world.chance(0.5):
                raise OSError(errno.ENOSPC, "No space left on device")
            return os.write(fd, data[: len(data) // 2])
        if worker.dies_writing:
            os.write(fd, data[: self.world.random.randrange(len(data))])
            self.world.kill(worker)
        return os.write(fd, data)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        worker = self.world.process
        assert isinstance(worker, Worker)
        if worker.dies_writing:
            os.pwrite(fd, data[: self.world.random.randrange(len(data))], offset)
            self.world.kill(worker)
        return os.pwrite(fd, data, offset)

    def freed(self, process: Process) -> None:
        """Close the files of a dead process, as the kernel does."""
        for fd in self.open_files.pop(process, ()):
            os.close(fd)


@dataclass
class Machine:
    """A machine with the workers of a proxy, which share an outbox."""

    folder: Path
    skew: float
    workers: "list[Worker | None]"
    disk_is_full: bool = False


class Worker(Process):
    """A process of a LiteLLM proxy."""

    dies_writing = False

    def __init__(self, name: str, machine: Machine, batch_size: int, flush_seconds: float) -> None:
        super().__init__(name, machine.skew)
        self.machine = machine
        self.outbox = Outbox(machine.folder)
        self.sender = Sender(self.outbox, URL, "token", batch_size=batch_size, flush_seconds=flush_seconds)

    def report(self, kwargs: dict[str, Any]) -> bytes:
        """Do what LiteLLM's hook does; return the stored line. Runs in a task of this process."""
        event = capture(kwargs)
        assert event is not None
        line = encode(event)
        self.sender.send(line)
        return line

    @property
    def in_memory(self) -> set[bytes]:
        """Lines that are not on disk yet: they die with the process."""
        return {*self.outbox._memory, *self.outbox._memory_later}


class Connection:
    """`http.client.HTTPConnection` to the service, over a network that loses and repeats requests."""

    def __init__(self, cloud: Cloud, timeout: float) -> None:
        self._cloud = cloud
        self._world = cloud.world
        self._timeout = timeout
        self._answered = Signal(cloud.world)
        self._answers: list[tuple[int, dict[str, str], bytes] | None] = []

    sock = None

    def connect(self) -> None:
        if self._cloud.is_down:
            raise ConnectionRefusedError

    def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        world = self._world
        world.sleep(world.random.expovariate(50.0))
        if self._cloud.is_down:
            raise ConnectionRefusedError
        self._answered, self._answers = Signal(world), []
        answered, answers = self._answered, self._answers
        dice, bad = world.random.uniform(0, 100), self._cloud.sky().network

        def deliver() -> None:
            answer = self._cloud.post(body)
            world.sleep(world.random.expovariate(0.2 if dice < bad else 50.0))
            answers.append(None if dice < bad / 3 else answer)
            answered.set()

        if dice > 100 - bad / 3:  # lost on the way there
            raise ConnectionResetError
        world.spawn(self._cloud.network, deliver)
        if dice > 100 - bad * 2 / 3:  # delivered twice
            world.spawn(self._cloud.network, deliver, world.random.uniform(0, 30))

    def getresponse(self) -> Any:
        if not self._answered.wait(self._timeout):
            raise TimeoutError
        answer = self._answers[0]
        if answer is None:
            raise ConnectionResetError
        status, headers, body = answer
        named = http.client.HTTPMessage()
        for name, value in headers.items():
            named[name] = value
        return SimpleNamespace(
            status=status, headers=named, read=lambda size: body, will_close=False, isclosed=lambda: True
        )

    def close(self) -> None:
        """Nobody waits for the response any more."""


def installed(cloud: Cloud, disk: Disk) -> Any:
    """Make the callback's modules use the simulated machine and network until the end of the block."""
    world = cloud.world
    client: Callable[..., Connection] = lambda host, port, timeout: Connection(cloud, timeout)  # noqa: E731
    threading, time = Threading(world), Time(world)
    fake_http = SimpleNamespace(
        client=SimpleNamespace(
            HTTPConnection=client,
            HTTPException=http.client.HTTPException,
            BadStatusLine=http.client.BadStatusLine,
        )
    )
    clock: Any = type("Clock", (Clock,), {"world": world})

    def report(line: bytes, reason: object, *, is_kept: bool) -> None:
        if not is_kept:
            now = clock.now(UTC).isoformat()
            disk.not_kept.append({"time": now, "reason": reason, "event": json.loads(line)})

    quiet: dict[str, Any] = {"warn": lambda *arguments, **options: None}
    names = SimpleNamespace(token_hex=lambda size: f"{world.random.getrandbits(8 * size):0{2 * size}x}")
    return replaced(
        (
            sender,
            quiet
            | {
                "threading": threading,
                "time": time,
                "os": SimpleNamespace(),
                # Outages last hours here: checking every second would only cost time.
                "CHECK_SECONDS": 120.0,
                "REPORT_SECONDS": float("inf"),
            },
        ),
        (
            delivery,
            quiet
            | {
                "time": time,
                "random": world.random,
                "log_rejected": report,
                "log_blocked": lambda *arguments: None,
                "log_clock_difference": lambda seconds: None,
                "BACKOFF_SECONDS_MAX": 600.0,
            },
        ),
        *((module, {"os": disk}) for module in (file_lock, quarantine, segment)),
        (transport, quiet | {"http": fake_http, "time": time}),
        (responses, {"datetime": clock}),
        (outbox_report, quiet),
        (prometheus, quiet),
        (
            outbox,
            quiet | {"time": time, "os": disk, "secrets": names, "datetime": clock, "threading": threading},
        ),
    )
