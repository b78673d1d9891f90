"""What must hold. The oracle observes everything, and uses none of the code under test."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any

from impact.billing import Terms
from impact.breakdown_reader import BreakdownReader
from impact.calendar import CLOCK_SKEW_MAX, RETENTION_RESERVE, Settings
from impact.dynamodb import item_from_wire
from impact.fx_rates import FxRate
from impact.usage_reader import UsageReader
from request_events.capture import capture, encode
from tests.simulation.cloud import EVENTS, STATE, SUMMARIES, WORKER_SECONDS, Cloud
from tests.simulation.database import LATE_SECONDS, Wire
from tests.simulation.pricing import Book
from tests.simulation.world import Process, World

if TYPE_CHECKING:
    from tests.simulation.proxy import Worker

Event = dict[str, Any]
SUMS = ("requests", "failures", "tokens_in", "tokens_out", "costReportedUSD", "latencyTotal")
COSTS = ("costUSD", "unpriced", "repriced")
"""What the price book decides, as does costEUR."""
DIMENSIONS: dict[str, Callable[[Event], list[str | None]]] = {
    "user": lambda item: [item["userId"]],
    "team": lambda item: [item.get("teamId") or None],
    "key": lambda item: [item.get("keyAlias") or None],
    "tag": lambda item: list(dict.fromkeys(item.get("tags") or [None])),
    "model": lambda item: [f"{item['provider']}/{item['model']}"],
    "provider": lambda item: [item["provider"]],
}
"""The values of an event."""
SLOW_SECONDS = WORKER_SECONDS + LATE_SECONDS
"""A recompute may have read the price book so long ago."""
SENT = ("userId", "tokens_in", "tokens_out", "costUSD", "status", "model", "latency")
_38_DIGITS = Context(prec=38)
_EXACT = Context(prec=100)
_LAST_DIGITS = Decimal("1E-32")
"""Of a value's euros: its cost is rounded to the last digit of the day's."""


class Violation(BaseException):
    """Something that must hold does not. No `except Exception` of the code under test can catch it."""

    def __init__(self, what: str, *about: object) -> None:
        super().__init__(what)
        self.about = tuple(str(each) for each in about)
        """Words that find the relevant lines of the trace."""


@dataclass
class Oracle:
    """Records all events, independently of the service."""

    world: World
    cloud: Cloud
    reported: dict[str, Event] = field(default_factory=dict)
    """By event id, the events that the callback has stored: these must be in the ledger."""
    begun: dict[str, list[Event]] = field(default_factory=dict)
    """Events that the callback was called with: one of each may be in the ledger."""
    excused: set[str] = field(default_factory=set)
    """Events in the memory of processes that died while their disk was full."""
    stored: dict[str, Event] = field(default_factory=dict)
    """By event id, all items that were ever in the ledger."""
    stored_at: dict[str, float] = field(default_factory=dict)
    deletes: bool = False
    """Whether events are being deleted by hand now."""
    deleted: set[str] = field(default_factory=set)
    touched: set[tuple[str, str]] = field(default_factory=set)
    """(user, day)s with events deleted by hand."""
    corrected: set[str] = field(default_factory=set)
    """Days whose fx rate was corrected."""
    book: Book = field(default_factory=Book)
    revisions: dict[str, list[int]] = field(default_factory=dict)
    """By final day, the revision that it was final with at first, then that of each correction."""
    repriced_at: dict[str, float] = field(default_factory=dict)
    """When a final day got the revision of a correction last."""
    least: dict[tuple[str, str], int] = field(default_factory=dict)
    """By (user, day), which of the day's revisions the final summary has at least."""
    corrections: dict[int, Event] = field(default_factory=dict)
    finished: dict[int, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cloud.database.watch = self._watch

    # What happened

    def attempted(self, kwargs: Event) -> None:
        event = capture(kwargs)
        assert event is not None
        told = json.loads(encode(event), parse_float=Decimal)
        self.begun.setdefault(event["eventId"], []).append(told)

    def captured(self, event: Event) -> None:
        self.reported.setdefault(event["eventId"], event)

    def lost_with(self, worker: "Worker") -> None:
        for line in worker.in_memory:
            self.excused.add(json.loads(line)["eventId"])

    def is_published(self, rate: FxRate) -> bool:
        return self.cloud.database.tables[STATE].now(("rate", rate.date)) is not None

    def expire(self, latest: float) -> None:
        table = self.cloud.database.tables[EVENTS]
        for key, version in list(table.versions.items()):
            if version.item is not None and int(version.item["expiresAt"]["N"]) < latest:
                version.item, version.since, version.before = None, self.world.now, None
                self.world.note("TTL", f"deletes {key}")

    def _watch(self, table: str, before: Wire | None, now: Wire | None) -> None:
        if table == EVENTS:
            self._event(before, now)
        elif table == SUMMARIES:
            self._summary(before, now)
        elif (now or before or {})["kind"]["S"] in APPENDED:
            if before is not None:
                raise Violation(f"what is appended was changed: {before} -> {now}")
            appended = item_from_wire(now or {})
            self.world.note(appended["kind"], f"{appended}")
            APPENDED[appended["kind"]](self, appended)
        elif now is not None and now["kind"]["S"] == "rollup":
            self.world.note("progress", now["finalThrough"]["S"])
        elif now is not None and now["kind"]["S"] == "total":
            total = item_from_wire(now)
            self.world.note("total", f"{total['key']}: {total['requests']} requests, {total['asOf']}")
        elif now is not None and now["kind"]["S"] == "mark":
            self.world.note("mark", f"{now['key']['S']} {sorted(name for name in now if name > 'l')}")
        elif now is not None and now["kind"]["S"] == "settings":
            self.world.note("settings", f"from {now['key']['S']} on: {now}")

    def _event(self, before: Wire | None, now: Wire | None) -> None:
        if before is not None and now is None and self.deletes:
            del self.stored[before["eventId"]["S"]]
            self.deleted.add(before["eventId"]["S"])
            self.world.note("operator", f"deletes {before['userEvent']['S']}")
            return
        if before is not None or now is None:
            raise Violation(
                f"an event of the ledger was changed: {before} -> {now}", (before or {})["eventId"]["S"]
            )
        item = item_from_wire(now)
        self.world.note("ledger", f"{item['userEvent']} of {item['day']}")
        if item["eventId"] in self.stored:
            raise Violation(f"stored twice: {item['eventId']}", item["eventId"])
        self.stored[item["eventId"]] = item
        self.stored_at[item["eventId"]] = self.world.now

    def _summary(self, before: Wire | None, now: Wire | None) -> None:
        if now is None:
            gone = item_from_wire(before or {})
            self.world.note("summary", f"{gone['userId']} {gone['day']}: deleted")
            if (gone["userId"], gone["day"]) not in self.touched:
                raise Violation(f"a summary was deleted: {gone}", gone["day"])
            return
        new = item_from_wire(now)
        self.world.note(
            "summary",
            f"{new['userId']} {new['day']}: {new['requests']} requests, final {new['final']}, {new['asOf']}",
        )
        self._check_prices(new)
        if before is None:
            return
        old = item_from_wire(before)
        if not old["final"] or old | {name: new[name] for name in ("asOf", "revision")} == new:
            return
        if not new["final"]:
            raise Violation(f"what was final is not any more: {old} -> {new}", new["day"])
        was_converted = not old["unconverted"]
        since = (datetime.fromisoformat(old["asOf"]) - CLOCK_SKEW_MAX).timestamp()
        late = any(
            self.stored_at[event_id] >= since
            for event_id, item in self.stored.items()
            if (item["userId"], self.day_of(item)) == (new["userId"], new["day"])
        )
        if (new["userId"], new["day"]) in self.touched or new["day"] in self.corrected:
            return
        if self.repriced_at.get(new["day"], 0.0) >= since:
            return
        if was_converted and not late:
            raise Violation(f"a final day changed without a late event: {old} -> {new}", new["day"])

    def is_shown(self, shown: Sequence[Event], acknowledged: set[str]) -> None:
        """Check that a user's final total has all events acknowledged before. Raises Violation."""
        for row in shown:
            whose = (row["userId"], row["day"])
            if not row["final"] or whose in self.touched:
                continue
            known = [item for item in self.stored.values() if (item["userId"], item["day"]) == whose]
            least = sum(item["eventId"] in acknowledged for item in known)
            if not least <= row["requests"]:
                raise Violation(
                    f"{row['requests']} requests shown as final, {least} acknowledged: {row}", row["day"]
                )

    def is_shown_of_the_platform(self, shown: Sequence[Event], acknowledged: set[str]) -> None:
        """Check the same for the totals of days. Raises Violation."""
        touched = {day for _, day in self.touched}
        for row in shown:
            if not row["final"] or row["day"] in touched:
                continue
            known = [item for item in self.stored.values() if item["day"] == row["day"]]
            least = sum(item["eventId"] in acknowledged for item in known)
            if not least <= row["requests"]:
                raise Violation(
                    f"{row['requests']} requests of {row['day']}, {least} acknowledged", row["day"]
                )

    def is_shown_by(self, by: str, day: str, shown: Event, acknowledged: set[str]) -> None:
        """Check the same for a day's usage by a dimension. Raises Violation."""
        if not shown["final"] or day in {touched for _, touched in self.touched}:
            return
        known = [
            item for item in self.stored.values() if item["day"] == day and item["eventId"] in acknowledged
        ]
        found = sum(item["requests"] for item in shown["items"])
        if found < len(known):
            what = f"{found} requests of {day} by {by} shown as final, {len(known)} acknowledged"
            raise Violation(what, day)
        if not any(item.get("rest") for item in shown["items"]):
            rows = {item["value"]: item["requests"] for item in shown["items"]}
            for value in {value for item in known for value in DIMENSIONS[by](item)}:
                least = sum(value in DIMENSIONS[by](item) for item in known)
                if rows.get(value, 0) < least:
                    what = f"{rows.get(value, 0)} requests of {value} on {day}, {least} acknowledged"
                    raise Violation(what, day)

    # Prices

    def _price(self, item: Event) -> None:
        self.book.append(item["number"], item["prices"], self.world.now)

    def _day_prices(self, item: Event) -> None:
        """A final day gets a revision: the newest one when it becomes final, or that of a correction."""
        day, _, number = item["key"].partition("#")
        revisions, revision = self.revisions.setdefault(day, []), item["revision"]
        if int(number or 0) != len(revisions):
            raise Violation(f"{item} follows {len(revisions)} revisions", day)
        if not number:
            newest = self.book.newest_at(self.world.now)
            if not self.book.newest_at(self.world.now - SLOW_SECONDS) <= revision <= newest:
                raise Violation(f"{day} is final with revision {revision}, the newest is {newest}", day)
        else:
            self.repriced_at[day] = self.world.now
            if self.corrections[item["correction"]]["revision"] != revision:
                raise Violation(f"{day} has another revision than its correction", day)
        revisions.append(revision)

    def _correction(self, item: Event) -> None:
        if "finishedAt" in item:
            self.finished[item["number"]] = self.world.clock
            return
        self.corrections[item["number"]] = item
        for day, before in item["before"].items():
            events = [event for event in self.stored.values() if event["day"] == day]
            if len(events) == before["requests"] and day not in {touched for _, touched in self.touched}:
                self._check_before(day, before, events)

    def _check_before(self, day: str, before: Event, events: Sequence[Event]) -> None:
        """Check a day's total as a correction found it: another one may have been under way."""
        shards: dict[str, list[Event]] = {}
        for event in events:
            shards.setdefault(event["dayShard"], []).append(event)
        possible = {Decimal(0)}
        with localcontext(_EXACT):
            for of_shard in shards.values():
                costs = {self.book.cost(of_shard, day, each).costUSD for each in self.revisions[day]}
                possible = {sum_ + cost for sum_ in possible for cost in costs}
        if before["costUSD"] not in possible:
            raise Violation(f"{before['costUSD']} of {day} was none of {possible}", day)

    def _check_prices(self, new: Event) -> None:
        """Check a summary's costs as it is written: an open day has the newest prices, a final day its own.

        Not where the ledger has got further events since.
        """
        whose, day = (new["userId"], new["day"]), new["day"]
        events = [item for item in self.stored.values() if (item["userId"], item["day"]) == whose]
        if whose in self.touched or len(events) != new["requests"]:
            return
        now = self.world.now
        if new["final"]:
            revisions = self.revisions.get(day, [])
        else:
            revisions = list(range(self.book.newest_at(now - SLOW_SECONDS), self.book.newest_at(now) + 1))
        with localcontext(_EXACT):
            costs = [self.book.cost(events, day, revision) for revision in revisions]
        fitting = [
            n for n, cost in enumerate(costs) if all(new[name] == getattr(cost, name) for name in COSTS)
        ]
        if not fitting:
            raise Violation(f"{new} has the prices of none of the revisions {revisions}: {costs}", day)
        if new["final"]:
            if fitting[-1] < self.least.get(whose, 0):
                raise Violation(f"{new} goes back to the prices before a correction", day)
            self.least[whose] = max(self.least.get(whose, 0), fitting[0])

    # What must hold in the end

    def check(self, refused: Sequence[Event], rates: Sequence[FxRate]) -> None:
        """Check everything at the end. `refused` are the records of rejected events. Raises Violation."""
        self._check_ledger(self._too_old(refused))
        self._check_state()
        self._check_corrections()
        days = self._days()
        if unpriced := {day for _, day in days} - self.revisions.keys():
            raise Violation(f"final without a revision: {unpriced}", *unpriced)
        published = {rate.date: rate.usd for rate in rates}
        with localcontext(_EXACT):
            expected = {key: self._sums(of, key[1], -1, published) for key, of in days.items()}
            self._check_summaries(expected)
            self._check_first(days, published)
            self._check_reading(expected)
            self._check_dimensions(published)

    def check_open_days(self) -> None:
        """Check that open days have the newest prices. Nothing goes wrong any more, and all is recomputed."""
        calendar, now = self.cloud.calendar, self.world.clock
        table = self.cloud.database.tables[SUMMARIES]
        newest = len(self.book.revisions)
        with localcontext(_EXACT):
            for (user_id, day), events in self._days().items():
                if calendar.is_closed(day, now + CLOCK_SKEW_MAX) or day > calendar.day_of(
                    now - CLOCK_SKEW_MAX
                ):
                    continue
                wire = table.now((user_id, day))
                summary = item_from_wire(wire) if wire is not None else {"requests": 0}
                if summary["requests"] < len(events):  # reads of an open day may miss the latest events
                    continue
                cost = self.book.cost(events, day, newest)
                for name in COSTS:
                    if summary[name] != getattr(cost, name):
                        what = f"{name} is {summary[name]}, by revision {newest} {cost}: {summary}"
                        raise Violation(what, day)

    def _check_ledger(self, refused: set[str]) -> None:
        for event_id, event in self.reported.items():
            if event_id in self.excused | self.deleted or event_id in refused:
                continue
            if event_id not in self.stored:
                raise Violation(f"lost: {event}", event_id)
        for event_id, item in self.stored.items():
            told = [{name: event.get(name) for name in SENT} for event in self.begun.get(event_id, [])]
            if {name: item.get(name) for name in SENT} not in told:
                raise Violation(f"nobody has sent {item}; sent was {told}", event_id.partition(".")[0])

    def _too_old(self, refused: Sequence[Event]) -> set[str]:
        """The ids of rejected events. Only events that are too old may be among them."""
        ids = set()
        for record in refused:
            event = record["event"]
            if record["reason"] == "incomplete":
                continue
            retention = self.settings_of(self.day_of(event)).retention
            latest = datetime.fromisoformat(record["time"]) - retention + RETENTION_RESERVE
            if datetime.fromisoformat(event["ts"]) > latest + timedelta(minutes=10):
                raise Violation(f"refused without a reason: {record}", event["eventId"])
            ids.add(event["eventId"])
        return ids

    def day_of(self, event: Event) -> str:
        """The last day that has begun, by the stored calendar."""
        ts = datetime.fromisoformat(event["ts"])
        days = [str((ts + timedelta(days=n)).date()) for n in range(-4, 3)]
        return max(day for day in days if self._begins(day) <= ts)

    def _begins(self, day: str) -> datetime:
        return datetime.combine(date.fromisoformat(day), datetime.min.time(), self.settings_of(day).zone)

    def settings_of(self, day: str) -> Settings:
        periods = self.cloud.calendar.periods
        return max((p for p in periods if p.first_day <= day), key=lambda p: p.first_day).settings

    def _days(self) -> dict[tuple[str, str], list[Event]]:
        """The events of the ledger, by user and day."""
        days: dict[tuple[str, str], list[Event]] = {}
        for item in self.stored.values():
            days.setdefault((item["userId"], self.day_of(item)), []).append(item)
        return days

    def _sums(self, events: Sequence[Event], day: str, which: int, published: dict[str, Decimal]) -> Event:
        """The sums of some events of a final day, by its first revision (0) or its last (-1)."""
        sums: Event = dict.fromkeys(SUMS, Decimal(0))
        for item in events:
            sums["requests"] += 1
            sums["failures"] += item["status"] == "failure"
            sums["latencyTotal"] += item["latency"]
            sums["costReportedUSD"] += item.get("costUSD", 0)
            for name in ("tokens_in", "tokens_out"):
                sums[name] += item[name]
        cost = self.book.cost(events, day, self.revisions[day][which])
        usd = published[max(each for each in published if each < day)]
        in_euros = _38_DIGITS.add(cost.euros, _38_DIGITS.divide(cost.costUSD, usd))
        return sums | {name: getattr(cost, name) for name in COSTS} | {"costEUR": in_euros}

    def _check_corrections(self) -> None:
        """Each correction is there, finished, and in effect where the days' events had not expired."""
        for number, correction in self.corrections.items():
            wire = self.cloud.database.tables[STATE].now(("correction", f"{number:06d}"))
            if wire is None or item_from_wire(wire) != correction:
                raise Violation(f"correction {number} is {wire}, was {correction}")
            if number not in self.finished:
                raise Violation(f"correction {number} was not finished")
            finished = self.finished[number] + CLOCK_SKEW_MAX
            for day in correction["days"]:
                is_there = self.revisions.get(day, [0])[-1] >= correction["revision"]
                if not is_there and not self.cloud.calendar.may_have_expired(day, finished):
                    raise Violation(f"correction {number} is not in effect on {day}", day)

    def _check_first(self, days: dict[tuple[str, str], list[Event]], published: dict[str, Decimal]) -> None:
        """Each summary shows what it would be by the prices that its day was final with at first."""
        table = self.cloud.database.tables[SUMMARIES]
        for key, events in days.items():
            summary = item_from_wire(table.now(key) or {})
            first = self._sums(events, key[1], 0, published)
            before = summary.get("before", summary)
            for name in (*COSTS, "costEUR"):
                if before[name] != first[name]:
                    what = f"{name} of {key} was {first[name]} before corrections, not {before[name]}"
                    raise Violation(what, key[1])

    def _check_dimensions(self, published: dict[str, Decimal]) -> None:
        """Usage by each dimension: of each day, and of all days."""
        days: dict[str, list[Event]] = {}
        for item in self.stored.values():
            days.setdefault(self.day_of(item), []).append(item)
        if not days:
            return
        spans = {(day, day) for day in days} | {(min(days), max(days))}
        store, calendar = self.cloud.store(1), self.cloud.calendar
        breakdown, usage = BreakdownReader(store, calendar), UsageReader(store, calendar, Terms())
        platform: dict[tuple[str, str], Event] = {}
        shown: dict[tuple[str, str, str], Event] = {}

        def read() -> None:
            for span in sorted(spans):
                for by in DIMENSIONS:
                    shown[by, *span] = breakdown.values(by, *span)
                platform[span] = usage.platform(*span)

        self.world.spawn(Process("reader"), read)
        self.world.run(lambda: len(platform) == len(spans))
        for (by, first, last), answer in shown.items():
            if answer["next"]:
                raise Violation(f"by {by}, {first} to {last} there is more", first)
            if by != "tag":
                self._check_whole(by, first, answer["items"], platform[first, last]["total"])
            if first == last:
                self._check_values(by, first, answer["items"], days[first], published)

    def _check_whole(self, by: str, day: str, rows: Sequence[Event], total: Event) -> None:
        for name, amount in _amounts(total).items():
            added = sum((_amounts(row).get(name, 0) for row in rows), Decimal(0))
            if added != amount:
                raise Violation(f"{name} by {by} is {added} together, of the platform {amount}", day)

    def _check_values(
        self, by: str, day: str, rows: Sequence[Event], events: Sequence[Event], published: dict[str, Decimal]
    ) -> None:
        """What each value did. With a rest, a value of several shards may be in it with some of them."""
        by_value: dict[str | None, list[Event]] = {}
        for event in events:
            for value in DIMENSIONS[by](event):
                by_value.setdefault(value, []).append(event)
        found = {row["value"]: row for row in rows if not row.get("rest")}
        has_rest = len(found) < len(rows)
        if found.keys() - by_value.keys() or not (has_rest or found.keys() == by_value.keys()):
            raise Violation(f"by {by}, {day} has {sorted(map(str, found))}, not {by_value.keys()}", day)
        if has_rest and by != "user" and self.settings_of(day).shard_count > 1:
            return
        for value, row in found.items():
            sums = self._sums(by_value[value], day, -1, published)
            for name in (*SUMS, *COSTS):
                if row[name] != sums[name]:
                    raise Violation(f"{name} of {by} {value} is {row[name]}, not {sums[name]}", day)
            if abs(row["costEUR"] - sums["costEUR"]) > max(abs(sums["costEUR"]), 1) * _LAST_DIGITS:
                raise Violation(f"costEUR of {by} {value} is {row['costEUR']}, not {sums['costEUR']}", day)

    def _check_summaries(self, expected: dict[tuple[str, str], Event]) -> None:
        table = self.cloud.database.tables[SUMMARIES]
        found = {(item["userId"], item["day"]): item for item in map(item_from_wire, table.items())}
        if found.keys() != expected.keys():
            differing = sorted(found.keys() ^ expected.keys())
            raise Violation(f"a summary without events, or events without one: {differing}", differing[0][1])
        for key, sums in expected.items():
            summary = found[key]
            for name, value in sums.items():
                if summary[name] != value:
                    raise Violation(f"{name} of {key} is {summary[name]}, of the ledger {value}", key[1])
            if not summary["final"]:
                raise Violation(f"not final: {summary}", key[1])
            if summary["unconverted"]:
                raise Violation(f"unconverted though the rate is known: {summary}", key[1])

    def _check_state(self) -> None:
        marks = [
            item["key"]["S"]
            for item in self.cloud.database.tables[STATE].items()
            if item["kind"]["S"] == "mark" and any(name.startswith("since") for name in item)
        ]
        if marks:
            raise Violation(f"marks are left: {marks}", *(mark[:10] for mark in marks))

    def _check_reading(self, expected: dict[tuple[str, str], Event]) -> None:
        """The API's totals of the platform."""
        if not expected:
            return
        days = sorted({day for _, day in expected})
        reader = UsageReader(self.cloud.store(1), self.cloud.calendar, Terms())
        shown: list[Any] = []
        process = Process("reader")
        self.world.spawn(process, lambda: shown.append(reader.platform(days[0], days[-1])))
        self.world.run(lambda: bool(shown))
        for row in shown[0]["days"]:
            for name in ("requests", "tokens_in", *COSTS):
                value = sum(sums[name] for (_, day), sums in expected.items() if day == row["day"])
                if row[name] != value:
                    what = f"{name} of the platform on {row['day']} is {row[name]}, of the ledger {value}"
                    raise Violation(what, row["day"])
        if missing := set(days) ^ {row["day"] for row in shown[0]["days"]}:
            raise Violation(f"the platform and the ledger differ in their days: {missing}", *missing)


APPENDED: dict[str, Callable[[Oracle, Event], None]] = {
    "price": Oracle._price,
    "day-prices": Oracle._day_prices,
    "correction": Oracle._correction,
}
"""Kinds of State of which no item is ever changed, and what follows from one."""


def _amounts(row: Event) -> Event:
    """The sums of a row that can be added."""
    amounts = {name: value for name, value in row.items() if isinstance(value, int | Decimal)}
    for name in ("energyKWh", "co2eKg", "waterL"):
        amounts |= {f"{name} {bound}": value for bound, value in row.get(name, {}).items()}
    return {name: value for name, value in amounts.items() if name not in ("latencyMax", "rest")}


def records(text: str) -> Iterator[Event]:
    """Read the quarantined records. A record may be truncated, where a process died while it wrote."""
    for part in text.split('{"time": ')[1:]:
        with suppress(ValueError):
            yield json.loads('{"time": ' + part)
