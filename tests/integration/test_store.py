"""What the store asks of DynamoDB, and what it makes of answers that were lost."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from impact.calendar import FIRST_DAY, timestamp
from impact.dynamodb import DaySum, Mark, Page, Store, TooBusy, Version, to_wire
from impact.keys import LATE, MARK_GROUP, day_shard
from impact.rates import Rate
from tests.events import NOON, event, ledger

DAY, KEY = "2026-11-20", day_shard("2026-11-20", 1)
TOTAL = {"asOf": timestamp(NOON), "day": DAY, "shard": 1, "costEUR": Decimal("0.50")}
SUMMARY = {"userId": "alice", "dayShard": KEY} | TOTAL
LATER = NOON + timedelta(hours=1)


Call = Callable[[str, Callable[..., Any], dict[str, Any]], Any]
"""What a test makes of a call: its name, how to carry it out, its options."""


class Client:
    """A client that hands each call to the test."""

    def __init__(self, client: Any, call: Call) -> None:
        self._client = client
        self._call = call
        self.exceptions = client.exceptions

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda **options: self._call(name, getattr(self._client, name), options)


def through(store: Store, call: Call) -> Store:
    client: Any = Client(store.client, call)
    return replace(store, client=client)


@pytest.fixture
def deaf(store: Store) -> Store:
    """The same tables; of each write the first answer is lost, and the SDK tries again."""

    def twice(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        if name in ("put_item", "update_item", "delete_item"):
            carry_out(**options)
        return carry_out(**options)

    return through(store, twice)


Read = Callable[[Store], Any]
CONSISTENT: dict[str, Read] = {
    "a user's summaries": lambda store: store.user_summaries("alice", DAY, DAY),
    "summaries": lambda store: store.summaries_of([("alice", DAY)], consistent=True),
    "events": lambda store: list(store.event_pages(KEY, consistent=True)),
    "a user's events": lambda store: list(store.event_pages(KEY, user_id="alice", consistent=True)),
    "rates": lambda store: store.rates(DAY, DAY),
    "a rate": lambda store: store.rate_of(DAY),
    "a rate and its corrections": lambda store: store.rate_entries(DAY),
    "periods": lambda store: store.periods(),
    "a late mark": lambda store: store.late_mark(DAY, 1),
    "late marks": lambda store: store.late_marks(),
    "a total": lambda store: store.total(KEY),
    "totals": lambda store: list(store.totals(DAY, DAY)),
    "users by shard": lambda store: store.users_by_shard(DAY),
    "the first day": lambda store: store.first_day_with_total(),
    "sums of days": lambda store: store.day_sums(DAY, DAY),
    "progress": lambda store: store.progress(),
}
EVENTUAL: dict[str, Read] = {
    "summaries": lambda store: store.summaries_of([("alice", DAY)], consistent=False),
    "events": lambda store: list(store.event_pages(KEY, consistent=False)),
}


def consistency(store: Store, read: Read) -> set[bool]:
    """What a read asks for."""
    asked: set[bool] = set()

    def note(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        [request] = options["RequestItems"].values() if name == "batch_get_item" else [options]
        asked.add(request.get("ConsistentRead", False))
        return carry_out(**options)

    read(through(store, note))
    return asked


@pytest.mark.parametrize("what", CONSISTENT)
def test_what_decides_is_read_as_it_is_now(store: Store, what: str) -> None:
    assert consistency(store, CONSISTENT[what]) == {True}


@pytest.mark.parametrize("what", EVENTUAL)
def test_what_is_read_again_anyway_is_read_at_half_the_price(store: Store, what: str) -> None:
    assert consistency(store, EVENTUAL[what]) == {False}


def test_a_put_whose_answer_was_lost_knows_its_own_item(deaf: Store) -> None:
    assert deaf.put_summary(SUMMARY, None)
    [found] = deaf.user_summaries("alice", DAY, DAY)
    assert deaf.put_summary(SUMMARY | {"asOf": timestamp(LATER)}, Version.of(found))
    assert deaf.put_total(KEY, TOTAL, None)
    total = deaf.total(KEY)
    assert total
    assert deaf.put_total(KEY, TOTAL | {"costEUR": 1}, Version.of(total))
    assert deaf.put_rate(Rate(DAY, Decimal("1.1")), source="test", now=NOON)


def test_another_counts_item_is_not_our_own_though_it_says_the_same(store: Store) -> None:
    assert store.put_summary(SUMMARY, None)
    assert not store.put_summary(SUMMARY, None)
    assert store.put_total(KEY, TOTAL, None)
    assert not store.put_total(KEY, TOTAL, None)


def test_a_summary_is_replaced_and_deleted_in_the_version_that_was_read_only(store: Store) -> None:
    assert store.put_summary(SUMMARY, None)
    [found] = store.user_summaries("alice", DAY, DAY)
    former = Version.of(found)
    assert store.put_summary(SUMMARY, former)
    assert not store.put_summary(SUMMARY | {"costEUR": 1}, former)
    assert not store.delete_summary("alice", DAY, former)
    [found] = store.user_summaries("alice", DAY, DAY)
    assert found["costEUR"] == Decimal("0.5")
    assert store.delete_summary("alice", DAY, Version.of(found))
    assert store.user_summaries("alice", DAY, DAY) == []


def test_a_summary_of_an_earlier_version_of_this_service_is_known_by_its_time(store: Store) -> None:
    for day in (DAY, "2026-11-21"):
        store.client.put_item(TableName=store.summaries, Item=to_wire(SUMMARY | {"day": day}))
    other, its_own = Version(None, timestamp(LATER)), Version(None, timestamp(NOON))
    assert not store.put_summary(SUMMARY, other)
    assert not store.delete_summary("alice", DAY, other)
    assert store.put_summary(SUMMARY, its_own)
    assert not store.delete_summary("alice", DAY, its_own), "it has a revision now"
    assert store.delete_summary("alice", "2026-11-21", its_own)


def test_a_delete_whose_answer_was_lost_is_done(deaf: Store) -> None:
    assert deaf.put_summary(SUMMARY, None)
    [found] = deaf.user_summaries("alice", DAY, DAY)
    assert deaf.delete_summary("alice", DAY, Version.of(found))
    assert deaf.user_summaries("alice", DAY, DAY) == []


def test_a_mark_whose_clearing_was_not_answered_is_gone(deaf: Store) -> None:
    deaf.mark_late(DAY, [1], NOON)
    assert deaf.clear_mark(deaf.late_mark(DAY, 1))
    assert deaf.late_marks() == set()


def test_a_mark_that_was_left_anew_stays_and_says_since_when_it_stands(store: Store) -> None:
    store.mark_late(DAY, [1], NOON)
    read = store.late_mark(DAY, 1)
    store.mark_late(DAY, [1, 2], LATER)
    assert not store.clear_mark(read)
    assert store.standing_marks() == [Mark(DAY, 1, 2, NOON), Mark(DAY, 2, 1, LATER)]
    assert store.clear_mark(store.late_mark(DAY, 1))
    assert store.late_mark(DAY, 1) == Mark(DAY, 1, 2, None)
    assert store.late_marks() == {(DAY, 2)}


def test_marks_that_stand_are_not_forgotten(store: Store) -> None:
    for day in ("2026-11-18", "2026-11-19", DAY):
        store.mark_late(day, [1, 2], NOON)
        store.clear_mark(store.late_mark(day, 1))
    for day in ("2026-11-18", DAY):
        store.clear_mark(store.late_mark(day, 2))
    store.forget_marks(DAY)
    assert store.late_marks() == {("2026-11-19", 2)}
    assert store.late_mark("2026-11-18", 1) == Mark("2026-11-18", 1)
    assert store.late_mark(DAY, 1) == Mark(DAY, 1, 1), "not of a day before"


def leave_old_mark(store: Store, token: str) -> None:
    """Leave a mark as an earlier version of this service did."""
    mark = {"kind": LATE, "key": day_shard(DAY, MARK_GROUP + 7), "token": token}
    store.client.put_item(TableName=store.state, Item={name: {"S": value} for name, value in mark.items()})


def test_a_mark_of_an_earlier_version_is_taken_over_each_time_it_is_left(store: Store) -> None:
    def left_anew(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        answer = carry_out(**options)
        if name == "update_item":
            leave_old_mark(store, "2")
        return answer

    leave_old_mark(store, "1")
    through(store, left_anew).take_over_marks(NOON)
    assert store.late_mark(DAY, MARK_GROUP + 7) == Mark(DAY, MARK_GROUP + 7, 1, NOON)
    assert store.clear_mark(store.late_mark(DAY, MARK_GROUP + 7))
    store.take_over_marks(LATER)
    assert store.late_mark(DAY, MARK_GROUP + 7) == Mark(DAY, MARK_GROUP + 7, 2, LATER)
    store.take_over_marks(LATER + timedelta(hours=1))
    assert store.late_mark(DAY, MARK_GROUP + 7).number == 2, "it was taken over, and is gone"


def test_sums_of_a_day_hold_until_one_of_its_totals_changes(store: Store) -> None:
    assert store.day_sums(FIRST_DAY, DAY) == {}
    store.note_change(DAY)
    assert store.day_sums(FIRST_DAY, DAY) == {DAY: DaySum(1, None)}
    assert store.put_day_sums(DAY, {"requests": 3}, 1)
    assert store.day_sums(FIRST_DAY, DAY) == {DAY: DaySum(1, {"requests": 3})}
    store.note_change(DAY)
    assert not store.put_day_sums(DAY, {"requests": 3}, 1)
    assert store.day_sums(FIRST_DAY, DAY) == {DAY: DaySum(2, None)}


def test_the_first_event_of_an_id_stays(store: Store) -> None:
    item = ledger().entry(event(), NOON).item
    assert store.append(item)
    assert not store.append(item | {"costUSD": Decimal(99)})
    [page] = store.event_pages(item["dayShard"], consistent=True)
    assert [each["costUSD"] for each in page] == [{"N": "0.00475"}]


def sparing(store: Store, answers: int) -> Store:
    """The same tables; BatchGetItem leaves out all but the first key, so many times."""
    left = [answers]

    def leave_out(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        if name != "batch_get_item" or not left[0]:
            return carry_out(**options)
        left[0] -= 1
        [(table, request)] = options["RequestItems"].items()
        first, *others = request["Keys"]
        answer = carry_out(RequestItems={table: request | {"Keys": [first]}})
        return answer | {"UnprocessedKeys": {table: request | {"Keys": [*others] or [first]}}}

    return through(store, leave_out)


def test_summaries_that_were_left_out_are_asked_for_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impact.dynamodb.PAUSE_SECONDS", 0)
    keys = [(f"u{n}", DAY) for n in range(5)]
    for user_id, day in keys:
        store.put_summary(SUMMARY | {"userId": user_id, "day": day}, None)
    found = sparing(store, 4).summaries_of(keys, consistent=True)
    assert sorted(each["userId"] for each in found) == ["u0", "u1", "u2", "u3", "u4"]


def test_summaries_that_are_left_out_again_and_again_are_an_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impact.dynamodb.PAUSE_SECONDS", 0)
    monkeypatch.setattr("impact.dynamodb.UNPROCESSED_MAX", 3)
    assert sparing(store, 2).summaries_of([("alice", DAY)], consistent=True) == []
    with pytest.raises(TooBusy, match="1 items were left out 3 times"):
        sparing(store, 3).summaries_of([("alice", DAY)], consistent=True)


def test_more_summaries_than_one_call_takes(store: Store) -> None:
    users = [f"u{n:03d}" for n in range(101)]
    for user_id in users:
        store.put_summary(SUMMARY | {"userId": user_id}, None)
    found = store.summaries_of([(user_id, DAY) for user_id in users], consistent=False)
    assert sorted(each["userId"] for each in found) == users


def test_users_are_listed_in_pages(store: Store) -> None:
    for user_id in ("a", "b", "c"):
        store.put_summary(SUMMARY | {"userId": user_id}, None)
    store.put_summary(SUMMARY | {"userId": "d", "dayShard": day_shard(DAY, 2)}, None)
    assert list(store.all_users_of(KEY)) == ["a", "b", "c"]
    assert store.users_of(KEY, after=None, limit=2) == Page(["a", "b"], "b")
    assert store.users_of(KEY, after="b", limit=2) == Page(["c"], None)
