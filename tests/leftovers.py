"""A pytest plugin: a test that leaves something behind fails, so no test can harm another.

It looks for threads, child processes and open files, and for changes that a test has made for all
others: attributes of modules and classes, environment variables, signal handlers, the working directory.
Threads, processes and files that appear while a fixture of a wider scope is set up belong to the fixture, and
must be gone after its teardown. All else belongs to the test; and only tests may change what others see.

It undoes what it finds, so that the next test is not affected: it reverts changes and kills processes.
(It cannot end a thread or close a file. These are reported once.)
"""

import ctypes
import gc
import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.resource_tracker import _resource_tracker
from pathlib import Path
from typing import Any

import pytest

GRACE_SECONDS = float(os.environ.get("LEFTOVERS_GRACE_SECONDS", "60"))
"""Threads and processes may take so many seconds to end after they were asked to."""

PATCHABLE = ("os", "time", "random", "secrets", "signal", "socket", "subprocess", "tempfile", "threading")
"""Modules of the standard library that tests patch, or might patch."""
OURS = (
    *("authorizer", "person_authorizer", "ingest", "rates", "rollup", "rollup_worker", "summaries"),
    *("mcp_server", "page"),
    *("impact", "local", "request_events"),
)
"""Packages of this project."""

KEPT_THREADS = ("ingest-writer", "pytest_timeout", "execnet")
"""Threads that by design live as long as their process: the function's pool, the test runner's own."""
KEPT_PROCESSES = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")

PROC = Path("/proc/self")
PR_SET_CHILD_SUBREAPER = 36

Things = dict[Any, str]
"""What a test can leave behind, each with its name for a message."""

_MISSING = object()


@dataclass(frozen=True)
class Shared:
    """State that all tests of a process share, and that a test must restore."""

    attributes: dict[Any, dict[str, Any]]
    environment: dict[str, str]
    handlers: dict[int, Any]
    folder: str

    @classmethod
    def now(cls) -> "Shared":
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        handlers = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        return cls({place: _attributes(place) for place in _places()}, environment, handlers, os.getcwd())

    def put_back(self) -> list[str]:
        """Undo every change, and return a line for each."""
        return [*self._attributes(), *self._environment(), *self._handlers(), *self._folder()]

    def _attributes(self) -> Iterator[str]:
        for place, attributes in self.attributes.items():
            now = vars(place)
            for name, value in attributes.items():
                if now.get(name, _MISSING) is not value:
                    setattr(place, name, value)
                    yield f"{getattr(place, '__qualname__', place.__name__)}.{name} is not what it was"

    def _environment(self) -> Iterator[str]:
        for name in sorted((os.environ.keys() | self.environment.keys()) - {"PYTEST_CURRENT_TEST"}):
            before = self.environment.get(name)
            if os.environ.get(name) != before:
                os.environ.pop(name, None)
                if before is not None:
                    os.environ[name] = before
                yield f"the environment variable {name} is not what it was"

    def _handlers(self) -> Iterator[str]:
        for number, handler in self.handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
                yield f"the handler of {signal.Signals(number).name} is not what it was"

    def _folder(self) -> Iterator[str]:
        if os.getcwd() != self.folder:
            os.chdir(self.folder)
            yield f"the working directory is not {self.folder}"


def _places() -> Iterator[Any]:
    """The objects whose attributes `monkeypatch` and `unittest.mock` change: modules, and our own classes."""
    for name, module in list(sys.modules.items()):
        if name in PATCHABLE:
            yield module
        elif name.partition(".")[0] in OURS:
            yield module
            yield from (
                value
                for value in list(vars(module).values())
                if isinstance(value, type) and value.__module__ == name
            )


def _attributes(place: Any) -> dict[str, Any]:
    """The attributes that can be patched. In the standard library only functions: other state is its own."""
    if place.__name__ in PATCHABLE:
        return {name: value for name, value in vars(place).items() if callable(value)}
    return dict(vars(place))


def _alive() -> Things:
    """Threads, child processes and open files of this process."""
    return _threads() | _processes() | _files()


