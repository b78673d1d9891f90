"""The transitions of the model: one for each request that DynamoDB carries out, and one for each failure."""

from collections.abc import Iterator

from tests.model.states import (
    ABSENT,
    MADE,
    SAME,
    SENT,
    SETTLED,
    STALE,
    USERS,
    WAITED_FOR,
    Count,
    Protocol,
    Scenario,
    State,
    Step,
    Write,
    put_at,
    settled,
    with_count,
)


class Model:
    def __init__(self, protocol: Protocol, scenario: Scenario) -> None:
        self.protocol, self.scenario = protocol, scenario
        self.events_of = [
            sum(1 << event for event, (owner, _) in enumerate(scenario.events) if owner == user)
            for user in USERS
        ]
        self.position = {name: step for step, name in enumerate(protocol.count)}
        self.both_read = [
            max(self.position[f"read {what} {user}"] for what in ("summary", "page")) for user in USERS
        ]

    def start(self) -> State:
        """The day has just closed: what was on time is stored, but not counted."""
        on_time = sum(1 << event for event, (_, late) in enumerate(self.scenario.events) if not late)
        return State(
            ledger=on_time,
            acknowledged=on_time,
            tries=tuple(0 if late else len(self.protocol.ingest) for _, late in self.scenario.events),
            second_tries=self.scenario.second_tries,
            number=0,
            stands=False,
            summaries=((ABSENT, 0), (ABSENT, 0)),
            total=(ABSENT, 0, 0),
            counts=(Count(),) * self.scenario.counts,
        )

    def steps(self, state: State) -> Iterator[Step]:
        """Yield all steps that may come next."""
        for event in range(len(state.tries)):
            yield from self._ingest(state, event)
        for i, count in enumerate(state.counts):
            if count not in state.counts[:i]:
                yield from self._count(state, i)
                if count.step:
                    yield Step(f"count {i} crashes", self._ended(state, i), quiet=False)
        if state.late:
            yield self._late(state, state.late)
        if state.deleted.bit_count() < self.scenario.deletions:
            yield from self._delete_by_hand(state)

    # Events

    def _ingest(self, state: State, event: int) -> Iterator[Step]:
        order, at = self.protocol.ingest, state.tries[event]
        if at == len(order):
            return
        name, after = f"event {event}: {order[at]}", self._ingested(state, event, order[at])
        at += 1
        if order[at:][:1] == ("ack",):
            if state.second_tries and order[at - 1] == "mark":
                again = after._replace(
                    tries=put_at(state.tries, event, 0), second_tries=state.second_tries - 1
                )
                yield Step(f"{name}, ingest crashes", again, quiet=False)
            name, after = f"{name}, ack", self._ingested(after, event, "ack")
            at += 1
        yield Step(name, after._replace(tries=put_at(state.tries, event, at)), quiet=False)

    def _ingested(self, state: State, event: int, what: str) -> State:
        if what == "put":
            return state._replace(ledger=state.ledger | 1 << event)
        if what == "mark":
            return state._replace(number=state.number + 1, stands=True)
        return state._replace(acknowledged=state.acknowledged | 1 << event)

    def _delete_by_hand(self, state: State) -> Iterator[Step]:
        deletable = state.ledger & (-1 if self.scenario.deleted_come_again else state.acknowledged)
        for event in range(len(state.tries)):
            if deletable & 1 << event:
                after = state._replace(
                    ledger=state.ledger & ~(1 << event),
                    acknowledged=state.acknowledged & ~(1 << event),
                    deleted=state.deleted | 1 << event,
                    fresh=False,
                    counts=tuple(count._replace(old=count.old or count.step > 0) for count in state.counts),
                    late=state.late and state.late._replace(old=True),
                )
                yield Step(f"event {event}: deleted by hand", after, quiet=False)

    # A count

    def _count(self, state: State, i: int) -> Iterator[Step]:
        count = state.counts[i]
        step = self.protocol.count[count.step]
        name = f"count {i}: {step}"
        what, target = step.split(" ", 1)
        if what == "read":
            for how, read in self._reads(state, count, target):
                yield Step(name + how, self._go_on(state, i, read), quiet=not how)
        elif what == "compare":
            _, content, seen = state.total
            equal = content == sum(count.pages) and (
                seen >= count.seen or self.protocol.total_conflict == "content"
            )
            yield Step(f"{name}: {equal}", self._go_on(state, i, count) if equal else self._ended(state, i))
        else:
            yield from self._write(state, i, name, target)

    def _reads(self, state: State, count: Count, target: str) -> Iterator[tuple[str, Count]]:
        if target == "mark":
            yield "", count._replace(seen=state.number)
        elif target == "total":
            yield "", count._replace(total=state.total[0])
        elif target.startswith("summary"):
            user = int(target[-1])
            revision, content = state.summaries[user]
            yield (
                "",
                count._replace(
                    revisions=put_at(count.revisions, user, revision),
                    contents=put_at(count.contents, user, content),
                ),
            )
            if self.scenario.index_lags and revision != ABSENT:
                yield ", not listed", count
        else:
            user = int(target[-1])
            page = state.ledger & self.events_of[user]
            yield "", count._replace(pages=put_at(count.pages, user, page))
            if self.protocol.stale_pages and page:
                without_last = page & ~(1 << page.bit_length() - 1)
                yield ", stale", count._replace(pages=put_at(count.pages, user, without_last))

    def _go_on(self, state: State, i: int, count: Count) -> State:
        """Go to the next request. A summary that is already right is not written."""
        for user in USERS:
            if count.step == self.both_read[user]:
                page, revision = count.pages[user], count.revisions[user]
                if page == count.contents[user] and (page > 0) == (revision != ABSENT):
                    count = settled(count, user)
                count = count._replace(contents=put_at(count.contents, user, 0))
        step = count.step + 1
        while step < len(self.protocol.count):
            if self._is_due(count, self.protocol.count[step]):
                return with_count(state, i, count._replace(step=step, copy=WAITED_FOR))
            step += 1
        fresh = state.fresh or (state.deleted > 0 and not count.old)
        return with_count(state, i, Count())._replace(counted=True, fresh=fresh)

    def _is_due(self, count: Count, request: str) -> bool:
        if request.startswith("write summary"):
            return count.revisions[int(request[-1])] != SETTLED
        return request != "compare total"

    def _ended(self, state: State, i: int) -> State:
        """It crashes, or begins again."""
        return with_count(state, i, Count(old=state.counts[i].old))

    def _write(self, state: State, i: int, name: str, target: str) -> Iterator[Step]:
        count = state.counts[i]
        write = Write(target, *self._what(count, target), old=count.old)
        if self.scenario.late_writes and not state.late and count.copy == WAITED_FOR:
            sent = with_count(state, i, count._replace(copy=SENT))
            yield Step(f"{name}, no answer", sent._replace(late=write), quiet=False)
        if count.copy == MADE:
            yield Step(f"{name}, finds its own", self._written(state, i, count, target))
        elif self._holds(state, write):
            yield Step(name, self._written(self._carry_out(state, write), i, count, target))
        elif target == "mark" or (target == "total" and self.protocol.total_conflict == "finish"):
            yield Step(f"{name}, in vain", self._go_on(state, i, count))
        elif target == "total" and self.protocol.total_conflict != "again" and not count.wrote:
            compare = count._replace(step=self.position["compare total"], copy=WAITED_FOR)
            yield Step(f"{name}, in vain", with_count(state, i, compare))
        else:
            yield Step(f"{name}, in vain, begins again", self._ended(state, i))

    def _what(self, count: Count, target: str) -> tuple[int, int, int]:
        """Revision, content and mark of a write."""
        if target == "mark":
            return ABSENT, 0, count.seen
        if target == "total":
            return count.total, sum(count.pages), count.seen
        user = int(target[-1])
        return count.revisions[user], count.pages[user], 0

    def _written(self, state: State, i: int, count: Count, target: str) -> State:
        if target == "total":
            count = count._replace(total=ABSENT, pages=(0, 0), wrote=False)
        elif target != "mark":
            count = settled(count, int(target[-1]))._replace(
                wrote=self.protocol.total_conflict == "again if it wrote"
            )
        return self._go_on(state, i, count)

    # DynamoDB

    def _holds(self, state: State, write: Write) -> bool:
        """Tell whether the condition of a write holds in this state."""
        if write.target == "mark":
            return state.number == write.seen or not self.protocol.clear_condition
        if write.target == "total":
            return state.total[0] == write.revision or not self.protocol.total_condition
        there = state.summaries[int(write.target[-1])][0]
        if self.protocol.summary_condition == "exists":
            return (there == ABSENT) == (write.revision == ABSENT)
        return there == write.revision or self.protocol.summary_condition == "none"

    def _carry_out(self, state: State, write: Write) -> State:
        if write.target == "mark":
            return state._replace(stands=False, number=0 if self.protocol.mark_begins_anew else state.number)
        state = self._outdate(state, write.target)
        if write.target == "total":
            return state._replace(total=(SAME, write.content, write.seen))
        user = int(write.target[-1])
        revision = SAME if write.content else ABSENT
        if self.protocol.counters and write.content:
            revision = max(state.summaries[user][0], 0) + 1
        return state._replace(summaries=put_at(state.summaries, user, (revision, write.content)))

    def _outdate(self, state: State, target: str) -> State:
        """After a write of an item, mark what others have read of it as stale."""
        counts, late = list[Count](), state.late
        for known in state.counts:
            count = known
            if count.copy == MADE and self.protocol.count[count.step] == f"write {target}":
                count = count._replace(copy=WAITED_FOR)
            if target == "total":
                count = count._replace(total=min(count.total, STALE))
            elif not self.protocol.counters and count.revisions[user := int(target[-1])] == SAME:
                count = count._replace(revisions=put_at(count.revisions, user, STALE))
            counts.append(count)
        if late and late.target == target and late.revision == SAME and not self.protocol.counters:
            late = late._replace(revision=STALE)
        return state._replace(counts=tuple(counts), late=late)

    def _late(self, state: State, late: Write) -> Step:
        """The first copy of a write is carried out, or not: its condition may not hold any more.

        A write from before a deletion that is carried out after it acts like a deletion: a count must follow
        it.
        """
        holds = self._holds(state, late)
        after = self._carry_out(state, late) if holds else state
        copy = MADE if holds and (late.content or late.target == "mark") else WAITED_FOR
        counts = tuple(count._replace(copy=copy) if count.copy == SENT else count for count in after.counts)
        after = after._replace(counts=counts, late=None)
        if holds and late.old and not self.scenario.late_writes_outlive:
            counts = tuple(count._replace(old=count.old or count.step > 0) for count in after.counts)
            after = after._replace(fresh=False, counts=counts)
        return Step(f"late, {'' if holds else 'in vain, '}{late.target}", after)
