"""Simulated time, processes and tasks: a scheduler in which a seed decides which task is next.

Tasks are greenlets, so the ordinary, blocking code runs in them. A task runs until it asks
for time (`World.sleep`), where it can also die.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime, tzinfo
from itertools import count
from random import Random
from typing import Any

from greenlet import getcurrent, greenlet

TURNS_MAX = 50_000
"""No simulation needs a tenth of it: more is an endless loop."""


class Killed(BaseException):
    """The process of a task has died: none of its code may run on."""


class Process:
    """A process, which dies with all its tasks: a LiteLLM worker, a Lambda container."""

    def __init__(self, name: str, skew: float = 0.0) -> None:
        self.name = name
        self.skew = skew
        """Seconds by which its clock is fast."""
        self.alive = True
        self.tasks: dict[Task, None] = {}


class Task:
    """A task of a process."""

    def __init__(self, process: Process, run: Callable[[], None], hub: greenlet) -> None:
        self.process = process
        self.greenlet = greenlet(run, hub)
        self.turn = 0
        """Number of its valid turn in the queue: a task that is woken early leaves an invalid one behind."""

    @property
    def dead(self) -> bool:
        return bool(self.greenlet.dead)


class World:
    """The clock, the random numbers and the queue of turns."""

    def __init__(self, seed: int, start: datetime) -> None:
        self.random = Random(seed)
        self.now = start.timestamp()
        self.trace: list[tuple[float, str, str]] = []
        self._queue: list[tuple[float, float, int, Task, int]] = []
        self._numbers = count()
        self._turns = 0
        self._hub = getcurrent()
        self._tasks: dict[Task, None] = {}
        self._current: Task | None = None
        self._failure: BaseException | None = None

    @property
    def clock(self) -> datetime:
        """The true time, in seconds."""
        return datetime.fromtimestamp(self.now, UTC)

    @property
    def process(self) -> Process:
        return self.task.process

    @property
    def task(self) -> Task:
        """The task that is running."""
        assert self._current is not None
        return self._current

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def note(self, who: str, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append((self.now, who, what))

    def spawn(self, process: Process, work: Callable[[], object], delay: float = 0.0) -> Task:
        """Start a task of a process at a time."""
        task = Task(process, lambda: self._live(task, work), self._hub)
        self._tasks[task] = None
        process.tasks[task] = None
        self.wake(task, delay)
        return task

    def wake(self, task: Task, delay: float = 0.0) -> None:
        """Give a task its next turn."""
        task.turn += 1
        # For turns at the same time, the order is random.
        turn = (self.now + delay, self.random.random(), next(self._numbers), task, task.turn)
        heapq.heappush(self._queue, turn)

    def sleep(self, seconds: float) -> None:
        """Let time pass and other tasks run. Raises Killed."""
        task = self.task
        if task.process.alive:
            self.wake(task, seconds)
            self._hub.switch()
        if not task.process.alive:
            raise Killed

    def park(self) -> None:
        """Wait until another task wakes this one. Raises Killed."""
        task = self.task
        if task.process.alive:
            task.turn += 1
            self._hub.switch()
        if not task.process.alive:
            raise Killed

    def kill(self, process: Process) -> None:
        """Kill a process, as `kill -9` does. A process that kills itself gets Killed."""
        process.alive = False
        self.note(process.name, "is killed")
        current = self._current
        for task in list(process.tasks):
            if task is not current:
                self._throw(task)
        if current is not None and current.process is process:
            raise Killed

    def run(self, until: Callable[[], bool]) -> None:
        """Let time pass until the condition holds. Raises what a task raised, and Stuck."""
        while not until():
            if not self._queue:
                raise Stuck("nothing is left to happen")
            when, _, _, task, turn = heapq.heappop(self._queue)
            if turn != task.turn or task.dead:
                continue
            self._turns += 1
            if self._turns > TURNS_MAX:
                raise Stuck("something goes round and round")
            self.now = when
            self._current = task
            task.greenlet.switch()
            self._current = None
            if self._failure is not None:
                raise self._failure

    def close(self) -> None:
        """End all tasks: none may outlive its world."""
        for task in list(self._tasks):
            task.process.alive = False
            self._throw(task)

    def _live(self, task: Task, work: Callable[[], object]) -> None:
        try:
            work()
        except Killed:
            pass
        except BaseException as failure:
            self._failure = failure
        finally:
            self._forget(task)

    def _forget(self, task: Task) -> None:
        task.turn += 1
        del self._tasks[task]
        del task.process.tasks[task]

    def _throw(self, task: Task) -> None:
        """Unwind a task. Its `finally` clauses release what the kernel would release."""
        if not task.greenlet:  # it has not run yet
            self._forget(task)
            return
        former, self._current = self._current, task
        task.greenlet.parent = getcurrent()
        task.greenlet.throw(Killed)
        self._current = former


class Stuck(Exception):
    """A task waits for ever, or never ends."""


class Clock(datetime):
    """`datetime` for the code under test: `now` is the time of the calling process."""

    world: World

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Clock":
        return cls.fromtimestamp(cls.world.now + cls.world.process.skew, tz)


class Time:
    """The part of the module `time` that the code under test uses."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sleep = world.sleep

    def monotonic(self) -> float:
        return self._world.now

    def time(self) -> float:
        return self._world.now + self._world.process.skew

    def time_ns(self) -> int:
        return int(self.time() * 1e9)


