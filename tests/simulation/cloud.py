"""Simulated AWS Lambda, API Gateway and SQS. Containers may die at any read or write."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from functools import partial
from inspect import unwrap
from types import ModuleType, SimpleNamespace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from impact import (
    breakdown,
    breakdown_reader,
    dynamodb,
    fx_conversion,
    ledger_writer,
    observability,
    recompute,
    rollup_queue,
    usage_reader,
)
from impact.billing import Terms
from impact.calendar import Calendar, DayExpired, Settings
from impact.day_settings import CachedCalendar, ensure_calendar
from impact.dynamodb import TooBusy, item_from_wire
from impact.fx_rates import FxRate
from impact.keys import PERIOD, fx_rate_key
from impact.ledger_writer import LedgerWriter
from impact.recompute import TooManyConflicts
from impact.rollup_queue import NotSent
from impact.state_store import _period
from impact.store import Store
from impact_cli import repricing
from rollup import app as planner_app
from rollup_worker import app as worker_app
from tests.simulation.database import GOOD, Client, Database, Weather
from tests.simulation.ingest import app as ingest_app
from tests.simulation.world import Clock, Executor, Process, Signal, Time, World

EVENTS, SUMMARIES, STATE = "RequestEvents", "DailySummaries", "State"
TABLES = {
    EVENTS: ("dayShard", "userEvent"),
    SUMMARIES: ("userId", "day"),
    STATE: ("kind", "key"),
}
INGEST_SECONDS, WORKER_SECONDS, PLANNER_SECONDS = 20.0, 900.0, 300.0
RETRIES = 2
"""How often Lambda retries an asynchronous call."""
VISIBILITY_SECONDS = 5400.0
RECEIVES_MAX = 3
"""maxReceiveCount of RollupQueue, as in the template."""


@dataclass(frozen=True)
class Sky:
    """The present failure rates, in percent."""

    database: Weather = GOOD
    network: float = 0.0
    """HTTP requests that get lost, get a response from a middlebox, or lose their response."""
    deaths: float = 0.0
    """Requests to DynamoDB before or after which a container dies."""


CALM = Sky()


class Container(Process):
    """An execution environment of one function."""

    rates: fx_conversion.CachedFxRates
    calendar: CachedCalendar
    store: Store | None = None
    is_sluggish = False
    """Whether each of its requests takes a second, so that much can happen in between."""


RAISED = (BotoCoreError, ClientError, DayExpired, NotSent, TooBusy, TooManyConflicts)
"""What the planner and the worker may raise. Anything else is a fault of theirs."""


class FunctionFailed(Exception):
    """A function raised, died or ran out of time."""


@dataclass(frozen=True)
class _OwnStore:
    """The store of the container that runs: what one keeps in memory, no other one knows."""

    cloud: "Cloud"
    attempts: int

    def __getattr__(self, name: str) -> Any:
        container = _container(self.cloud.world)
        container.store = container.store or self.cloud.store(self.attempts)
        return getattr(container.store, name)


class _Quiet:
    """Swallows logs and metrics."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **options: None


