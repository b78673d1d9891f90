"""Memory and processor time of processes by kind, on Linux."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_FUNCTION = re.compile(r"ministack-lambda-\S+?-(\w+?)Function")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

EMULATOR, REVERSE_PROXY, SENDER = "MiniStack", "reverse proxy", "senders"


class Usage:
    """Usage of this process, which runs the reverse proxy, and of senders, MiniStack and functions."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, str], float] = {}
        self._before = self.seconds()

    def megabytes(self) -> dict[str, float]:
        """Resident memory of the largest process of each kind, now."""
        largest: dict[str, float] = defaultdict(float)
        for _, kind, resident, _ in _processes():
            largest[kind] = max(largest[kind], resident / 1e6)
        return dict(largest)

    def seconds(self) -> dict[str, float]:
        """Processor time of each kind so far, including processes that have ended, as last seen."""
        for pid, kind, _, seconds in _processes():
            self._seconds[pid, kind] = seconds
        total: dict[str, float] = defaultdict(float)
        for (_, kind), seconds in self._seconds.items():
            total[kind] += seconds
        return dict(total)

    def spent(self) -> dict[str, float]:
        """Processor time of each kind since this object was created."""
        return {kind: seconds - self._before.get(kind, 0) for kind, seconds in self.seconds().items()}


def _processes() -> Iterator[tuple[int, str, int, float]]:
    """Yield our processes: id, kind, resident bytes, and seconds of processor time."""
    stats: dict[int, list[str]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
    for pid, fields in stats.items():
        if kind := _kind(pid, stats):
            ticks = int(fields[11]) + int(fields[12])
            yield pid, kind, int(fields[21]) * _PAGE, ticks / _TICKS


def _kind(pid: int, stats: dict[int, list[str]]) -> str:
    if pid == os.getpid():
        return REVERSE_PROXY
    if not _descends(pid, stats):
        return ""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
    if function := _FUNCTION.search(command):
        return function[1]
    if "local.patched_ministack" in command:
        return EMULATOR
    return SENDER if "spawn_main" in command else ""


def _descends(pid: int, stats: dict[int, list[str]]) -> bool:
    while pid in stats and pid != os.getpid():
        pid = int(stats[pid][1])
    return pid == os.getpid()