class Signal:
    """`threading.Event`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._set = False
        self._waiting: list[tuple[Task, int]] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiting, self._waiting = self._waiting, []
        for task, turn in waiting:
            if task.turn == turn:
                self._world.wake(task)

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            task = self._world.task
            self._waiting.append((task, task.turn + 1))  # the turn for which it waits now
            if timeout is None:
                self._world.park()
            else:
                self._world.sleep(max(0.0, timeout))
        return self._set


class Lock:
    """`threading.Lock`, as a context manager."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._held = False

    def __enter__(self) -> None:
        while self._held:
            self._world.sleep(0.001)
        self._held = True

    def __exit__(self, *failure: object) -> None:
        self._held = False


class Thread:
    """`threading.Thread`: a task of the process that starts it."""

    def __init__(self, world: World, target: Callable[[], object], **_: Any) -> None:
        self._world = world
        self._target = target
        self._task: Task | None = None

    def start(self) -> None:
        self._task = self._world.spawn(self._world.process, self._target)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.dead

    def join(self, seconds: float) -> None:
        end = self._world.now + seconds
        while self.is_alive() and self._world.now < end:
            self._world.sleep(0.05)


class Threading:
    """The module `threading`."""

    def __init__(self, world: World) -> None:
        self.Event = lambda: Signal(world)
        self.Lock = self.RLock = lambda: Lock(world)
        self.Thread = lambda **options: Thread(world, **options)


class Executor:
    """`concurrent.futures.ThreadPoolExecutor`: each call is a task of the process that submits it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._submitted: list[Future[Any]] | None = None

    def __call__(self, workers: int) -> "Executor":
        return Executor(self._world)

    def __enter__(self) -> "Executor":
        self._submitted = []
        return self

    def __exit__(self, *failure: object) -> None:
        self.wait(self._submitted or ())

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work(*arguments))
            except Exception as error:
                future.set_exception(error)

        self._world.spawn(self._world.process, run)
        if self._submitted is not None:
            self._submitted.append(future)
        return future

    def map(self, work: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        futures = [self.submit(work, argument) for argument in arguments]
        self.wait(futures)
        return (future.result() for future in futures)

    def wait(self, futures: Iterable["Future[Any]"], timeout: float = float("inf")) -> None:
        """`concurrent.futures.wait`."""
        pending = [future for future in futures if not future.done()]
        if not pending:
            return
        task, end = self._world.task, self._world.now + timeout
        remaining, turn = len(pending), task.turn + 1

        def done(_: "Future[Any]") -> None:
            nonlocal remaining
            remaining -= 1
            if not remaining and task.turn == turn:
                self._world.wake(task)

        for future in pending:
            future.add_done_callback(done)
        if end == float("inf"):
            self._world.park()
        else:
            self._world.sleep(max(0.0, timeout))
