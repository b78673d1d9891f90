"""The ingest function where storage or settings fail: 503, and what to send again is named."""

from dataclasses import replace
from datetime import timedelta
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from moto import mock_aws

from impact import config
from impact.calendar import timestamp
from impact.day_settings import CachedCalendar, ensure_calendar
from impact.state_store import StateStore
from impact.store import Store
from tests.events import IMPOSSIBLE, NOON, entry_builder, event
from tests.integration.conftest import Post
from tests.integration.steps import items, now_event, throttled
from tests.lambda_context import CONTEXT
from tests.metrics import values

with mock_aws():  # it reads the fx rates when it starts
    from ingest import app


def faulty(store: Store, bad_events: set[str], *, marks_fail: bool = False) -> Any:
    """A store that fails for some events, or for all marks."""

    def append(item: dict[str, Any]) -> bool:
        if item["eventId"] in bad_events:
            raise throttled("PutItem")
        return store.ledger.append(item)

    def mark_late(*args: Any) -> Any:
        if marks_fail:
            raise ReadTimeoutError(endpoint_url="http://dynamodb")
        return store.state.mark_late(*args)

    return SimpleNamespace(ledger=SimpleNamespace(append=append), state=SimpleNamespace(mark_late=mark_late))


def test_what_storage_did_not_accept_is_to_be_sent_again(
    post: Post, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "writer", replace(app.writer, store=faulty(store, {"b"})))
    response = post([now_event(eventId="a"), now_event(eventId="x", latency=-1), now_event(eventId="b")])
    assert (response.status, response.headers["retry-after"]) == (503, "2")
    assert response.json["retry"] == [{"index": 2, "eventId": "b"}]
    assert response.json["created"] == 1
    assert [rejected["index"] for rejected in response.json["rejected"]] == [1]
    assert response.json["error"]["code"] == "storage"
    single = post(now_event(eventId="b"))
    assert (single.status, single.headers["retry-after"]) == (503, "2")


@pytest.fixture
def by_what_is_stored(post: Post, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function reads the settings of days from State, as it does when it starts."""
    calendar = CachedCalendar(lambda now: ensure_calendar(store, config.settings, now))
    monkeypatch.setattr(app, "calendar", calendar)


def assert_none_accepted(post: Post, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    single = post(now_event())
    assert (single.status, single.headers["retry-after"]) == (503, "2")
    assert single.json["error"]["code"] == "storage"
    assert values(capsys.readouterr().out)["Retry"] == 1
    array = post([now_event(eventId="a"), now_event(eventId=None), "x"])
    assert (array.status, array.headers["retry-after"]) == (503, "2")
    assert array.json["error"]["code"] == "storage"
    assert (array.json["created"], array.json["duplicates"]) == (0, 0)
    assert [rejected["index"] for rejected in array.json["rejected"]] == [2]  # not valid in any case
    assert array.json["retry"] == [{"index": 0, "eventId": "a"}, {"index": 1, "eventId": None}]
    emitted = values(capsys.readouterr().out)
    assert (emitted["Retry"], emitted["Rejected"]) == (2, 1)
    assert post(now_event(latency=-1)).status == 422
    assert post(["x"]).status == 200
    assert items(store) == []


@pytest.mark.usefixtures("by_what_is_stored")
@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_a_new_stack_with_invalid_settings_accepts_no_event(
    post: Post,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
) -> None:
    """Until they are corrected. The senders keep what they have."""
    with monkeypatch.context() as wrong:
        wrong.setenv(name, value)
        assert_none_accepted(post, store, capsys)
        assert store.state.periods() == ()
    assert post(now_event()).status == 201


@pytest.mark.usefixtures("by_what_is_stored")
def test_no_event_is_accepted_while_the_settings_cannot_be_read(
    post: Post, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No event has a place until they are known."""

    def unreachable(store: Store) -> Any:
        raise EndpointConnectionError(endpoint_url="http://dynamodb")

    def throttling(store: Store) -> Any:
        raise throttled("Query")

    for fault in (unreachable, throttling):
        with monkeypatch.context() as down:
            down.setattr(StateStore, "periods", fault)
            assert_none_accepted(post, store, capsys)
    assert post(now_event()).status == 201


@pytest.mark.usefixtures("by_what_is_stored")
@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_events_are_stored_as_is_stored_whatever_the_parameters_ask_for(
    post: Post, store: Store, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    stored = entry_builder(zone="Pacific/Kiritimati", shard_count=4)
    store.state.put_first_period(stored.calendar.periods[0], NOON)
    monkeypatch.setenv(name, value)
    assert post(now_event()).status == 201
    [item] = items(store)
    assert item["dayShard"] == stored.build(now_event(), NOON).day_shard
    assert item["day"] == "2026-11-24"


def test_no_2xx_before_the_mark(post: Post, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "writer", replace(app.writer, store=faulty(store, set(), marks_fail=True)))
    late = event(eventId="late", ts=timestamp(NOON - timedelta(days=5)))
    response = post([late, now_event(eventId="new")])
    assert (response.status, response.json["retry"]) == (503, [{"index": 0, "eventId": "late"}])
    assert len(items(store)) == 2


def test_storage_that_hangs_is_a_503_within_the_time_limit(
    post: Post, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = Event()
    hanging: Any = SimpleNamespace(ledger=SimpleNamespace(append=lambda item: released.wait(30)))
    monkeypatch.setattr(app, "writer", replace(app.writer, store=hanging))
    monkeypatch.setattr(CONTEXT, "get_remaining_time_in_millis", lambda: 3_200)
    try:
        response = post([now_event(eventId=str(n)) for n in range(100)])
    finally:
        released.set()
    assert response.status == 503
    assert len(response.json["retry"]) == 100
