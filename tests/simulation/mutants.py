"""Defects to put into the code, one at a time: the simulation must find each of them."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from impact import corrections, day_settings, dynamodb, ledger_entry, recompute, rollup_planner
from impact.breakdown_store import BreakdownStore
from impact.calendar import Calendar, Period, day_before
from impact.dynamodb import Table
from impact.ledger_entry import EntryBuilder, LedgerEntry
from impact.ledger_store import LedgerStore
from impact.ledger_writer import LedgerWriter, WriteResult
from impact.price_book import DayBook
from impact.price_store import PriceStore
from impact.recompute import _Attempt
from impact.state_store import StateStore
from impact.store import Store
from impact.summary_store import SummaryStore
from request_events import delivery, responses, segment
from request_events.delivery import Delivery, SegmentRun
from request_events.responses import BatchOutcome
from request_events.segment import FileSegment, Segment
from tests.simulation import cloud


@dataclass(frozen=True)
class Mutant:
    """A defect: how to apply it until the end of a block, and a seed that finds it."""

    put_in: Callable[[], AbstractContextManager[Any]]
    seed: int


MUTANTS: dict[str, Mutant] = {}


def mutant(seed: int) -> Callable[[Callable[[], AbstractContextManager[Any]]], None]:
    def keep(put_in: Callable[[], AbstractContextManager[Any]]) -> None:
        MUTANTS[put_in.__name__.replace("_", " ")] = Mutant(put_in, seed)

    return keep


@mutant(seed=475)
def a_mark_is_cleared_unconditionally() -> AbstractContextManager[Any]:
    def clear_mark(self: StateStore, mark: Any) -> bool:
        return clear(self, replace(mark, number=self.late_mark(mark.day, mark.shard).number))

    clear = StateStore.clear_mark
    return patch.object(StateStore, "clear_mark", clear_mark)


@mutant(seed=268)
def a_count_replaces_whatever_is_there() -> AbstractContextManager[Any]:
    def put(self: Table, item: dict[str, Any], before: Any) -> bool:
        self.client.put_item(TableName=self.name, Item=dynamodb.to_wire(item | {"revision": "any"}))
        return True

    return patch.object(Table, "replace", put)


@mutant(seed=34)
def an_outbox_entry_is_acknowledged_before_the_2xx() -> AbstractContextManager[Any]:
    send_all = Delivery._send_all

    def hasty(self: Delivery, segment: Segment, run: SegmentRun, patient: bool) -> bool:
        batches = segment.batches(self.batch_size, delivery.BATCH_BYTES_MAX)
        lines = [line for batch in batches for line in batch]
        segment.delete()
        segment._lines = iter(lines)
        return send_all(self, segment, run, patient)

    return patch.object(Delivery, "_send_all", hasty)


@mutant(seed=14)
def a_duplicate_leaves_no_mark() -> AbstractContextManager[Any]:
    write = LedgerWriter.write

    def only_new(
        self: LedgerWriter, entries: list[LedgerEntry], calendar: Calendar, now: Any, deadline: float
    ) -> WriteResult:
        new: set[str] = set()
        append = self.store.ledger.append

        def seen(item: dict[str, Any]) -> bool:
            if is_new := append(item):
                new.add(item["dayShard"])
            return is_new

        store: Any = SimpleNamespace(ledger=SimpleNamespace(append=seen), state=self.store.state)
        inner = replace(self, store=store)

        def mark(late: set[str], *rest: Any) -> set[str]:
            LedgerWriter._mark(inner, late & new, *rest)
            return late

        object.__setattr__(inner, "_mark", mark)
        return write(inner, entries, calendar, now, deadline)

    return patch.object(LedgerWriter, "write", only_new)


@mutant(seed=179)
def events_are_marked_only_once_their_day_has_closed() -> AbstractContextManager[Any]:
    return patch.object(Calendar, "needs_mark", lambda self, day, now: self.is_closed(day, now))


@mutant(seed=0)
def what_is_stored_is_read_after_the_ledger() -> AbstractContextManager[Any]:
    event_pages, read = LedgerStore.event_pages, _Attempt._read

    def before(self: _Attempt) -> Any:
        view = read(self)
        pages = list(event_pages(self.store.ledger, self.key, consistent=view.is_strict))
        seen.append(pages)
        return replace(read(self), mark=view.mark)

    def pages(self: LedgerStore, key: str, *, user_id: str | None = None, consistent: bool) -> Iterator[Any]:
        if user_id is not None:
            return event_pages(self, key, user_id=user_id, consistent=consistent)
        return iter(seen.pop())

    seen: list[Any] = []
    both = ExitStack()
    both.enter_context(patch.object(LedgerStore, "event_pages", pages))
    both.enter_context(patch.object(_Attempt, "_read", before))
    return both


@mutant(seed=8)
def summaries_without_events_stay() -> AbstractContextManager[Any]:
    return patch.object(SummaryStore, "delete", lambda *_: True)


@mutant(seed=10)
def changed_settings_hold_at_once() -> AbstractContextManager[Any]:
    def next_period(calendar: Calendar, wish: Any, now: Any) -> Period | None:
        last = calendar.periods[-1]
        return None if last.settings == wish else Period(max(calendar.day_of(now), last.first_day), wish)

    return patch.object(day_settings, "next_period", next_period)


@mutant(seed=6)
def ingest_goes_by_the_parameters() -> AbstractContextManager[Any]:
    return patch.object(cloud, "ensure_calendar", lambda store, wished, now: Calendar.of(wished()))


@mutant(seed=15)
def marks_are_not_looked_at_by_readers() -> AbstractContextManager[Any]:
    return patch.object(StateStore, "marked", lambda *_: set())


@mutant(seed=1)
def an_event_replaces_the_one_before_it() -> AbstractContextManager[Any]:
    def append(self: LedgerStore, item: dict[str, Any]) -> bool:
        self.client.put_item(TableName=self.name, Item=dynamodb.to_wire(item))
        return True

    return patch.object(LedgerStore, "append", append)


@mutant(seed=43)
def a_closed_day_is_read_with_eventual_consistency() -> AbstractContextManager[Any]:
    event_pages = LedgerStore.event_pages

    def pages(self: LedgerStore, day_shard: str, *, consistent: bool, **options: Any) -> Iterator[Any]:
        return event_pages(self, day_shard, consistent=False, **options)

    return patch.object(LedgerStore, "event_pages", pages)


@mutant(seed=0)
def the_day_of_an_event_is_the_one_on_which_it_arrives() -> AbstractContextManager[Any]:
    entry = EntryBuilder.build

    def arriving(self: EntryBuilder, raw: object, now: Any) -> LedgerEntry:
        class Today(Calendar):
            def day_of(self, instant: Any) -> str:
                return Calendar.day_of(self, now)

        calendar = self.calendar
        return entry(replace(self, calendar=Today(calendar.periods)), raw, now)

    return patch.object(ledger_entry.EntryBuilder, "build", arriving)


@mutant(seed=4)
def a_503_counts_as_taken() -> AbstractContextManager[Any]:
    return patch.object(responses, "_partly_delivered", lambda lines, content: BatchOutcome())


@mutant(seed=5)
def a_5xx_counts_as_taken() -> AbstractContextManager[Any]:
    parse_response = responses.parse_response

    def lenient(lines: Any, status: int, headers: Any, body: bytes) -> BatchOutcome:
        return BatchOutcome() if status in (502, 504) else parse_response(lines, status, headers, body)

    return patch.object(delivery, "parse_response", lenient)


@mutant(seed=0)
def each_delivery_gives_an_event_another_id() -> AbstractContextManager[Any]:
    entry, numbers = EntryBuilder.build, count()

    def renamed(self: EntryBuilder, raw: Any, now: Any) -> LedgerEntry:
        return entry(self, raw | {"eventId": f"{raw['eventId']}.{next(numbers)}"}, now)

    return patch.object(EntryBuilder, "build", renamed)


@mutant(seed=10)
def days_that_wait_for_a_rate_are_left_behind() -> AbstractContextManager[Any]:
    both = ExitStack()
    for module in (recompute, rollup_planner):
        both.enter_context(patch.object(module, "is_unconverted", lambda total: False))
    return both


@mutant(seed=10)
def progress_passes_days_that_are_not_counted() -> AbstractContextManager[Any]:
    plan = rollup_planner.plan

    def hasty(store: Store, calendar: Calendar, now: Any) -> Any:
        due = plan(store, calendar, now)
        through = day_before(calendar.day_of(now - timedelta(hours=4)))
        return replace(due, progress=replace(due.progress, watermark=max(due.progress.watermark, through)))

    from rollup import app

    return patch.object(app, "plan", hasty)


@mutant(seed=56)
def a_torn_event_ends_the_segment() -> AbstractContextManager[Any]:
    """Nothing after it is delivered, nor what is before it in its batch."""

    events = FileSegment._events

    def all_or_nothing(self: FileSegment) -> Iterator[bytes]:
        with os.fdopen(self._fd, "rb", closefd=False) as file:
            is_torn = not file.read().endswith(b"\n")
            file.seek(0)
        if not is_torn:
            yield from events(self)

    return patch.object(FileSegment, "_events", all_or_nothing)


@mutant(seed=34)
def an_event_that_is_ahead_is_refused_for_good() -> AbstractContextManager[Any]:
    return patch.object(responses, "_keep_early", lambda outcome, headers: None)


@mutant(seed=34)
def a_segment_that_is_made_smaller_keeps_nothing() -> AbstractContextManager[Any]:
    return patch.object(segment, "_shrink", lambda fd, lines: os.ftruncate(fd, 0))


@mutant(seed=43)
def the_planner_finishes_no_correction() -> AbstractContextManager[Any]:
    from rollup import app

    return patch.object(app, "finish_corrections", lambda *_: [])


@mutant(seed=91)
def a_correction_is_finished_before_its_days_have_the_revision() -> AbstractContextManager[Any]:
    correct, put_finished = corrections._correct, PriceStore.put_finished

    def finish_first(store: Store, calendar: Calendar, day: str, correction: Any, now: Any) -> None:
        put_finished(store.prices, correction.number, now)
        correct(store, calendar, day, correction, now)

    return patch.object(corrections, "_correct", finish_first)


@mutant(seed=8)
def a_final_day_follows_the_price_book() -> AbstractContextManager[Any]:
    book = _Attempt._book

    def newest(self: _Attempt, total: Any, *, is_final: bool) -> DayBook:
        book(self, total, is_final=is_final)
        return book(self, total, is_final=False)

    return patch.object(_Attempt, "_book", newest)


@mutant(seed=2)
def a_stored_day_of_a_dimension_is_shown_though_its_totals_have_changed() -> AbstractContextManager[Any]:
    of_days = BreakdownStore.of_days

    class Any_(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    def unchanged(self: BreakdownStore, by: str, first: str, last: str) -> dict[str, Any]:
        return {day: item | {"changes": Any_()} for day, item in of_days(self, by, first, last).items()}

    return patch.object(BreakdownStore, "of_days", unchanged)
