"""A model of several counts (recomputations) of one closed (day, shard) at once: its states.

The model has one transition for each request that DynamoDB carries out, and covers every order in which
a few events, counts and failures can occur (transitions.py). It is finite because:

- A revision never occurs twice, and is only compared with the stored one. So a revision that a count has
  read is either still stored (SAME), or replaced for good (STALE).
- Two counts in the same state are equal, and a count that has ended may begin again. So "two counts" means
  any number of counts, two at a time. Each may crash at any step, as often as it likes.
- An event is acknowledged right after its mark; later, the claims would be weaker. A crash of ingest before
  the mark needs no transition: the sender's next try finds the event stored, and continues there.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

T = TypeVar("T")

SETTLED, ABSENT, STALE, SAME = -2, -1, 0, 1
"""What a count knows of a summary: it needs no write, there was none, the revision that it read was
replaced, or is still stored."""
WAITED_FOR, SENT, MADE = 0, 1, 2
"""The first copy of a count's present write: not sent yet, sent without a response, carried out."""

USERS = (0, 1)
COUNT = (
    *("read mark", "read total", "read summary 0", "read summary 1", "read page 0", "read page 1"),
    *("write summary 0", "write summary 1", "write total", "compare total", "clear mark"),
)
"""The requests of a count, in order. `compare total` follows only if `write total` met a conflict."""


@dataclass(frozen=True)
class Protocol:
    """The protocol, with variants that a test uses to show which claim then fails."""

    count: tuple[str, ...] = COUNT
    ingest: tuple[str, ...] = ("put", "mark", "ack")
    summary_condition: str = "revision"
    """Or `exists` (one is stored if one was read, else none), or `none` (no condition)."""
    counters: bool = False
    """A summary's revision is a counter, which restarts after the summary was deleted."""
    total_condition: bool = True
    total_conflict: str = "compare"
    """After a conflict: `compare` content and seen; or compare only the `content`; or `finish` at once;
    begin `again`; or begin `again if it wrote` a summary, and else compare."""
    clear_condition: bool = True
    mark_begins_anew: bool = False
    """Clearing deletes the mark, so the next one has the number 1 again."""
    stale_pages: bool = False
    """Pages of the ledger are read without strong consistency: the last event may be missing."""


@dataclass(frozen=True)
class Scenario:
    """The events and failures that may occur."""

    events: tuple[tuple[int, bool], ...] = ((0, False), (0, True), (1, True))
    """For each event: its user, and whether it is late."""
    counts: int = 2
    """Number of counts at a time."""
    second_tries: int = 1
    """How often ingest crashes between mark and acknowledgement."""
    late_writes: bool = False
    """A write without a response is retried, and its first copy carried out later. One write at a time."""
    deletions: int = 0
    """Number of acknowledged events that are deleted by hand."""
    deleted_come_again: bool = False
    """An event may be deleted by hand before its sender has an acknowledgement, and is then sent again."""
    late_writes_outlive: bool = False
    """Claim S3 applies although a late write of a count that began before the deletion is pending."""
    index_lags: bool = False
    """The index of summaries may lack a summary that is stored."""


class Count(NamedTuple):
    """A running count. It drops values that it does not need any more, so that equal states coincide."""

    step: int = 0
    seen: int = 0
    total: int = ABSENT
    """The total's revision."""
    revisions: tuple[int, ...] = (ABSENT, ABSENT)
    contents: tuple[int, ...] = (0, 0)
    """The content of each user's summary, as read."""
    pages: tuple[int, ...] = (0, 0)
    """Each user's events. A set of events is a number with a bit for each event."""
    copy: int = WAITED_FOR
    wrote: bool = False
    """Whether it has written a summary since it began or began again."""
    old: bool = False
    """It began before the deletion by hand, and has not finished since."""


class Write(NamedTuple):
    target: str
    """`summary 0`, `total`, `mark` ..."""
    revision: int
    content: int
    """0, no events: the summary is deleted."""
    seen: int
    old: bool


class State(NamedTuple):
    ledger: int
    acknowledged: int
    tries: tuple[int, ...]
    """The progress of each event's ingest."""
    second_tries: int
    number: int
    stands: bool
    summaries: tuple[tuple[int, int], ...]
    """Revision and content of each."""
    total: tuple[int, int, int]
    """Revision, content, seen."""
    counts: tuple[Count, ...]
    late: Write | None = None
    """A write whose first copy may still be carried out."""
    counted: bool = False
    """A count has finished since the day closed."""
    deleted: int = 0
    fresh: bool = False
    """A count that began after the deletion has finished."""


class Step(NamedTuple):
    name: str
    state: State
    quiet: bool = True
    """Whether the step needs no new event, no failure and no deletion."""


def with_count(state: State, i: int, count: Count) -> State:
    return state._replace(counts=put_at(state.counts, i, count))


def settled(count: Count, user: int) -> Count:
    return count._replace(revisions=put_at(count.revisions, user, SETTLED))


def put_at(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    return (*values[:index], value, *values[index + 1 :])
