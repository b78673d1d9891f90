"""What the store asks of DynamoDB, and what it makes of answers that were lost."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from impact.calendar import FIRST_DAY, timestamp
from impact.dynamodb import Version, to_wire
from impact.fx_rates import FxRate
from impact.keys import MARK_GROUP, OLD_MARK, day_shard
from impact.state_store import LateMark, StoredDailyTotal
from impact.store import Store
from impact.summary_store import TooBusy, UserPage
from tests.events import NOON, entry_builder, event
from tests.tables import with_client

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
    return with_client(store, client)


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
    "a user's summaries": lambda store: list(store.summaries.of_user("alice", DAY, DAY)),
    "summaries": lambda store: store.summaries.get_many([("alice", DAY)], consistent=True),
    "events": lambda store: list(store.ledger.event_pages(KEY, consistent=True)),
    "a user's events": lambda store: list(store.ledger.event_pages(KEY, user_id="alice", consistent=True)),
    "rates": lambda store: store.state.fx_rates(DAY, DAY),
    "a rate": lambda store: store.state.fx_rate_of(DAY),
    "a rate and its corrections": lambda store: store.state.fx_rate_entries(DAY),
    "periods": lambda store: store.state.periods(),
    "a late mark": lambda store: store.state.late_mark(DAY, 1),
    "late marks": lambda store: store.state.marked(),
    "a total": lambda store: store.state.shard_total(KEY),
    "totals": lambda store: list(store.state.shard_totals(DAY, DAY)),
    "users by shard": lambda store: store.state.users_by_shard(DAY),
    "the first day": lambda store: store.state.first_day_with_total(),
    "sums of days": lambda store: store.state.daily_totals(DAY, DAY),
    "progress": lambda store: store.state.progress(),
}
EVENTUAL: dict[str, Read] = {
    "summaries": lambda store: store.summaries.get_many([("alice", DAY)], consistent=False),
    "events": lambda store: list(store.ledger.event_pages(KEY, consistent=False)),
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
    assert deaf.summaries.put(SUMMARY, None)
    [found] = deaf.summaries.of_user("alice", DAY, DAY)
    assert deaf.summaries.put(SUMMARY | {"asOf": timestamp(LATER)}, Version.of(found))
    assert deaf.state.put_shard_total(KEY, TOTAL, None)
    total = deaf.state.shard_total(KEY)
    assert total
    assert deaf.state.put_shard_total(KEY, TOTAL | {"costEUR": 1}, Version.of(total))
    assert deaf.state.put_fx_rate(FxRate(DAY, Decimal("1.1")), source="test", now=NOON)


def test_another_counts_item_is_not_our_own_though_it_says_the_same(store: Store) -> None:
    assert store.summaries.put(SUMMARY, None)
    assert not store.summaries.put(SUMMARY, None)
    assert store.state.put_shard_total(KEY, TOTAL, None)
    assert not store.state.put_shard_total(KEY, TOTAL, None)


def test_a_summary_is_replaced_and_deleted_in_the_version_that_was_read_only(store: Store) -> None:
    assert store.summaries.put(SUMMARY, None)
    [found] = store.summaries.of_user("alice", DAY, DAY)
    former = Version.of(found)
    assert store.summaries.put(SUMMARY, former)
    assert not store.summaries.put(SUMMARY | {"costEUR": 1}, former)
    assert not store.summaries.delete("alice", DAY, former)
    [found] = store.summaries.of_user("alice", DAY, DAY)
    assert found["costEUR"] == Decimal("0.5")
    assert store.summaries.delete("alice", DAY, Version.of(found))
    assert list(store.summaries.of_user("alice", DAY, DAY)) == []


def test_a_summary_of_an_earlier_version_of_this_service_is_known_by_its_time(store: Store) -> None:
    for day in (DAY, "2026-11-21"):
        store.client.put_item(TableName=store.summaries.name, Item=to_wire(SUMMARY | {"day": day}))
    other, its_own = Version(None, timestamp(LATER)), Version(None, timestamp(NOON))
    assert not store.summaries.put(SUMMARY, other)
    assert not store.summaries.delete("alice", DAY, other)
    assert store.summaries.put(SUMMARY, its_own)
    assert not store.summaries.delete("alice", DAY, its_own), "it has a revision now"
    assert store.summaries.delete("alice", "2026-11-21", its_own)


def test_a_delete_whose_answer_was_lost_is_done(deaf: Store) -> None:
    assert deaf.summaries.put(SUMMARY, None)
    [found] = deaf.summaries.of_user("alice", DAY, DAY)
    assert deaf.summaries.delete("alice", DAY, Version.of(found))
    assert list(deaf.summaries.of_user("alice", DAY, DAY)) == []


def test_a_mark_whose_clearing_was_not_answered_is_gone(deaf: Store) -> None:
    deaf.state.mark_late(DAY, [1], NOON)
    assert deaf.state.clear_mark(deaf.state.late_mark(DAY, 1))
    assert deaf.state.marked() == set()


def test_a_mark_that_was_left_anew_stays_and_says_since_when_it_stands(store: Store) -> None:
    store.state.mark_late(DAY, [1], NOON)
    read = store.state.late_mark(DAY, 1)
    store.state.mark_late(DAY, [1, 2], LATER)
    assert not store.state.clear_mark(read)
    assert store.state.late_marks() == [LateMark(DAY, 1, 2, NOON), LateMark(DAY, 2, 1, LATER)]
    assert store.state.clear_mark(store.state.late_mark(DAY, 1))
    assert store.state.late_mark(DAY, 1) == LateMark(DAY, 1, 2, None)
    assert store.state.marked() == {(DAY, 2)}


def test_marks_that_stand_are_not_forgotten(store: Store) -> None:
    for day in ("2026-11-18", "2026-11-19", DAY):
        store.state.mark_late(day, [1, 2], NOON)
        store.state.clear_mark(store.state.late_mark(day, 1))
    for day in ("2026-11-18", DAY):
        store.state.clear_mark(store.state.late_mark(day, 2))
    store.state.delete_cleared_marks(DAY)
    assert store.state.marked() == {("2026-11-19", 2)}
    assert store.state.late_mark("2026-11-18", 1) == LateMark("2026-11-18", 1)
    assert store.state.late_mark(DAY, 1) == LateMark(DAY, 1, 1), "not of a day before"


def leave_old_mark(store: Store, token: str) -> None:
    """Leave a mark as an earlier version of this service did."""
    mark = {"kind": OLD_MARK, "key": day_shard(DAY, MARK_GROUP + 7), "token": token}
    store.client.put_item(
        TableName=store.state.name, Item={name: {"S": value} for name, value in mark.items()}
    )


def test_a_mark_of_an_earlier_version_is_taken_over_each_time_it_is_left(store: Store) -> None:
    def left_anew(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        answer = carry_out(**options)
        if name == "update_item":
            leave_old_mark(store, "2")
        return answer

    leave_old_mark(store, "1")
    through(store, left_anew).state.migrate_old_marks(NOON)
    assert store.state.late_mark(DAY, MARK_GROUP + 7) == LateMark(DAY, MARK_GROUP + 7, 1, NOON)
    assert store.state.clear_mark(store.state.late_mark(DAY, MARK_GROUP + 7))
    store.state.migrate_old_marks(LATER)
    assert store.state.late_mark(DAY, MARK_GROUP + 7) == LateMark(DAY, MARK_GROUP + 7, 2, LATER)
    store.state.migrate_old_marks(LATER + timedelta(hours=1))
    assert store.state.late_mark(DAY, MARK_GROUP + 7).number == 2, "it was taken over, and is gone"


def test_sums_of_a_day_hold_until_one_of_its_totals_changes(store: Store) -> None:
    assert store.state.daily_totals(FIRST_DAY, DAY) == {}
    store.state.outdate_daily_total(DAY)
    assert store.state.daily_totals(FIRST_DAY, DAY) == {DAY: StoredDailyTotal(1, None)}
    assert store.state.put_daily_total(DAY, {"requests": 3}, 1)
    assert store.state.daily_totals(FIRST_DAY, DAY) == {DAY: StoredDailyTotal(1, {"requests": 3})}
    store.state.outdate_daily_total(DAY)
    assert not store.state.put_daily_total(DAY, {"requests": 3}, 1)
    assert store.state.daily_totals(FIRST_DAY, DAY) == {DAY: StoredDailyTotal(2, None)}


def test_the_first_event_of_an_id_stays(store: Store) -> None:
    item = entry_builder().build(event(), NOON).item
    assert store.ledger.append(item)
    assert not store.ledger.append(item | {"costUSD": Decimal(99)})
    [page] = store.ledger.event_pages(item["dayShard"], consistent=True)
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
    monkeypatch.setattr("impact.summary_store.PAUSE_SECONDS", 0)
    keys = [(f"u{n}", DAY) for n in range(5)]
    for user_id, day in keys:
        store.summaries.put(SUMMARY | {"userId": user_id, "day": day}, None)
    found = sparing(store, 4).summaries.get_many(keys, consistent=True)
    assert sorted(each["userId"] for each in found) == ["u0", "u1", "u2", "u3", "u4"]


def test_summaries_that_are_left_out_again_and_again_are_an_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impact.summary_store.PAUSE_SECONDS", 0)
    monkeypatch.setattr("impact.summary_store.UNPROCESSED_MAX", 3)
    assert sparing(store, 2).summaries.get_many([("alice", DAY)], consistent=True) == []
    with pytest.raises(TooBusy, match="1 items were left out 3 times"):
        sparing(store, 3).summaries.get_many([("alice", DAY)], consistent=True)


def test_more_summaries_than_one_call_takes(store: Store) -> None:
    users = [f"u{n:03d}" for n in range(101)]
    for user_id in users:
        store.summaries.put(SUMMARY | {"userId": user_id}, None)
    found = store.summaries.get_many([(user_id, DAY) for user_id in users], consistent=False)
    assert sorted(each["userId"] for each in found) == users


def test_users_are_listed_in_pages(store: Store) -> None:
    for user_id in ("a", "b", "c"):
        store.summaries.put(SUMMARY | {"userId": user_id}, None)
    store.summaries.put(SUMMARY | {"userId": "d", "dayShard": day_shard(DAY, 2)}, None)
    assert list(store.summaries.all_users_of(KEY)) == ["a", "b", "c"]
    assert store.summaries.page_of_users(KEY, after=None, limit=2) == UserPage(["a", "b"], "b")
    assert store.summaries.page_of_users(KEY, after="b", limit=2) == UserPage(["c"], None)
