"""The stores, when a call is carried out but its response is lost, or is carried out late."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from impact.calendar import timestamp
from impact.dynamodb import UNPROCESSED_MAX, TooBusy, UnreadableResponse, connect
from impact.fx_rates import FxRate
from impact.fx_update import store_manual_rate
from impact.keys import day_shard, parse_day_shard
from impact.state_store import Progress
from impact.store import Store
from local.waiting import wait_until
from tests.events import NOON, entry_builder, event
from tests.faults.aws_fault_proxy import CUT_OFF, Proxy, slow
from tests.tables import with_client

KEY = day_shard("2026-11-20", 1)
TOTAL = {"asOf": timestamp(NOON), "day": "2026-11-20", "shard": 1, "costEUR": Decimal("0.50")}
SUMMARY = {"userId": "alice", "dayShard": KEY} | TOTAL
RATE = FxRate("2026-11-20", Decimal("1.10"))
ITEM = entry_builder().build(event(), NOON).item


@pytest.fixture
def store(proxy: Proxy, tables: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The tables, reached through the proxy, by a client with a time limit of one second."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
    return with_client(tables, connect(read_timeout=1, attempts=3))


def test_a_write_whose_answer_was_lost_knows_its_own(store: Store, proxy: Proxy) -> None:
    proxy.inject(CUT_OFF, "PutItem", sequence={"fail": 1, "pass": 1})
    assert store.summaries.put(SUMMARY, None)
    assert store.state.put_shard_total(KEY, TOTAL, None)
    assert store.state.put_fx_rate(RATE, source="test", now=NOON)
    store.state.put_progress(Progress("2026-11-20", 4))
    assert proxy.heal() == 4
    assert store.state.progress() == Progress("2026-11-20", 4)
    assert not store.state.put_fx_rate(RATE, source="test", now=NOON + timedelta(hours=1))
    assert not store.state.put_shard_total(KEY, TOTAL | {"costEUR": 1}, None)


def test_a_write_whose_answer_was_lost_and_that_was_overtaken_since_is_beaten(
    store: Store, tables: Store, proxy: Proxy
) -> None:
    younger = SUMMARY | {"asOf": timestamp(NOON + timedelta(seconds=1))}
    assert tables.summaries.put(younger, None)
    proxy.inject(CUT_OFF, "PutItem", times=1)
    assert not store.summaries.put(SUMMARY, None)
    [found] = tables.summaries.of_user("alice", "2026-11-20", "2026-11-20")
    assert found["asOf"] == younger["asOf"]


def test_an_operators_rate_whose_answer_was_lost_is_no_conflict(store: Store, proxy: Proxy) -> None:
    proxy.inject(CUT_OFF, "PutItem", times=2)
    assert store_manual_rate(store, RATE.date, "1.10", NOON, confirm=True).stored
    assert store_manual_rate(store, RATE.date, "1.11", NOON, reason="a slip", confirm=True).stored
    assert (proxy.heal(), store.state.fx_rates(RATE.date, RATE.date).usd) == (2, {RATE.date: Decimal("1.11")})


def test_an_event_whose_answer_was_lost_is_there_once(store: Store, proxy: Proxy) -> None:
    proxy.inject(CUT_OFF, "PutItem", times=1)
    assert not store.ledger.append(ITEM)  # it is a duplicate: it gets a late mark and a duplicate's response
    assert len(store.client.scan(TableName=store.ledger.name)["Items"]) == 1


def test_a_mark_is_left_and_cleared_though_answers_are_lost(store: Store, proxy: Proxy) -> None:
    proxy.inject(CUT_OFF, "UpdateItem", sequence={"fail": 1, "pass": 1})
    store.state.mark_late("2026-11-20", [1, 2], NOON)
    mark = store.state.late_mark("2026-11-20", 1)
    assert mark.since == NOON
    assert store.state.clear_mark(mark)
    assert proxy.heal() == 2
    assert store.state.marked() == {("2026-11-20", 2)}


def test_a_mark_carried_out_late_does_not_hide_one_of_another_event(store: Store, proxy: Proxy) -> None:
    """The SDK had retried it long before. A rollup has read the mark, but not the event that came since."""
    proxy.inject(slow(8), "UpdateItem", times=1)
    store.state.mark_late("2026-11-20", [1], NOON)
    read = store.state.late_mark("2026-11-20", 1)
    assert read.since
    store.state.mark_late("2026-11-20", [1], NOON)
    wait_until(lambda: store.state.late_mark("2026-11-20", 1).number == 3, "the first try's write")
    assert not store.state.clear_mark(read)
    assert store.state.marked() == {("2026-11-20", 1)}


def test_a_clearing_carried_out_late_does_not_take_away_a_later_mark(tables: Store) -> None:
    tables.state.mark_late("2026-11-20", [1], NOON)
    read = tables.state.late_mark("2026-11-20", 1)
    assert tables.state.clear_mark(read)
    tables.state.mark_late("2026-11-20", [1], NOON)
    assert not tables.state.clear_mark(read)
    assert tables.state.marked() == {("2026-11-20", 1)}


def test_marks_of_an_earlier_version_are_taken_over(tables: Store) -> None:
    old: Any = {"kind": {"S": "late"}, "key": {"S": KEY}, "token": {"S": "old"}, "markedAt": {"S": "x"}}
    tables.client.put_item(TableName=tables.state.name, Item=old)
    tables.state.migrate_old_marks(NOON)
    assert tables.state.marked() == {parse_day_shard(KEY)}
    assert tables.state.clear_mark(tables.state.late_mark(*parse_day_shard(KEY)))
    tables.state.migrate_old_marks(NOON)
    assert tables.state.marked() == set()


def test_items_left_out_are_asked_for_again_and_not_for_ever(store: Store, proxy: Proxy) -> None:
    assert store.summaries.put(SUMMARY, None)
    wanted = {"Keys": [{"userId": {"S": "alice"}, "day": {"S": "2026-11-20"}}]}
    left_out = {"Responses": {}, "UnprocessedKeys": {store.summaries.name: wanted}}
    fault = {"error": {"code": "Unprocessed", "status": 200, "fields": left_out}}
    proxy.inject(fault, "BatchGetItem", times=3)
    [found] = store.summaries.get_many([("alice", "2026-11-20")], consistent=False)
    assert SUMMARY.items() <= found.items()
    assert proxy.heal() == 3
    proxy.inject(fault, "BatchGetItem")
    with pytest.raises(TooBusy, match="1 items were left out"):
        store.summaries.get_many([("alice", "2026-11-20")], consistent=False)
    assert proxy.fired() == UNPROCESSED_MAX


@pytest.mark.parametrize("damage", [{"truncate_frac": 0.5}, {"corrupt_bytes": 1}], ids=["short", "garbled"])
def test_an_answer_that_is_damaged_is_a_fault_like_others(
    store: Store, proxy: Proxy, damage: dict[str, Any]
) -> None:
    # The SDK does not retry it: only AWS sends the checksum for that.
    proxy.inject({"response": damage}, "PutItem", times=1)
    with pytest.raises(UnreadableResponse):
        store.ledger.append(ITEM)
    assert len(store.client.scan(TableName=store.ledger.name)["Items"]) == 1
