"""Summaries: versions, batches that are left out, pages of users."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from impact.calendar import timestamp
from impact.dynamodb import TooBusy, Version, to_wire
from impact.keys import day_shard
from impact.store import Store
from impact.summary_store import UserPage
from tests.events import NOON
from tests.integration.test_dynamodb import DAY, KEY, LATER, SUMMARY
from tests.intercepted import through


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


def store_that_leaves_out(store: Store, times: int) -> Store:
    """The same tables; BatchGetItem leaves out all but the first key, so many times."""
    left = [times]

    def leave_out(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        if name != "batch_get_item" or not left[0]:
            return carry_out(**options)
        left[0] -= 1
        [(table, request)] = options["RequestItems"].items()
        first, *others = request["Keys"]
        response = carry_out(RequestItems={table: request | {"Keys": [first]}})
        return response | {"UnprocessedKeys": {table: request | {"Keys": [*others] or [first]}}}

    return through(store, leave_out)


def test_summaries_that_were_left_out_are_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impact.dynamodb.PAUSE_SECONDS", 0)
    keys = [(f"u{n}", DAY) for n in range(5)]
    for user_id, day in keys:
        store.summaries.put(SUMMARY | {"userId": user_id, "day": day}, None)
    found = store_that_leaves_out(store, 4).summaries.get_many(keys, consistent=True)
    assert sorted(each["userId"] for each in found) == ["u0", "u1", "u2", "u3", "u4"]


def test_summaries_that_are_left_out_again_and_again_are_an_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impact.dynamodb.PAUSE_SECONDS", 0)
    monkeypatch.setattr("impact.dynamodb.UNPROCESSED_MAX", 3)
    assert store_that_leaves_out(store, 2).summaries.get_many([("alice", DAY)], consistent=True) == []
    with pytest.raises(TooBusy, match="1 items were left out 3 times"):
        store_that_leaves_out(store, 3).summaries.get_many([("alice", DAY)], consistent=True)


def test_more_summaries_than_one_call_may_ask_for(store: Store) -> None:
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
