"""State: late marks, and the totals of days."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from impact.calendar import FIRST_DAY
from impact.keys import MARK_GROUP, OLD_MARK, day_shard
from impact.state_store import LateMark, StoredDailyTotal
from impact.store import Store
from tests.events import NOON
from tests.integration.test_dynamodb import DAY, LATER
from tests.intercepted import through


def test_a_mark_is_gone_though_the_response_to_its_clearing_was_lost(lossy_store: Store) -> None:
    lossy_store.state.mark_late(DAY, [1], NOON)
    assert lossy_store.state.clear_mark(lossy_store.state.late_mark(DAY, 1))
    assert lossy_store.state.marked() == set()


def test_a_mark_that_was_set_again_stays_and_says_since_when_it_stands(store: Store) -> None:
    store.state.mark_late(DAY, [1], NOON)
    read = store.state.late_mark(DAY, 1)
    store.state.mark_late(DAY, [1, 2], LATER)
    assert not store.state.clear_mark(read)
    assert store.state.late_marks() == [LateMark(DAY, 1, 2, NOON), LateMark(DAY, 2, 1, LATER)]
    assert store.state.clear_mark(store.state.late_mark(DAY, 1))
    assert store.state.late_mark(DAY, 1) == LateMark(DAY, 1, 2, None)
    assert store.state.marked() == {(DAY, 2)}


def test_only_cleared_marks_of_earlier_days_are_deleted(store: Store) -> None:
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


def test_a_mark_of_an_earlier_version_is_migrated_each_time_it_is_set(store: Store) -> None:
    def mark_left_meanwhile(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        response = carry_out(**options)
        if name == "update_item":
            leave_old_mark(store, "2")
        return response

    leave_old_mark(store, "1")
    through(store, mark_left_meanwhile).state.migrate_old_marks(NOON)
    assert store.state.late_mark(DAY, MARK_GROUP + 7) == LateMark(DAY, MARK_GROUP + 7, 1, NOON)
    assert store.state.clear_mark(store.state.late_mark(DAY, MARK_GROUP + 7))
    store.state.migrate_old_marks(LATER)
    assert store.state.late_mark(DAY, MARK_GROUP + 7) == LateMark(DAY, MARK_GROUP + 7, 2, LATER)
    store.state.migrate_old_marks(LATER + timedelta(hours=1))
    assert store.state.late_mark(DAY, MARK_GROUP + 7).number == 2, "it was migrated, and is gone"


def test_sums_of_a_day_hold_until_one_of_its_totals_changes(store: Store) -> None:
    assert store.state.daily_totals(FIRST_DAY, DAY) == {}
    store.state.outdate_daily_total(DAY)
    assert store.state.daily_totals(FIRST_DAY, DAY) == {DAY: StoredDailyTotal(1, None)}
    assert store.state.put_daily_total(DAY, {"requests": 3}, 1)
    assert store.state.daily_totals(FIRST_DAY, DAY) == {DAY: StoredDailyTotal(1, {"requests": 3})}
    store.state.outdate_daily_total(DAY)
    assert not store.state.put_daily_total(DAY, {"requests": 3}, 1)
    assert store.state.daily_totals(FIRST_DAY, DAY) == {DAY: StoredDailyTotal(2, None)}


def test_a_mark_lies_where_other_releases_look_for_it(store: Store) -> None:
    """During a deployment both releases set and clear marks."""
    store.state.mark_late(DAY, [40], NOON)
    key = {"kind": {"S": "mark"}, "key": {"S": f"{DAY}#01"}}
    item = store.client.get_item(TableName=store.state.name, Key=key)["Item"]
    assert {name: item[name] for name in ("left40", "since40")} == {
        "left40": {"N": "1"},
        "since40": {"N": str(int(NOON.timestamp()))},
    }
