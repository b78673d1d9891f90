"""Send the events to a stack, name who is in them, and have the rollup add up their days."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain, islice
from typing import Any

import boto3
from botocore.config import Config

from impact.calendar import Calendar
from impact.fx_rates import FX_LOOKBACK_DAYS, FxRate
from impact.naming import KEY, TEAM, USER, Name
from impact.store import Store
from impact_cli.deployed_stack import calendar_of, physical_id, store_of
from impact_cli.progress import Progress
from impact_client import Impact
from local.fake_ecb import published
from local.months.events import Event, Months
from local.months.people import KEYS, TEAMS, people
from local.stack import Stack
from local.waiting import PATIENCE_SECONDS
from request_events.limits import EVENTS_MAX

SENDERS = 2
WORKERS = 2
"""Parts of days recomputed at a time. Each is a process on this machine."""
TRIES = 4
RESERVE_DAYS = 3
"""Days before an event would be too old for the stack that are left alone."""


@dataclass
class Sent:
    """How the stack took the events."""

    created: int = 0
    duplicates: int = 0
    rejected: int = 0


class NotFilled(Exception):
    """The stack did not do what it was asked."""


@dataclass(frozen=True)
class Target:
    """A stack to fill."""

    session: boto3.Session
    stack: str
    store: Store
    calendar: Calendar
    impact: Impact
    read_token: str = field(default="", repr=False)


def target_of(stack: Stack, ingest_token: str | None = None) -> Target:
    """A stack that this process has deployed. Its own ingest token is used unless another one is given."""
    store = store_of(stack.session, stack.name)
    impact = Impact(
        stack.api_url, read_token=stack.read_token, ingest_token=ingest_token or stack.ingest_token
    )
    calendar = calendar_of(stack.session, stack.name, store)
    return Target(stack.session, stack.name, store, calendar, impact, stack.read_token)


def plausible(
    calendar: Calendar, days: int = 92, users: int = 40, requests: int = 100, seed: int = 0
) -> Months:
    """Use of so many days up to now. Raises NotFilled if the ledger does not keep events for so long."""
    now = datetime.now(UTC)
    today = calendar.day_of(now)
    settings = calendar.settings_of(today)
    longest = settings.retention.days - RESERVE_DAYS
    if days > longest:
        raise NotFilled(f"the stack takes no events of more than {longest} days ago: --days={longest}.")
    first = date.fromisoformat(today) - timedelta(days=days - 1)
    return Months(people(users, seed), first, now, settings.zone, requests, seed)


def fill(target: Target, months: Months, progress: Progress) -> Sent:
    """Fill a stack. It can be repeated: what is there already stays. Raises NotFilled, ImpactError."""
    store_rates(target.store, months)
    store_names(target.store, months)
    days = [str(day) for day in months.days()]
    sent = send(target.impact, chain.from_iterable(map(months.events, months.days())), progress)
    recompute(target, days, progress)
    return sent


def store_rates(store: Store, months: Months) -> None:
    """Store the fx rates of the days, those that are not known yet."""
    days = months.days()
    rates = published(str(days[0] - timedelta(days=FX_LOOKBACK_DAYS)), str(days[-1]))
    known = store.state.fx_rates(min(rates), max(rates)).usd
    for day, usd in rates.items():
        if day not in known:
            store.state.put_fx_rate(FxRate(day, usd), source="local.months", now=months.now)


def store_names(store: Store, months: Months) -> None:
    """Name the users, teams and keys, as `impact name` does."""
    for user in months.users:
        if user.name:
            store.names.put(USER, user.id, user.name, months.now)
    for team in TEAMS:
        if team.name:
            store.names.put(TEAM, team.id, team.name, months.now)
    for key, name in KEYS.items():
        store.names.put(KEY, key, Name(name), months.now)


def send(impact: Impact, events: Iterator[Event], progress: Progress) -> Sent:
    """Send events, as many as one request takes at a time. Raises NotFilled, ImpactError."""
    sent = Sent()
    with ThreadPoolExecutor(SENDERS) as senders:
        for answer in progress.of(senders.map(impact.send_many, _batches(events)), "deliveries"):
            sent.created += answer["created"]
            sent.duplicates += answer["duplicates"]
            sent.rejected += len(answer["rejected"])
            if answer["rejected"]:
                raise NotFilled(f"The stack rejected events: {answer['rejected'][0]['errors']}")
    return sent


def _batches(events: Iterator[Event]) -> Iterator[list[Event]]:
    while batch := list(islice(events, EVENTS_MAX)):
        yield batch


def recompute(target: Target, days: Sequence[str], progress: Progress) -> None:
    """Have the workers add up the days, then the planner store the totals of those that are final.

    Raises NotFilled.
    """
    worker = _function(target, "RollupWorkerFunction")
    shards = [(day, shard) for day in days for shard in range(target.calendar.shard_count(day))]

    def of_shard(place: tuple[str, int]) -> None:
        for _ in range(TRIES - 1):  # an emulated worker dies now and then on a busy machine
            with suppress(NotFilled):
                worker({"day": place[0], "shard": place[1]})
                return
        worker({"day": place[0], "shard": place[1]})

    with ThreadPoolExecutor(WORKERS) as workers:
        for _ in progress.of(workers.map(of_shard, shards), f"of {len(shards)} parts of days added up"):
            pass
    planner = _function(target, "RollupFunction")
    planner({})
    while before := without_total(target.store, days[0]):
        progress.show("Storing the totals of final days")
        planner({})
        if without_total(target.store, days[0]) == before:
            raise NotFilled(f"The rollup has not finished {', '.join(before)}")


def _function(target: Target, logical_id: str) -> Callable[[Any], Any]:
    """Return what calls a function of the stack. It raises NotFilled if the function fails."""
    name = physical_id(target.session, target.stack, logical_id)
    client = target.session.client("lambda", config=Config(read_timeout=PATIENCE_SECONDS))

    def call(payload: Any) -> Any:
        called = client.invoke(FunctionName=name, Payload=json.dumps(payload).encode())
        answer = json.loads(called["Payload"].read() or "null")
        if "FunctionError" in called:
            raise NotFilled(f"{logical_id} failed: {answer}")
        return answer

    return call


def without_total(store: Store, first: str) -> list[str]:
    """The final days that have no total stored yet."""
    reached = store.state.progress()
    if reached is None:
        return []
    stored = store.state.daily_totals(first, reached.watermark)
    count = (date.fromisoformat(reached.watermark) - date.fromisoformat(first)).days + 1
    days = [str(date.fromisoformat(first) + timedelta(days=n)) for n in range(count)]
    return [day for day in days if day not in stored or stored[day].sums is None]