def _threads() -> Things:
    main = threading.main_thread()
    return {
        thread: f"the thread {thread.name}"
        for thread in threading.enumerate()
        if thread is not main and not thread.name.startswith(KEPT_THREADS)
    }


def _processes() -> Things:
    """Child processes that have not ended, and orphans of theirs (see `pytest_configure`)."""
    found: Things = {}
    for children in PROC.glob("task/*/children"):
        with suppress(OSError):
            for pid in children.read_text().split():
                state, command = _process(int(pid))
                if state != "Z" and not any(name in command for name in KEPT_PROCESSES):
                    found["process", int(pid)] = f"the process {pid}: {command[:200]}"
    return found


def _process(pid: int) -> tuple[str, str]:
    """State and command line of a process. One that has ended counts as a zombie."""
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state, Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    return "Z", ""


def _files() -> Things:
    """Open files, pipes, and listening sockets. (AWS clients keep idle connections, which do no harm.)"""
    found: Things = {}
    with suppress(OSError):
        for fd in {int(name) for name in os.listdir(PROC / "fd")} - {getattr(_resource_tracker, "_fd", None)}:
            with suppress(OSError):
                kind, target = os.fstat(fd).st_mode, os.readlink(PROC / "fd" / str(fd))
                if stat.S_ISREG(kind) or stat.S_ISFIFO(kind) or (stat.S_ISSOCK(kind) and _listens(fd)):
                    found["file", fd, target] = f"the open file {target}"
    return found


def _listens(fd: int) -> bool:
    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as copy:
        return bool(copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False


class Leftovers:
    """What belongs to fixtures of a wider scope, and what to the running test."""

    def __init__(self) -> None:
        self._owned: dict[Any, Things] = {}
        """What belongs to fixtures of a wider scope, while they live."""
        self._kept: Things = {}
        """What existed before the running test, or belongs to a fixture."""
        self._shared = Shared.now()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        self._kept, self._shared = _alive(), Shared.now()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        before = _alive()
        try:
            return (yield)
        finally:
            new = {thing: name for thing, name in _alive().items() if thing not in before}
            self._owned[fixturedef] = self._owned.get(fixturedef, {}) | new
            self._kept |= new

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        owned = self._owned.pop(fixturedef, {})
        if left := _await_end(lambda: {thing: name for thing, name in _alive().items() if thing in owned}):
            _kill(left)
            pytest.fail(_message(f"The fixture {fixturedef.argname}", left.values()), pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report: pytest.TestReport = yield  # type: ignore[assignment]
        if call.when == "teardown" and (left := self._left()):
            told = _message(item.nodeid, left)
            report.outcome = "failed"
            report.longrepr = f"{report.longreprtext}\n{told}" if report.longrepr else told
        return report  # type: ignore[return-value]

    def _left(self) -> list[str]:
        """List what the test has left, and undo it if possible."""
        changes = self._shared.put_back()
        left = _await_end(
            lambda: {thing: name for thing, name in _alive().items() if thing not in self._kept}
        )
        _kill(left)
        return [*left.values(), *changes]


def _await_end(left: Callable[[], Things]) -> Things:
    """Collect garbage, and wait a moment for threads and processes that are about to end."""
    if not left():
        return {}
    gc.collect()
    deadline = time.monotonic() + GRACE_SECONDS
    while (found := left()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def _kill(things: Things) -> None:
    """Kill processes, and their orphans, which then become children of this process."""
    pids = [thing[1] for thing in things if isinstance(thing, tuple) and thing[0] == "process"]
    before = _processes().keys() - things.keys()
    while pids:
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        pids = [thing[1] for thing in _processes() if thing not in before]


def _message(who: str, left: Any) -> str:
    return "\n".join([f"{who} has left something behind:", *(f"  {name}" for name in left)])


def pytest_configure(config: pytest.Config) -> None:
    # Orphans of child processes become children of this process, not of init: so they are found. (Linux)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    config.pluginmanager.register(Leftovers(), "leftovers")