@dataclass
class Cloud:
    """The simulated stack."""

    world: World
    wish: Settings
    """The settings that the stack's parameters request now."""
    sky: Callable[[], Sky]
    terms: Terms
    planned: list[int] = field(default_factory=list)
    """Number of (day, shard)s that each run of the planner planned."""
    failed: list[Any] = field(default_factory=list)
    """The dead-letter queue: failed runs of the planner, records of the worker, and messages moved by SQS."""
    calls: int = 0
    """Number of asynchronous calls of the planner that have not ended."""
    is_down: bool = False
    acknowledged: set[str] = field(default_factory=set)
    """Ids of events that were acknowledged to their sender."""
    values_max: int = 10_000
    """Most values of a dimension that are held, and that are stored."""
    meddling: float = 0.0
    """Probability that a day is recomputed while events of it arrive."""

    def __post_init__(self) -> None:
        self.network = Process("network")
        self.database = Database(self.world, TABLES)
        self.queue = Queue(self, workers=self.world.random.choice((2, 2, 10)))
        self._idle: list[Container] = []
        self._numbers = 0

    @property
    def calendar(self) -> Calendar:
        """The stored calendar; before the first event, that of the requested settings."""
        table = self.database.tables[STATE]
        items = [item_from_wire(item) for item in table.items() if item["kind"]["S"] == PERIOD]
        periods = sorted((_period(item) for item in items), key=lambda period: period.first_day)
        return Calendar(tuple(periods)) if periods else Calendar.of(self.wish)

    @property
    def under_way(self) -> bool:
        """Whether a rollup still has work."""
        return bool(self.calls or self.queue.messages)

    def store(self, attempts: int) -> Store:
        client = _Client(self.database, lambda: self.sky().database, self.network, attempts, self)
        return Store.of(client, EVENTS, SUMMARIES, STATE)

    def publish(self, rate: FxRate, correction: int = 0) -> None:
        """Store an fx rate, or the one that corrects it."""
        key = fx_rate_key(rate.date, correction)
        item = {"kind": {"S": "rate"}, "key": {"S": key}, "usd": {"N": str(rate.usd)}}
        self.database.put(STATE, item, "", {}, {})
        self.world.note("rates", f"{key} is {rate.usd}")

    # The HTTP API

    def post(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Respond to a request as API Gateway does. Tasks of the network call it."""
        if self.world.chance(self.sky().network / 300):
            return 429, {}, b'{"message":"Too Many Requests"}'
        self._count_meanwhile(body)
        event = {"headers": {"content-type": "application/json"}, "body": body.decode()}
        container = self._idle.pop() if self._idle and self.world.chance(0.7) else self._ingest_container()
        try:
            answer = self._run(container, lambda: _ingest(event, self._context()), INGEST_SECONDS)
        except FunctionFailed:
            return self.world.random.choice((500, 502, 503, 504)), {}, b'{"message":"Internal Server Error"}'
        self._idle.append(container)
        status = answer["statusCode"]
        assert status in (200, 201, 503), answer
        self._acknowledge(json.loads(body), json.loads(answer["body"]))
        date = format_datetime(self.world.clock, usegmt=True)
        return status, answer["headers"] | {"Date": date}, answer["body"].encode()

    def _acknowledge(self, events: Any, answer: dict[str, Any]) -> None:
        """Record which events were acknowledged to a sender."""
        if isinstance(events, list):
            others = {entry["index"] for name in ("rejected", "retry") for entry in answer.get(name, ())}
            self.acknowledged |= {each["eventId"] for n, each in enumerate(events) if n not in others}

    def _count_meanwhile(self, body: bytes) -> None:
        """Sometimes recompute a day, mostly a closed one, just while an event of it arrives."""
        event = self.world.random.choice(json.loads(body))
        calendar = self.calendar
        day = calendar.day_of(datetime.fromisoformat(event["ts"]))
        is_late = calendar.is_closed(day, self.world.clock)
        if not self.world.chance(self.meddling if is_late else self.meddling / 10):
            return
        target = {"day": day, "shard": calendar.shard_of(event["userId"], day)}
        for _ in range(self.world.random.choice((1, 1, 2, 3))):
            delay = self.world.random.expovariate(3.0)
            self.world.spawn(self.network, lambda: self.count_now(target), delay)

    def _ingest_container(self) -> Container:
        container = self._container("ingest", skew=60)

        def start() -> None:
            container.calendar = CachedCalendar(
                lambda now: ensure_calendar(self.store(attempts=3), lambda: self.wish, now)
            )
            container.rates = fx_conversion.CachedFxRates(
                ingest_app._load_rates,
                Executor(self.world),  # type: ignore[arg-type]
                lambda error: None,
            )
            container.rates.wait(1.0)

        try:
            self._run(container, start, INGEST_SECONDS)
        except FunctionFailed:
            return self._ingest_container()
        return container

    def _context(self, seconds: float = INGEST_SECONDS) -> Any:
        end = self.world.now + seconds
        return SimpleNamespace(get_remaining_time_in_millis=lambda: int((end - self.world.now) * 1000))

    # The rollup

    def roll_up(self, tries: int = 1) -> None:
        """Call the planner as Scheduler does: asynchronously, with Lambda's retries."""

        def call() -> None:
            try:
                planned = self._run(
                    self._container("planner", skew=600),
                    lambda: _plan({}, self._context(PLANNER_SECONDS)),
                    PLANNER_SECONDS,
                )
                self.planned.append(planned["planned"])
            except FunctionFailed as failure:
                self.world.note("planner", f"fails: {failure}")
                if tries <= RETRIES:
                    self.roll_up(tries + 1)
                else:
                    self.failed.append({})
            finally:
                self.calls -= 1

        self.calls += 1
        self.world.spawn(self.network, call, 60.0 * (tries - 1))

    def count_now(self, target: dict[str, Any]) -> bool:
        """Call the worker and wait, as `make rollup` does. Return whether it succeeded."""
        try:
            self.run_worker(target)
        except FunctionFailed as failure:
            self.world.note("operator", f"could not count {target}: {failure}")
            return False
        return True

    def run_worker(self, event: dict[str, Any]) -> Any:
        """Run the worker until it ends. Raises FunctionFailed."""
        context = SimpleNamespace(invoked_function_arn="worker")
        return self._run(self._container("worker", skew=600), lambda: _count(event, context), WORKER_SECONDS)

    # Containers

    def _container(self, name: str, skew: float) -> Container:
        self._numbers += 1
        container = Container(f"{name}-{self._numbers}", self.world.random.uniform(-skew, skew))
        container.is_sluggish = name == "worker" and self.sky() is not CALM and self.world.chance(0.3)
        return container

    def _run(self, container: Container, work: Callable[[], Any], seconds: float) -> Any:
        """Run a function until it ends. Raises FunctionFailed."""
        done, answers, failures = Signal(self.world), [], []

        def run() -> None:
            try:
                answers.append(work())
            except Exception as failure:
                failures.append(failure)
            finally:
                done.set()

        self.world.spawn(container, run)
        if not done.wait(seconds):
            self.world.kill(container)
        if answers:
            return answers[0]
        if failures and container.name.startswith("ingest"):
            raise AssertionError("ingest raised") from failures[0]
        if failures and not isinstance(failures[0], RAISED):
            raise failures[0]
        raise FunctionFailed(repr(failures[0]) if failures else "it died")


class _Client(Client):
    """A client in a container that may die at any request."""

    def __init__(self, *arguments: Any) -> None:
        *others, self._cloud = arguments
        super().__init__(*others)

    def _send(self, work: Callable[[], Any]) -> Any:
        world = self._world
        dice = world.random.uniform(0, 100)
        deaths = self._cloud.sky().deaths
        if dice < deaths / 2:
            world.kill(world.process)
        if isinstance(world.process, Container) and world.process.is_sluggish:
            world.sleep(world.random.expovariate(1.0))
        answer = super()._send(work)
        if dice > 100 - deaths / 2:
            world.kill(world.process)
        return answer


@dataclass(eq=False)
class Message:
    """A message that SQS keeps until a worker is done with it."""

    body: str
    visible_at: float
    receives: int = 0


class Queue:
    """RollupQueue and its event source: delivers each message at least once, to so many workers at a time."""

    def __init__(self, cloud: Cloud, workers: int) -> None:
        self.messages: dict[Message, None] = {}
        self._cloud = cloud
        self._world = cloud.world
        self._workers = workers
        self._busy = 0

    def put(self, body: str) -> None:
        for _ in range(2 if self._world.chance(0.03) else 1):
            slow = self._world.chance(0.05)
            self._show(Message(body, 0.0), self._world.random.expovariate(1 / 600 if slow else 10.0))

    def _show(self, message: Message, delay: float) -> None:
        """Make a message visible from a time on."""
        self.messages[message] = None
        message.visible_at = self._world.now + delay
        self._world.spawn(self._cloud.network, self._poll, delay)

    def _poll(self) -> None:
        """Deliver visible messages while a worker is free."""
        while self._busy < self._workers:
            seen = [message for message in self.messages if message.visible_at <= self._world.now]
            if not seen:
                return
            message = self._world.random.choice(seen)
            if message.receives >= RECEIVES_MAX:
                self._world.note("queue", f"gives {message.body} up")
                self._cloud.failed.append(json.loads(message.body))
                del self.messages[message]
                continue
            message.receives += 1
            # Sometimes it is visible before its worker has ended: SQS delivers at least once.
            hidden = self._world.random.uniform(0, 60) if self._world.chance(0.02) else VISIBILITY_SECONDS
            self._show(message, hidden)
            self._busy += 1
            self._world.spawn(self._cloud.network, partial(self._hand_over, message))

    def _hand_over(self, message: Message) -> None:
        try:
            if self._world.chance(self._cloud.sky().network / 300):
                return  # throttled while the message is invisible
            failed = len(self._cloud.failed)
            attributes = {"ApproximateReceiveCount": str(message.receives)}
            answer = self._cloud.run_worker({"Records": [{"body": message.body, "attributes": attributes}]})
            if "failed" in answer and len(self._cloud.failed) == failed:
                raise AssertionError(f"a worker gave up and left no dead letter: {message.body}")
            if not self._world.chance(0.01):  # if deleting it fails, it is delivered again
                self.messages.pop(message, None)
        except FunctionFailed as failure:
            self._world.note("worker", f"fails at {message.body}: {failure}")
        finally:
            self._busy -= 1
            self._world.spawn(self._cloud.network, self._poll)


class _Sqs:
    """The part of boto3's SQS client that planner and worker use."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        def take() -> dict[str, Any]:
            weather = self._cloud.sky().database
            failed = [entry for entry in Entries if self._cloud.world.chance(weather.refused / 200)]
            for entry in Entries:
                if entry not in failed:
                    self._cloud.queue.put(entry["MessageBody"])
            return {"Failed": [{"Id": entry["Id"], "Code": "InternalError"} for entry in failed]}

        answer: dict[str, Any] = self._ask(take)
        return answer

    def send_message(self, QueueUrl: str, MessageBody: str) -> None:
        self._ask(lambda: self._cloud.failed.append(json.loads(MessageBody)))

    def _ask(self, work: Callable[[], Any]) -> Any:
        world, weather = self._cloud.world, self._cloud.sky().database
        for attempt in range(1, 5):
            world.sleep(world.random.expovariate(100.0))
            dice = world.random.uniform(0, 100)
            if dice >= weather.refused:
                answer = work()
                if dice <= 100 - weather.unanswered:
                    return answer
            world.sleep(world.random.uniform(0, 2**attempt))
        raise ClientError({"Error": {"Code": "RequestThrottled"}}, "Any")


_ingest, _plan, _count = (unwrap(app.handler) for app in (ingest_app, planner_app, worker_app))


@contextmanager
def replaced(*changes: tuple[Any, dict[str, Any]]) -> Iterator[None]:
    """Replace attributes of modules and classes until the end of the block."""
    former = [(where, {name: getattr(where, name) for name in named}) for where, named in changes]
    _set(changes)
    try:
        yield
    finally:
        _set(former)


def _set(changes: Any) -> None:
    for where, named in changes:
        for name, value in named.items():
            setattr(where, name, value)


def _container(world: World) -> Container:
    assert isinstance(world.process, Container)
    return world.process


def deployed(cloud: Cloud) -> Any:
    """Make the functions' modules use the simulated cloud until the end of the block."""
    world = cloud.world
    clock = type("Clock", (Clock,), {"world": world})
    executor, time, quiet = Executor(world), Time(world), _Quiet()
    parameters = SimpleNamespace(settings=lambda: cloud.wish)
    common: dict[str, Any] = {"datetime": clock, "logger": quiet, "metrics": quiet}
    changes: list[tuple[ModuleType, dict[str, Any]]] = [
        (
            ingest_app,
            common
            | {
                "emit_by": lambda *arguments: None,
                "monotonic": time.monotonic,
                "store": cloud.store(attempts=3),
                "calendar": lambda now: _container(world).calendar(now),
                "writer": LedgerWriter(cloud.store(attempts=3), executor=executor),  # type: ignore[arg-type]
                "rates": lambda: _container(world).rates(),
            },
        ),
        (dynamodb, {"time": time, "random": world.random}),
        (ledger_writer, {"monotonic": time.monotonic, "wait": executor.wait}),
        (fx_conversion, {"monotonic": time.monotonic, "wait": executor.wait}),
        (recompute, {"ThreadPoolExecutor": executor, "time": time, "random": world.random}),
        (usage_reader, {"ThreadPoolExecutor": executor}),
        (breakdown_reader, {"ThreadPoolExecutor": executor}),
        (repricing, {"ThreadPoolExecutor": executor}),
        (breakdown, {"VALUES_MAX": cloud.values_max, "HELD_MAX": cloud.values_max}),
        (observability, {"metrics": quiet}),
        (
            rollup_queue,
            {
                "ThreadPoolExecutor": executor,
                "time": time,
                "random": world.random,
                "connect": lambda: _Sqs(cloud),
            },
        ),
        (
            planner_app,
            common
            | {
                "config": parameters,
                "store": _OwnStore(cloud, attempts=5),
                "sqs": _Sqs(cloud),
            },
        ),
        (
            worker_app,
            common
            | {
                "config": parameters,
                "terms": cloud.terms,
                "store": _OwnStore(cloud, attempts=8),
            },
        ),
    ]
    return replaced(*changes)
