"""Writes validated events to the ledger, in parallel and within a time limit, and marks late ones."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from time import monotonic
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from impact.calendar import Calendar
from impact.keys import MARK_GROUP, parse_day_shard
from impact.ledger_entry import LedgerEntry
from impact.store import Store

T = TypeVar("T")


class WriteOutcome(Enum):
    """What came of writing an event."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    RETRY = "retry"  # it may not be stored, or its late mark may not be: the sender has to send it again


@dataclass(frozen=True)
class WriteResult:
    """The outcome of each entry, in order, and how often storage failed, by cause."""

    outcomes: list[WriteOutcome]
    failures: Counter[str]


@dataclass(frozen=True)
class LedgerWriter:
    """Writes to the ledger. `executor` limits the concurrent requests to DynamoDB."""

    store: Store
    executor: Executor

    def write(
        self, entries: list[LedgerEntry], calendar: Calendar, now: datetime, deadline: float
    ) -> WriteResult:
        """Store entries until `deadline` (on the monotonic clock). A failure of storage does not raise."""
        failures: Counter[str] = Counter()
        appending = [self.executor.submit(self.store.ledger.append, entry.item) for entry in entries]
        outcomes = [_outcome(is_new) for is_new in _results(appending, deadline, failures)]
        # A duplicate needs a mark too: the request that stored it may have died before it set one.
        late = {
            entry.day_shard
            for entry, outcome in zip(entries, outcomes, strict=True)
            if outcome is not WriteOutcome.RETRY and calendar.needs_mark(entry.day, now)
        }
        unmarked = late - self._mark(late, now, deadline, failures)
        return WriteResult(
            [
                WriteOutcome.RETRY if entry.day_shard in unmarked else outcome
                for entry, outcome in zip(entries, outcomes, strict=True)
            ],
            failures,
        )

    def _mark(self, late: set[str], now: datetime, deadline: float, failures: Counter[str]) -> set[str]:
        """Mark (day, shard)s, one request for those that share an item. Return those that are marked."""
        groups: dict[tuple[str, int], dict[str, int]] = {}
        for key in sorted(late):
            day, shard = parse_day_shard(key)
            groups.setdefault((day, shard // MARK_GROUP), {})[key] = shard

        def mark(day: str, shards: dict[str, int]) -> Iterable[str]:
            self.store.state.mark_late(day, shards.values(), now)
            return shards

        marking = [self.executor.submit(mark, day, shards) for (day, _), shards in groups.items()]
        return {key for marked in _results(marking, deadline, failures) for key in marked or ()}


def _outcome(is_new: bool | None) -> WriteOutcome:
    if is_new is None:
        return WriteOutcome.RETRY
    return WriteOutcome.CREATED if is_new else WriteOutcome.DUPLICATE


def _results(calls: list[Future[T]], deadline: float, failures: Counter[str]) -> list[T | None]:
    """Wait for calls. The result of one that failed, or did not end in time, is None."""
    wait(calls, timeout=max(0.0, deadline - monotonic()))
    return [_result(call, failures) for call in calls]


def _result(call: Future[T], failures: Counter[str]) -> T | None:
    if not call.done():
        call.cancel()
        failures["DeadlineExceeded"] += 1
        return None
    try:
        return call.result()
    except ClientError as error:
        failures[error.response["Error"]["Code"]] += 1
    except BotoCoreError as error:
        failures[type(error).__name__] += 1
    return None
