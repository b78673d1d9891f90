"""Breakdowns in State: what replaces what."""

from typing import Any

from impact.breakdown import Encoded, Rows, encode
from impact.breakdown_columns import COLUMNS
from impact.breakdown_store import Overtaken
from impact.store import Store
from tests.integration.steps import TODAY

HOSTILE = ["Marketing", "marketing", "=1+1", "a#b", "\u202egnp", "\0", "😀"]


def content(requests: int = 1, *, final: bool = False) -> dict[str, Any]:
    row = [requests, *[0] * (len(COLUMNS) - 1)]
    rows = encode(COLUMNS, {"team": Rows(dict.fromkeys(HOSTILE, row))})
    return {"total": {"day": TODAY, "shard": 7, "final": final}, "rows": rows}


def put(store: Store, before: str | None, what: dict[str, Any]) -> Any:
    return store.breakdowns.put_shard(TODAY, 7, what, before)


def test_only_the_revision_that_was_known_is_replaced(store: Store) -> None:
    first = put(store, None, content(1))
    assert put(store, None, content(2)) == Overtaken(first, is_final=False)
    second = put(store, first, content(3, final=True))
    assert second != first
    assert put(store, first, content(4)) == Overtaken(second, is_final=True)
    [item] = store.breakdowns.of_shards(TODAY)
    assert item["total"]["final"] is True
    assert Encoded(item["rows"]).rows("team").values.keys() == set(HOSTILE)
    assert {row[0] for row in Encoded(item["rows"]).rows("team").values.values()} == {3}


def test_a_lost_response_is_no_conflict(lossy_store: Store) -> None:
    first = put(lossy_store, None, content(1))
    assert isinstance(first, str)
    assert isinstance(put(lossy_store, first, content(2)), str)


def test_a_breakdown_is_read_with_its_day_alone(store: Store) -> None:
    put(store, None, content())
    store.breakdowns.put_shard("2026-11-24", 7, content(), None)
    store.breakdowns.put_day("team", TODAY, content(), 1)
    assert [item["key"] for item in store.breakdowns.of_shards(TODAY)] == ["07"]
    assert store.breakdowns.of_shards("2026-11-22") == []


def test_a_day_that_changed_less_often_replaces_none_that_changed_more_often(store: Store) -> None:
    for changes in (2, 1, 2, 3, 2):
        store.breakdowns.put_day("team", TODAY, content(changes), changes)
    [(day, item)] = store.breakdowns.of_days("team", "2026-11-01", TODAY).items()
    assert (day, item["changes"]) == (TODAY, 3)
    assert {row[0] for row in Encoded(item["rows"]).rows("team").values.values()} == {3}
    assert store.breakdowns.of_days("tag", "2026-11-01", TODAY) == {}
    assert store.breakdowns.of_days("team", "2026-11-24", "2026-11-30") == {}
