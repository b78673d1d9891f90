"""How one (day, shard) that has closed is counted by several counts at once: each state that can be reached.

A small model: one transition for each request that DynamoDB carries out. It goes through every order in which
a few events, counts and failures can meet. What keeps it finite:

- A revision is never the same twice, and is only compared with the one that is there. So all that matters of
  one that a count has read is whether it still is there: it is SAME, or it is STALE, for good.
- Two counts at the same place are alike, and a count that has ended may begin anew. So "two counts" are any
  number of counts, two at a time. Each may crash at any step, as often as it likes.
- An event is acknowledged at once after its mark: later, less would be claimed. A crash of ingest before the
  mark needs no transition: the sender's next try finds the event stored, and goes on from there.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

T = TypeVar("T")

SETTLED, ABSENT, STALE, SAME = -2, -1, 0, 1
"""What a count knows of a summary: nothing is to be written, there was none, the revision that it read is
gone, or that one is still there."""
WAITED_FOR, SENT, MADE = 0, 1, 2
"""The first copy of the write that a count is at: not sent yet, without an answer, carried out."""

USERS = (0, 1)
COUNT = (
    *("read mark", "read total", "read summary 0", "read summary 1", "read page 0", "read page 1"),
    *("write summary 0", "write summary 1", "write total", "compare total", "clear mark"),
)
"""The requests of a count, in order. `compare total` follows only where `write total` met a conflict."""


@dataclass(frozen=True)
class Protocol:
    """The protocol as it is, and what can be changed in it to see what breaks."""

    count: tuple[str, ...] = COUNT
    ingest: tuple[str, ...] = ("put", "mark", "ack")
    summary_condition: str = "revision"
    """Or `exists` (there is one where one was read, none where none was), or `none`."""
    counters: bool = False
    """A summary's revision is a counter, which begins anew after the summary was deleted."""
    total_condition: bool = True
    total_conflict: str = "compare"
    """After a conflict, `compare` content and seen; or compare the `content` only; `finish` without a look;
    begin `again` without one; or begin `again if it wrote` a summary, and else compare."""
    clear_condition: bool = True
    mark_begins_anew: bool = False
    """Clearing deletes the mark, so that the next one has the number 1 again."""
    stale_pages: bool = False
    """Pages of the ledger are read without strong consistency: the last event may be missing."""


@dataclass(frozen=True)
class Scenario:
    """What happens in the world."""

    events: tuple[tuple[int, bool], ...] = ((0, False), (0, True), (1, True))
    """Of each event: whose it is, and whether it is late."""
    counts: int = 2
    """At a time."""
    second_tries: int = 1
    """So often does ingest crash after the mark, before the acknowledgement."""
    late_writes: bool = False
    """A write without an answer is sent again, and its first copy carried out at any time. One at a time."""
    deletions: int = 0
    """Events deleted by hand, once acknowledged."""
    deleted_come_again: bool = False
    """An event can be deleted by hand before its sender has an acknowledgement, and sends it again."""
    late_writes_outlive: bool = False
    """Claim S3 does not wait for a late write of a count that began before the deletion."""
    index_lags: bool = False
    """A summary that is there may be missing where users with a summary are listed."""


class Count(NamedTuple):
    """A count under way. It forgets what it does not need any more: so equal states are one."""

    step: int = 0
    seen: int = 0
    total: int = ABSENT
    """The total's revision."""
    revisions: tuple[int, ...] = (ABSENT, ABSENT)
    contents: tuple[int, ...] = (0, 0)
    """Of each user's summary, as read."""
    pages: tuple[int, ...] = (0, 0)
    """Each user's events. A set of events is a number, with a bit for each."""
    copy: int = WAITED_FOR
    wrote: bool = False
    """A summary, since it began or began again."""
    old: bool = False
    """It began before the deletion by hand, and has not finished since."""


class Write(NamedTuple):
    target: str
    """`summary 0`, `total`, `mark` ..."""
    revision: int
    content: int
    """No events: the summary is deleted."""
    seen: int
    old: bool


class State(NamedTuple):
    ledger: int
    acknowledged: int
    tries: tuple[int, ...]
    """How far the ingest of each event is."""
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
    """It happens also where no event comes, nothing fails and nobody deletes anything."""


def with_count(state: State, i: int, count: Count) -> State:
    return state._replace(counts=put_at(state.counts, i, count))


def settled(count: Count, user: int) -> Count:
    return count._replace(revisions=put_at(count.revisions, user, SETTLED))


def put_at(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    return (*values[:index], value, *values[index + 1 :])
