"""The deletion of one user: all events and summaries, and the name.

It looks into the partitions that the user's events belong to, says what it found, and asks. That consumes a
read unit for each day that the ledger may have. `everywhere` scans the whole ledger instead: for a stack
whose ShardCount was changed before the stack stored settings by day. 100 million events of 0.9 KB are 90 GB,
11 million read units ($1.40), and a quarter of an hour. (Computed: half a unit for 4 KB, $0.125 a million, at
the 12,000 units a second of a new table; so 94 pages of 1 MB a second, 16 at a time.) If it is stopped, the
next run continues there.

It deletes events first, then summaries, then the name. Each day that lost an event gets a late mark, so the
next rollup recomputes it, its totals and its usage by dimension. Nothing recomputes days older than
RetentionDays. Their totals keep their sums; they name no user. In their usage by user, the user's row is
added to the rest, which names nobody.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from impact.calendar import Calendar, timestamp
from impact.dynamodb import TooBusy
from impact.keys import day_shard, parse_day_shard
from impact.naming import USER, Name
from impact.store import Store
from impact.types import WireItem
from impact_cli import ledger_scan
from impact_cli.ledger_reader import WORKERS, partitions_of, summary_keys, user_pages
from impact_cli.output import note
from impact_cli.progress import Progress
from impact_cli.table import visible

KEYS = {"ProjectionExpression": "dayShard, userEvent"}
MARK_MARGIN = timedelta(days=1)
"""A day that can be recomputed for less than this is not marked: the rollup might be too late."""
BATCH_MAX = 25
"""DynamoDB's limit of deletions in one BatchWriteItem."""
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Seconds to wait before the UnprocessedItems of a BatchWriteItem are retried."""

WORD = "erase"
"""What is typed to confirm: an id may hold what no keyboard has."""
REMAINS = """\
What remains elsewhere:
  - Backups: point-in-time recovery keeps the deleted items for 35 days, for whoever may restore a table.
  - The ledger's stream, for `impact tail`: 24 hours.
  - Outboxes of proxies: requests that are not delivered yet. Run this again in an hour; it finds what came.
  - Totals of days older than RetentionDays keep their sums. They name no user.
  - Teams, key aliases and tags that name a person: in usage by team, key and tag, and in others' events.
  - Files that were exported, and LiteLLM's and LibreChat's own databases: delete them there."""


@dataclass(frozen=True)
class Found:
    """What the stack has of a user."""

    events: dict[str, int]
    """Number of events by partition of the ledger; only partitions that have some."""
    summaries: list[WireItem]
    """Keys of the summaries, and the partition of their events."""
    name: Name | None

    def __str__(self) -> str:
        days = len({parse_day_shard(partition)[0] for partition in self.events})
        events = f"{sum(self.events.values())} events of {days} days"
        summaries = f"{len(self.summaries)} daily summaries"
        if self.name is None:
            return f"{events} and {summaries}"
        return f"{events}, {summaries} and the name '{visible(self.name.name)}'"


@dataclass(frozen=True)
class Erasure:
    """The deletion of one user. It can be stopped at any moment: the next run deletes the rest."""

    store: Store
    calendar: Calendar
    user_id: str
    now: datetime

    def run(self, *, everywhere: bool, agreed: bool) -> int:
        """Find, ask, delete, print the result; return the exit code. Raises BotoCoreError, ClientError."""
        touched: Counter[str] = Counter()
        if everywhere:
            agreed = agreed or self._confirmed("all events that a scan of the ledger finds")
            if not agreed:
                return 1
            touched = self._delete_everywhere()
            print(f"{self._whose}: {touched.total()} events deleted from the whole ledger.")
        summaries = summary_keys(self.store, self.user_id)
        partitions = partitions_of(self.calendar, self.user_id, summaries, self.now)
        found = Found(self._count(partitions), summaries, self.store.names.get(USER, self.user_id))
        if not (touched or found.events or found.summaries or found.name):
            print(f"{self._whose}: nothing was found.")
            return 0
        print(f"{self._whose}: {found}.")
        if not (agreed or self._confirmed("them")):
            return 1
        self._delete_events(found.events)
        days = {parse_day_shard(partition)[0] for partition in touched.keys() | found.events}
        days |= {summary["day"]["S"] for summary in summaries}
        # Before the summaries are deleted: if this run is stopped, the next one learns the days from them.
        marked = self._mark(sorted(days))
        partitions_used = touched.keys() | found.events.keys() | _partitions(summaries)
        self._leave_breakdowns(sorted(partitions_used), marked)
        keys = [{name: summary[name] for name in ("userId", "day")} for summary in summaries]
        self._delete(self.store.summaries.name, keys)
        self.store.names.delete(USER, self.user_id)
        print("Deleted." + (f" The next rollup recomputes {_days(marked)}." if marked else ""))
        note(REMAINS)
        return 0

    @property
    def _whose(self) -> str:
        return f"'{visible(self.user_id)}'"

    def _confirmed(self, to_what: str) -> bool:
        if not sys.stdin.isatty():
            note("Nothing was deleted: without a terminal, confirm with --yes.")
            return False
        question = f"Type {WORD} to delete {to_what} of {self._whose} for good: "
        print(question, end="", file=sys.stderr, flush=True)
        if sys.stdin.buffer.readline().strip() == WORD.encode():
            return True
        note("Nothing was deleted.")
        return False

    def _count(self, partitions: list[str]) -> dict[str, int]:
        progress = Progress()

        def count(partition: str) -> int:
            return sum(map(len, user_pages(self.store, self.user_id, partition, **KEYS)))

        with ThreadPoolExecutor(WORKERS) as workers:
            counts = progress.of(workers.map(count, partitions), f"of {len(partitions)} days looked up")
            return {partition: n for partition, n in zip(partitions, counts, strict=True) if n}

    def _delete_events(self, events: Iterable[str]) -> None:
        partitions = list(events)

        def delete(partition: str) -> None:
            for page in user_pages(self.store, self.user_id, partition, **KEYS):
                self._delete(self.store.ledger.name, page)

        with ThreadPoolExecutor(WORKERS) as workers:
            for _ in Progress().of(workers.map(delete, partitions), f"of {len(partitions)} days deleted"):
                pass

    def _delete_everywhere(self) -> Counter[str]:
        """Scan the whole ledger and delete the user's events. Return how many, by partition of the ledger."""
        table: Any = self.store.client.describe_table(TableName=self.store.ledger.name)["Table"]
        position = ledger_scan.Position.of(table, self.user_id)
        if position.done:
            done = f"{len(position.done)} of {position.segments} parts are done"
            note(f"It continues where a run was stopped: {done} ({position.path}).")
        touched: Counter[str] = Counter()

        def delete(keys: list[WireItem]) -> None:
            self._delete(self.store.ledger.name, keys)
            touched.update(key["dayShard"]["S"] for key in keys)

        parts = ledger_scan.scan(self.store.client, self.store.ledger.name, self.user_id, position, delete)
        what = f"of {position.segments} parts scanned"
        for _ in Progress().of(parts, what, done=len(position.done)):
            pass
        position.forget()
        return touched

    def _delete(self, table: str, keys: list[WireItem]) -> None:
        for start in range(0, len(keys), BATCH_MAX):
            some: Any = [{"DeleteRequest": {"Key": key}} for key in keys[start : start + BATCH_MAX]]
            pending = {table: some}
            for pause in PAUSES:
                pending = self.store.client.batch_write_item(RequestItems=pending)["UnprocessedItems"]
                if not pending:
                    break
                time.sleep(pause)
            else:
                raise TooBusy(missing=len(pending[table]), tries=len(PAUSES))

    def _mark(self, days: list[str]) -> list[str]:
        """Give late marks to the days that have totals and can still be recomputed, and return these days."""

        def mark(day: str) -> bool:
            shard = self.calendar.shard_of(self.user_id, day)
            total = self.store.state.shard_total(day_shard(day, shard))
            until = timestamp(self.calendar.countable_until(day))
            if total is None or timestamp(self.now + MARK_MARGIN) >= min(
                until, total.get("countableUntil", until)
            ):
                return False
            self.store.state.mark_late(day, [shard], self.now)
            return True

        with ThreadPoolExecutor(WORKERS) as workers:
            return [day for day, marked in zip(days, workers.map(mark, days), strict=True) if marked]

    def _leave_breakdowns(self, partitions: list[str], marked: list[str]) -> None:
        """Remove the user from usage by user: of (day, shard)s that nothing recomputes, and of all days."""
        state, breakdowns = self.store.state, self.store.breakdowns

        def leave(partition: str) -> None:
            day, shard = parse_day_shard(partition)
            if day not in marked or shard != self.calendar.shard_of(self.user_id, day):
                breakdowns.remove_from_shard(day, shard, "user", self.user_id)
                # The planner may be storing the day, of what it has read before: it has to do so again.
                total = state.daily_totals(day, day).get(day)
                if total and total.sums is None:
                    state.outdate_daily_total(day)
            breakdowns.remove_from_day("user", day, self.user_id)

        with ThreadPoolExecutor(WORKERS) as workers:
            done = workers.map(leave, partitions)
            for _ in Progress().of(done, f"of {len(partitions)} days removed from usage by user"):
                pass


def _partitions(summaries: list[WireItem]) -> set[str]:
    return {summary["dayShard"]["S"] for summary in summaries if "dayShard" in summary}


def _days(days: list[str]) -> str:
    return days[0] if len(days) == 1 else f"{len(days)} days ({days[0]} to {days[-1]})"
