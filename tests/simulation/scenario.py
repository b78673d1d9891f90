"""What a seed decides: the requests, the failures, and the end."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from botocore.exceptions import BotoCoreError, ClientError

from impact.billing import Terms
from impact.breakdown import DIMENSIONS
from impact.breakdown_reader import BreakdownReader
from impact.calendar import (
    ALLOWED_LATENESS,
    CLOCK_SKEW_MAX,
    MARK_MARGIN,
    RETENTION_RESERVE,
    Settings,
    day_after,
    days_between,
)
from impact.corrections import append_correction, finish_corrections
from impact.fx_rates import FxRate, days_converted_at, is_target_day
from impact.keys import parse_day_shard
from impact.price_book import Price, Rates
from impact.usage_reader import UsageReader
from impact_cli.repricing import days_of, totals_of
from tests.simulation.cloud import CALM, EVENTS, WORKER_SECONDS, Cloud, Container, Sky, deployed
from tests.simulation.database import LATE_SECONDS, STALE_SECONDS, Weather
from tests.simulation.explained import explain_summaries
from tests.simulation.oracle import Oracle, Violation, records
from tests.simulation.proxy import Disk, Machine, Worker, installed
from tests.simulation.world import Process, World

HOUR, DAY = 3600.0, 86400.0
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Pacific/Kiritimati",
    "Asia/Kolkata",
    "Pacific/Pago_Pago",
)
USERS = ("alice", "bob", "a#", "a", "zoë 😀")
MODELS = ("gpt-4o-mini", "m2", "m3")
"""One with a known footprint, one without, and one of which LiteLLM knows no price."""
UNPRICED = "m3"
PROVIDERS = ("openai", "openai", "openai", "azure")
TEAMS = (None, None, "growth", "Growth", "GROWTH", "=1+1", "zoë 😀")
KEYS = (None, "null", "None", "a#b", "\u202egnp", '</script>"')
TAGS = ("a", "A", "b", "__proto__", "None", "other")
PATTERNS = (
    "openai/m2",
    "openai/m2",
    "openai/m3",
    "openai/m*",
    "openai/*",
    "azure/m*",
    "*",
    "openai/gpt-4o-mini",
)
"""Of prices."""
STARTS = (
    *("2026-03-27", "2026-10-23", "2026-03-06", "2026-10-30"),  # summer time begins or ends
    *("2026-04-01", "2026-12-24", "2026-07-15", "2026-01-30"),  # Easter, Christmas, a week, a month's end
)
DRAIN_SECONDS = 2 * DAY
PUBLISHED_AT = 15 * HOUR
"""Time at which the European Central Bank publishes a rate, in seconds after midnight UTC."""

STORM = Sky(Weather(refused=25, unanswered=8, late=8, slow=20), network=25, deaths=4)
RAIN = Sky(Weather(refused=2, unanswered=2, late=2, slow=15), network=6, deaths=1)


@dataclass(repr=False)
class Simulation:
    """One simulation, from its first request until everything is in summaries."""

    seed: int
    folder: Path
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random = Random(self.seed)
        zone = ZoneInfo(random.choice(ZONES))
        self.start = datetime.combine(date.fromisoformat(random.choice(STARTS)), datetime.min.time(), zone)
        self.days = random.randint(2, 3)
        retention = timedelta(days=random.choice((3, 4, 6, 400)))
        settings = Settings(zone, retention, random.randint(1, 3))
        self.changes_settings = random.random() < 0.3
        if self.changes_settings:
            self.days += 2  # a change applies to later days
        self.late_rates = (
            random.choice((0.0, 12 * HOUR)) if retention.days < 5 else random.choice((0.0, 60 * HOUR))
        )
        self.batch_size = random.choice((1, 1, 5))
        self.flush_seconds = random.choice((900.0, 3600.0))  # a sender scans its outbox as often
        self.skies = random.choice(((CALM,), (RAIN,), (RAIN, STORM), (CALM, STORM)))
        self.is_over = False
        self.world = World(random.getrandbits(64), self.start.astimezone(UTC))
        self.cloud = Cloud(self.world, settings, self.sky, self._terms())
        self.cloud.meddling = random.choice((0.0, 0.3, 0.5))
        self.labels = Random(f"{self.seed} labels")
        self.prices = Random(f"{self.seed} prices")
        self.cloud.values_max = 2 if self.labels.random() < 0.2 else 10_000
        self.oracle = Oracle(self.world, self.cloud)
        self.disk = Disk(self.world)
        self.machines = [self._machine(number) for number in range(random.randint(1, 2))]
        self.chaos = Process("chaos")
        self.call_ids = 0
        self.operating = 0
        """Number of the operator's actions that have begun and not ended."""
        self.explained: Counter[str] = Counter()

    def __str__(self) -> str:
        workers = sum(len(machine.workers) for machine in self.machines)
        settings = " then ".join(
            f"{settings.zone}, retention {settings.retention.days} days, {settings.shard_count} shards"
            for settings in (period.settings for period in self.cloud.calendar.periods)
        )
        return f"{self.days} days from {self.start:%Y-%m-%d} in {settings}, {workers} workers"

    def sky(self) -> Sky:
        """Change the failure rates every quarter of an hour."""
        if self.is_over:
            return CALM
        return self.skies[hash(int(self.world.now // 900)) * 2654435761 % 97 % len(self.skies)]

    def run(self) -> None:
        """Raises Violation."""
        with installed(self.cloud, self.disk), deployed(self.cloud):
            try:
                self._live()
                self._drain()
                self.oracle.check(self._refused(), self._rates())
                self.explained = explain_summaries(self.cloud)
            finally:
                self.world.close()
                for process in list(self.disk.open_files):
                    self.disk.freed(process)

    # What happens

    def _live(self) -> None:
        end = self.days * DAY
        self._publish_rates(end)
        for machine in self.machines:
            for number in range(len(machine.workers)):
                self._boot(machine, number)
        for _ in range(self.random.randint(4, 16)):
            self._at(self._a_moment(end), self._request)
        for _ in range(self.random.randint(1, 4)):
            moment, age = self._a_moment(end), self._age(late=0.7)
            for _ in range(self.random.randint(2, 6)):  # several on one day, in quick succession
                moment += self.random.expovariate(self.random.choice((0.01, 1.0, 5.0)))
                self._at(moment, lambda age=age: self._request(age))
        for hours in self._times(end, 3 * HOUR, 14 * HOUR):
            self._at(hours, self.cloud.roll_up)
        for moment in self._closings(end):
            self._at(moment, self.cloud.roll_up)
        if self.changes_settings:
            for moment in (self.random.uniform(0, 40 * HOUR), self.random.uniform(0, 60 * HOUR)):
                self._at(moment, self._change_settings)
        if self.random.random() < 0.15:
            self._overlap_counts(self._a_moment(end))
        if self.random.random() < 0.2:
            self._at(self._a_moment(end), self._delete_events)
        for _ in range(self.random.randint(0, 8)):
            self._at(self._a_moment(end), self._read)
        self._change_prices(end)
        for moment in self._times(end, 6 * HOUR, 30 * HOUR):
            self._at(moment, self.random.choice((self._kill, self._stop, self._outage, self._full_disk)))
        for moment in self._times(end + 2 * DAY, 3 * HOUR, 12 * HOUR):
            self._at(moment, self._expire)
        self._wait(end)

    def _drain(self) -> None:
        """Stop all failures, and let everything finish."""
        self.is_over = True
        self.cloud.is_down = False
        for machine in self.machines:
            machine.disk_is_full = False
            for number in range(len(machine.workers)):
                self._boot(machine, number)
        for rate in self._rates():
            if not self.oracle.is_published(rate):
                self.cloud.publish(rate)
        self._until(lambda: not self._undelivered(), "the outboxes to empty")
        self._until(lambda: not self.operating, "the operator to be done")
        self._wait(WORKER_SECONDS)  # until nothing of before is under way
        self._count_all()
        self.oracle.check_open_days()
        calendar = self.cloud.calendar
        last = calendar.closes_at(calendar.day_of(self.world.clock))
        self._wait(max(0.0, (last - self.world.clock).total_seconds()) + CLOCK_SKEW_MAX.total_seconds())
        self._count_all()

    def _count_all(self) -> None:
        self._until(lambda: not self.cloud.under_way, "calls to end")
        self.cloud.roll_up()
        self._until(lambda: not self.cloud.under_way, "a rollup to end")
        self._wait(CLOCK_SKEW_MAX.total_seconds())

    def _undelivered(self) -> bool:
        return any(
            path.stat().st_size for machine in self.machines for path in machine.folder.glob("*.jsonl")
        )

    def _until(self, condition: Any, what: str) -> None:
        end = self.world.now + DRAIN_SECONDS
        while not condition():
            if self.world.now > end:
                raise Violation(f"waited in vain for {what}")
            self._wait(30)

    def _wait(self, seconds: float) -> None:
        elapsed: list[bool] = []
        self.world.spawn(self.chaos, lambda: elapsed.append(True), seconds)
        self.world.run(lambda: bool(elapsed))

    def _at(self, moment: float, what: Any) -> None:
        """Schedule an action so many seconds after the start."""
        self.world.spawn(self.chaos, what, moment)

    # Requests

    def _request(self, age: float | None = None) -> None:
        machine, number = self._somewhere()
        worker = machine.workers[number]
        if worker is None:
            return
        kwargs = self._kwargs(worker, age)
        self.world.spawn(worker, lambda: self._report(machine, worker, kwargs), self.random.random())
        # Reported twice, with different values: the first one to arrive stays.
        if self.random.random() < 0.05:
            self.call_ids -= 1
            again = self._kwargs(worker)
            for name in ("startTime", "endTime", "end_user", "status", "error_information"):
                again["standard_logging_object"][name] = kwargs["standard_logging_object"][name]
            self.world.spawn(worker, lambda: self._report(machine, worker, again), self.random.random() * 100)

    def _report(self, machine: Machine, worker: Worker, kwargs: dict[str, Any]) -> None:
        self.oracle.attempted(kwargs)
        line = worker.report(kwargs)
        self.oracle.captured(json.loads(line, parse_float=Decimal))
        self.world.note(worker.name, f"has captured {line[:200].decode()}")

    def _kwargs(self, worker: Worker, age: float | None = None) -> dict[str, Any]:
        random = self.random
        self.call_ids += 1
        start = self.world.now + worker.skew - (self._age() if age is None else age)
        failed = random.random() < 0.15
        model = random.choice(MODELS)
        tokens = 0 if failed else random.randint(1, 10**6)
        return {
            "litellm_call_id": f"call-{self.call_ids}",
            "model": model,
            "standard_logging_object": {
                "status": "failure" if failed else "success",
                "error_information": {"llm_provider": "sim"} if failed else {},
                "end_user": random.choice(USERS),
                "custom_llm_provider": self.labels.choice(PROVIDERS),
                "startTime": start,
                "endTime": start + random.random() * 30,
                "prompt_tokens": tokens,
                "completion_tokens": tokens // 7,
                "response_cost": 0.0
                if failed or random.random() < 0.1 or model == UNPRICED
                else random.random() / 100,
                **self._labels(tokens),
            },
        }

    def _labels(self, tokens: int) -> dict[str, Any]:
        """Who asked, and tokens that are charged otherwise: some senders report more of these than of all."""
        random = self.labels
        cached, written, reasoning = (
            random.choice((None, 0, tokens // 3, tokens // 20, tokens * 2)) for _ in range(3)
        )
        return {
            "metadata": {
                "user_api_key_team_id": random.choice(TEAMS),
                "user_api_key_alias": random.choice(KEYS),
                "usage_object": {
                    "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
                    "completion_tokens_details": {"reasoning_tokens": reasoning},
                },
            },
            "request_tags": random.choices(TAGS, k=random.choice((0, 0, 1, 2, 4))),
            "cache_hit": tokens > 0 and random.random() < 0.05,
        }

    def _age(self, late: float = 0.25) -> float:
        """Choose how long ago the reported request was: moments, or days."""
        if self.random.random() > late:
            return self.random.random() * 30
        oldest = min(self.cloud.wish.retention - RETENTION_RESERVE, timedelta(days=8)).total_seconds()
        ages = (self.random.uniform(0, oldest), oldest + self.random.uniform(-HOUR, HOUR), 3.2 * HOUR)
        return self.random.choice(ages)

    def _a_moment(self, end: float) -> float:
        """Choose a second of the simulated days, more often one at which something changes."""
        random = self.random
        if random.random() < 0.3:
            return random.uniform(0, end)
        calendar = self.cloud.calendar
        day = calendar.day_of(self.start + timedelta(seconds=random.uniform(0, end)))
        edge = calendar.starts_at(day) + random.choice(
            (timedelta(0), ALLOWED_LATENESS, ALLOWED_LATENESS - MARK_MARGIN)
        )
        moment = (edge - self.start).total_seconds() + random.gauss(0, random.choice((5, 300, 1500)))
        return min(max(0.0, moment), end - 1)

    # Trouble

    def _kill(self) -> None:
        machine, number = self._somewhere()
        worker = machine.workers[number]
        if worker is None:
            return
        if self.random.random() < 0.4:
            worker.dies_writing = True
            self.world.spawn(worker, lambda: self._request_of(machine, worker))
            return
        self._end(machine, number)

    def _request_of(self, machine: Machine, worker: Worker) -> None:
        try:
            self._report(machine, worker, self._kwargs(worker))
        finally:
            number = machine.workers.index(worker) if worker in machine.workers else None
            if number is not None:
                self.world.spawn(self.chaos, lambda: self._end(machine, number))

    def _end(self, machine: Machine, number: int) -> None:
        """Kill a worker; it restarts later."""
        worker = machine.workers[number]
        if worker is None:
            return
        self.oracle.lost_with(worker)
        if worker.alive:
            self.world.kill(worker)
        self.disk.freed(worker)
        machine.workers[number] = None
        pause = self.random.choice((5.0, HOUR, self.random.uniform(0, 20 * HOUR)))
        self.world.spawn(self.chaos, lambda: self._boot(machine, number), pause)

    def _stop(self) -> None:
        """Stop a worker as SIGTERM does."""
        machine, number = self._somewhere()
        worker = machine.workers[number]
        if worker is None:
            return
        self.world.spawn(worker, lambda: worker.sender.close(2.0))
        self.world.spawn(self.chaos, lambda: self._end_of(machine, number, worker), 2.5)

    def _end_of(self, machine: Machine, number: int, worker: Worker) -> None:
        if machine.workers[number] is worker:
            self._end(machine, number)

    def _boot(self, machine: Machine, number: int) -> None:
        if machine.workers[number] is not None:
            return
        name = f"proxy {self.machines.index(machine)}.{number}"
        worker = machine.workers[number] = Worker(name, machine, self.batch_size, self.flush_seconds)
        self.world.note(name, "starts")
        self.world.spawn(worker, worker.sender.start)

    def _outage(self) -> None:
        self.cloud.is_down = True
        self.world.note("service", "is down")
        seconds = self.random.choice((60.0, HOUR, 15 * HOUR))
        self.world.spawn(self.chaos, self._recover, seconds)
        if self.random.random() < 0.5:
            self.world.spawn(self.chaos, self._kill, self.random.uniform(0, seconds))

    def _recover(self) -> None:
        self.cloud.is_down = False
        self.world.note("service", "is up")

    def _full_disk(self) -> None:
        machine, _ = self._somewhere()
        machine.disk_is_full = True
        self.world.note("disk", "is full")

        def free() -> None:
            machine.disk_is_full = False
            self.world.note("disk", "has room")

        self.world.spawn(self.chaos, free, self.random.choice((10.0, HOUR)))

    def _expire(self) -> None:
        """Delete expired items as TTL does: at some time within two days."""
        latest = self.world.now - self.random.uniform(0, 2 * DAY)
        self.oracle.expire(latest)

    # What an operator does

    def _change_settings(self) -> None:
        """Deploy other parameters; half of the time, revert them some hours later."""
        before, random = self.cloud.wish, self.random
        self.cloud.wish = Settings(
            ZoneInfo(random.choice(ZONES)) if random.random() < 0.5 else before.zone,
            timedelta(days=random.choice((3, 4, 6, 400))) if random.random() < 0.5 else before.retention,
            random.randint(1, 3),
        )
        self.world.note("operator", f"deploys {self.cloud.wish}")
        if random.random() < 0.5:

            def take_back() -> None:
                self.cloud.wish = before
                self.world.note("operator", f"deploys {before}")

            self.world.spawn(self.chaos, take_back, random.uniform(0, 30 * HOUR))

    def _overlap_counts(self, moment: float) -> None:
        """For some minutes, run the planner far more often than a recomputation takes."""
        for number in range(30):
            self._at(moment + number * self.random.uniform(1, 10), self.cloud.roll_up)

    def _delete_events(self) -> None:
        """Delete some events of a user's day, and recompute the day: at once, and again some time later."""
        days = {(item["userId"], item["day"], item["dayShard"]) for item in self.oracle.stored.values()}
        soon = self.world.clock + timedelta(days=1)
        user_id, day, key = self.random.choice(
            sorted(each for each in days if not self.cloud.calendar.may_have_expired(each[1], soon))
            or [("", "", "")]
        )
        if not key:
            return
        self.oracle.touched.add((user_id, day))
        self.oracle.deletes = True
        for where, item in list(self.cloud.database.tables[EVENTS].versions.items()):
            if (
                where[0] == key
                and item.item
                and item.item["userId"]["S"] == user_id
                and self.random.random() < 0.8
            ):
                self.cloud.database.delete(EVENTS, item.item, "", {}, {})
        self.oracle.deletes = False
        self.cloud.queue.put(json.dumps(target := {"day": day, "shard": parse_day_shard(key)[1]}))
        self._count_by_hand(target, LATE_SECONDS + STALE_SECONDS + WORKER_SECONDS)

    def _count_by_hand(self, target: dict[str, Any], delay: float) -> None:
        """Recompute after a while, and retry until it succeeds."""
        self.operating += 1

        def count() -> None:
            if self.cloud.count_now(target):
                self.operating -= 1
            else:
                self.world.spawn(self.chaos, count, 600.0)

        self.world.spawn(self.chaos, count, delay)

    def _correct(self, rate: FxRate) -> None:
        """Correct a wrong fx rate, and recompute the days that were converted at it."""
        self.cloud.publish(rate, correction=1)
        calendar = self.cloud.calendar
        for day in days_converted_at(rate.date):
            self.oracle.corrected.add(day)
            if day <= calendar.day_of(self.world.clock):
                for shard in range(calendar.shard_count(day)):
                    self._count_by_hand({"day": day, "shard": shard}, self.random.uniform(0, 600))

    def _change_prices(self, end: float) -> None:
        """Append prices, and correct final days by them, sometimes twice at once."""
        random = self.prices
        for _ in range(random.choice((0, 1, 3, 5))):
            self._at(random.uniform(0, end), self._append_prices)
        for _ in range(random.choice((0, 0, 1, 2))):
            moment = random.uniform(0.2 * end, end)
            self._at(moment, self._append_prices)
            for _ in range(random.choice((1, 1, 2))):
                self._at(moment + random.expovariate(random.choice((1 / HOUR, 0.1))), self._reprice)
            for _ in range(random.choice((0, 2))):
                late = self._age(late=1.0)
                self._at(moment + random.expovariate(0.001), lambda late=late: self._request(late))
            for _ in range(random.choice((0, 3))):
                self._at(moment + random.expovariate(0.01), self.cloud.roll_up)

    def _append_prices(self) -> None:
        """Append prices to the book, as `impact price` does."""
        now, prices = self.world.clock, [self._price() for _ in range(self.prices.choice((1, 1, 3)))]

        def append() -> None:
            book = self.cloud.store(5).prices
            while not book.append(book.book().revision + 1, prices, by="operator", now=now):
                pass

        self._operate(append)

    def _price(self) -> Price:
        random = self.prices
        first = str((self.world.clock - timedelta(days=random.choice((-1, 0, 1, 1, 2, 2, 3, 9)))).date())
        pattern = random.choice(PATTERNS)
        if random.random() < 0.15:
            return Price("", pattern, first, None)
        kinds = ("input", "output", *random.sample(("cached", "cacheWrite", "reasoning", "perSecond"), 2))
        rates = Rates(**{kind: Decimal(random.randint(0, 10**5)).scaleb(-3) for kind in kinds})
        return Price(
            "", pattern, first, rates, random.choice(("USD", "EUR")), random.choice(("unpriced", "all"))
        )

    def _reprice(self) -> None:
        """Correct final days by the newest prices, as `impact reprice` does. It may be killed anywhere."""
        random, now, calendar = self.prices, self.world.clock, self.cloud.calendar
        first, last = (str((now + timedelta(days=n)).date()) for n in (-9, 1))
        some, counts, meddles = random.random(), random.random() < 0.5, random.random() < 0.5

        def correct() -> None:
            store = self.cloud.store(5)
            book = store.prices.book()
            due = days_of(store, calendar, book, first, last, now).due
            due = due[int(some * len(due)) :] if some < 0.5 else due
            if not due:
                return
            totals = totals_of(store, calendar, due)
            self.world.sleep(self.world.random.expovariate(0.1))  # until a person has agreed
            if meddles:
                self._count_days(due, within=5.0 * len(due))
            append_correction(store, book.revision, totals, reason="a test", by="operator", now=now)
            finish_corrections(store, calendar, now)
            if counts:
                self._count_days(due, within=1.0)

        operator = self._operate(correct)
        if random.random() < 0.5:
            killed = random.expovariate(random.choice((1.0, 0.05)))
            self.world.spawn(self.chaos, partial(self._kill_operator, operator), killed)

    def _count_days(self, days: list[str], within: float) -> None:
        """Recompute days within so many seconds, some of them twice."""
        for day in days:
            for shard in range(self.cloud.calendar.shard_count(day)):
                for _ in range(self.prices.choice((1, 2))):
                    count = partial(self.cloud.count_now, {"day": day, "shard": shard})
                    self.world.spawn(self.cloud.network, count, self.prices.uniform(0, within))

    def _kill_operator(self, operator: Process) -> None:
        if operator.alive:
            self.world.kill(operator)

    def _operate(self, work: Callable[[], object]) -> Process:
        """Run a command of the operator's, in a process of its own. It may fail."""

        def run() -> None:
            try:
                with suppress(BotoCoreError, ClientError):
                    work()
            finally:
                self.operating -= 1

        self.operating += 1
        process = Container("operator")
        process.is_sluggish = self.prices.random() < 0.5
        self.world.spawn(process, run)
        return process

    def _read(self) -> None:
        """Check the API's responses, whatever happens at that moment."""
        acknowledged, now = set(self.cloud.acknowledged), self.world.clock
        calendar = self.cloud.calendar
        first, last = (str((now + timedelta(days=n)).date()) for n in (-9, 1))
        user_id, fresh = self.random.choice(USERS), self.random.random() < 0.3
        some_days = self.random.sample(list(days_between(first, last)), 3)
        by = self.labels.choice(DIMENSIONS)

        def look() -> None:
            reader = UsageReader(self.cloud.store(5), calendar, Terms())
            with suppress(BotoCoreError, ClientError):
                self.oracle.is_shown(
                    reader.user(user_id, first, last, fresh=fresh, now=now)["days"], acknowledged
                )
            with suppress(BotoCoreError, ClientError):
                for day in some_days:
                    self.oracle.is_shown(reader.day(day, None)["items"], acknowledged)
            with suppress(BotoCoreError, ClientError):
                self.oracle.is_shown_of_the_platform(reader.platform(first, last)["days"], acknowledged)
            breakdown = BreakdownReader(self.cloud.store(5), calendar)
            with suppress(BotoCoreError, ClientError):
                for day in some_days:
                    self.oracle.is_shown_by(by, day, breakdown.values(by, day, day), acknowledged)

        self.world.spawn(Process("reader"), look)

    # What there is

    def _terms(self) -> Terms:
        random = Random(f"{self.seed} terms")
        markup, fee = random.choice((0, 10, Decimal("7.25"))), random.choice((0, 2, Decimal("0.333")))
        kg_per_m2 = random.choice((None, Decimal("0.7")))
        return Terms(Decimal(markup), Decimal(fee), kg_per_m2)

    def _machine(self, number: int) -> Machine:
        folder = self.folder / f"outbox-{number}"
        skew = self.random.uniform(-120, 120)
        clocks = Random(f"{self.seed} {number}")
        if clocks.random() < 0.1:  # it reports a time that the service rejects by then
            skew = clocks.choice((400.0, HOUR, 5 * HOUR))
        return Machine(folder, skew, [None] * self.random.randint(1, 2))

    def _somewhere(self) -> tuple[Machine, int]:
        machine = self.random.choice(self.machines)
        return machine, self.random.randrange(len(machine.workers))

    def _times(self, end: float, shortest: float, longest: float) -> Iterator[float]:
        moment = self.random.uniform(0, longest)
        while moment < end:
            yield moment
            moment += self.random.uniform(shortest, longest)

    def _closings(self, end: float) -> Iterator[float]:
        """Moments soon after a day has closed."""
        day = self.cloud.calendar.day_of(self.start - timedelta(days=1))
        for _ in range(self.days):
            moment = (self.cloud.calendar.closes_at(day) - self.start).total_seconds() + self.random.gauss(
                0, 60
            )
            if 0 < moment < end:
                yield moment
            day = day_after(day)

    def _refused(self) -> list[dict[str, Any]]:
        """The rejected events: quarantined ones, and those reported while the disk was full."""
        paths = [path for machine in self.machines for path in machine.folder.glob("rejected/*.jsonl")]
        return [*self.disk.not_kept, *(record for path in paths for record in records(path.read_text()))]

    def _rates(self) -> list[FxRate]:
        """The fx rates of all days that may have events."""
        first = self.start.date() - timedelta(days=15)
        days = (first + timedelta(days=number) for number in range(15 + self.days + 3))
        return [
            FxRate(day.isoformat(), Decimal(10_000 + day.toordinal() * 37 % 2_500).scaleb(-4))
            for day in days
            if is_target_day(day)
        ]

    def _publish_rates(self, end: float) -> None:
        rates, slip = self._rates(), None
        if self.cloud.wish.retention.days == 400 and self.random.random() < 0.25:
            slip = self.random.choice(rates)
        for rate in rates:
            published = datetime.combine(date.fromisoformat(rate.date), datetime.min.time(), UTC)
            moment = published.timestamp() + PUBLISHED_AT - self.world.now
            moment += self.random.uniform(0, self.late_rates) if self.random.random() < 0.3 else 0.0
            is_slip = rate is slip and moment < end - HOUR
            known = FxRate(rate.date, rate.usd * 10) if is_slip else rate
            if moment <= 0:
                self.cloud.publish(known)
            elif moment < end:
                self._at(moment, lambda known=known: self.cloud.publish(known))
            if is_slip:
                corrected = max(0.0, moment) + self.random.uniform(60, 40 * HOUR)
                self._at(min(corrected, end - HOUR), lambda rate=rate: self._correct(rate))
