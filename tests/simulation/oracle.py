"""What must hold. The oracle observes everything, and uses none of the code under test."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from impact.billing import Terms
from impact.calendar import CLOCK_SKEW_MAX, RETENTION_RESERVE, Settings
from impact.dynamodb import item_from_wire
from impact.fx_rates import FxRate
from impact.usage_reader import UsageReader
from request_events.capture import capture, encode
from tests.simulation.cloud import EVENTS, STATE, SUMMARIES, Cloud
from tests.simulation.database import Wire
from tests.simulation.world import Process, World

if TYPE_CHECKING:
    from tests.simulation.proxy import Worker

Event = dict[str, Any]
SUMS = ("requests", "failures", "tokens_in", "tokens_out", "costUSD", "unpriced", "latencyTotal")
SENT = ("userId", "tokens_in", "tokens_out", "costUSD", "status", "model", "latency")
_38_DIGITS = Context(prec=38)


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

    # What must hold in the end

    def check(self, refused: Sequence[Event], rates: Sequence[FxRate]) -> None:
        """Check everything at the end. `refused` are the records of rejected events. Raises Violation."""
        self._check_ledger(self._too_old(refused))
        expected = self._days({rate.date: rate.usd for rate in rates})
        self._check_summaries(expected)
        self._check_state()
        self._check_reading(expected)

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

    def _days(self, rates: dict[str, Decimal]) -> dict[tuple[str, str], Event]:
        """The sums of the ledger, by user and day."""
        days: dict[tuple[str, str], Event] = {}
        for item in self.stored.values():
            day = self.day_of(item)
            sums = days.setdefault((item["userId"], day), dict.fromkeys(SUMS, Decimal(0)))
            sums["requests"] += 1
            sums["failures"] += item["status"] == "failure"
            sums["unpriced"] += "costUSD" not in item
            sums["latencyTotal"] += item["latency"]
            for name in ("tokens_in", "tokens_out", "costUSD"):
                sums[name] += item.get(name, 0)
        for (_, day), sums in days.items():
            usd = rates[max(published for published in rates if published < day)]
            sums["costEUR"] = _38_DIGITS.divide(sums["costUSD"], usd)
        return days

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
            for name in ("requests", "tokens_in", "costUSD"):
                value = sum(sums[name] for (_, day), sums in expected.items() if day == row["day"])
                if row[name] != value:
                    what = f"{name} of the platform on {row['day']} is {row[name]}, of the ledger {value}"
                    raise Violation(what, row["day"])
        if missing := set(days) ^ {row["day"] for row in shown[0]["days"]}:
            raise Violation(f"the platform and the ledger differ in their days: {missing}", *missing)


def records(text: str) -> Iterator[Event]:
    """Read the quarantined records. A record may be truncated, where a process died while it wrote."""
    for part in text.split('{"time": ')[1:]:
        with suppress(ValueError):
            yield json.loads('{"time": ' + part)
