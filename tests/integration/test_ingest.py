"""The ingest function on DynamoDB: each event once, bad ones told by field, faults answered honestly."""

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from importlib.metadata import version
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import simplejson
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from moto import mock_aws

from impact import config
from impact.calendar import timestamp
from impact.day_settings import CachedCalendar, ensure_calendar
from impact.dynamodb import item_from_wire
from impact.fx_rates import FxRates
from impact.keys import MARK_GROUP, shard_of
from impact.state_store import StateStore
from impact.store import Store
from tests.events import IMPOSSIBLE, NOON, entry_builder, event, freeze
from tests.lambda_context import CONTEXT
from tests.metrics import values
from tests.rates import BEFORE_NOON

with mock_aws():  # it reads the exchange rates when it starts
    from ingest import app

CALENDAR = entry_builder(shard_count=16).calendar

Post = Callable[..., Any]


@pytest.fixture
def post(store: Store, monkeypatch: pytest.MonkeyPatch) -> Post:
    """Send a body (bytes as they are, anything else as JSON) and return the response with its body read."""
    freeze(monkeypatch, app)
    monkeypatch.setattr(app, "writer", replace(app.writer, store=store))
    monkeypatch.setattr(app, "calendar", lambda now: CALENDAR)
    monkeypatch.setattr(app, "rates", lambda: FxRates({BEFORE_NOON.date: BEFORE_NOON.usd}))

    def send(body: Any, headers: dict[str, str] | None = None) -> Any:
        raw = body if isinstance(body, bytes) else simplejson.dumps(body).encode()
        request = {
            "headers": {"content-type": "application/json", **(headers or {})},
            "body": base64.b64encode(raw).decode(),
            "isBase64Encoded": True,
        }
        response = app.handler(request, CONTEXT)
        return SimpleNamespace(
            status=response["statusCode"], headers=response["headers"], json=json.loads(response["body"])
        )

    return send


def items(store: Store) -> list[dict[str, Any]]:
    return [item_from_wire(item) for item in store.client.scan(TableName=store.ledger.name)["Items"]]


def marks(store: Store) -> set[tuple[str, int]]:
    return store.state.marked()


def now_event(**fields: Any) -> dict[str, Any]:
    return event(**{"ts": timestamp(NOON), **fields})


def test_a_single_event_is_created_then_a_duplicate(post: Post, store: Store) -> None:
    sent = now_event(tags=["a"], stream=True, status=None)
    first, second = post(sent), post(sent)
    assert (first.status, first.json) == (201, {"eventId": "e-1", "status": "created"})
    assert (second.status, second.json) == (200, {"eventId": "e-1", "status": "duplicate"})
    [item] = items(store)
    assert sent.items() <= (item | {"latency": sent["latency"]}).items()
    assert item["status"] == "success"
    assert item["day"] == sent["ts"][:10]
    assert item["expiresAt"] == pytest.approx(NOON.timestamp() + 400 * 86400, abs=60)


def test_the_first_one_stays(post: Post, store: Store) -> None:
    ts = timestamp(NOON)
    post(event(ts=ts, costUSD=Decimal("1.5")))
    post(event(ts=ts, costUSD=Decimal("99")))
    assert [item["costUSD"] for item in items(store)] == [Decimal("1.5")]


def test_a_seed_style_event_is_valid_and_named_by_its_content(post: Post, store: Store) -> None:
    sent = now_event(costUSD=None, eventId=None, costEUR=Decimal("0.0123"))
    first, again, other = post(sent), post(sent), post(sent | {"tokens_in": 1201})
    assert first.status == other.status == 201
    assert again.json == {"eventId": first.json["eventId"], "status": "duplicate"}
    assert other.json["eventId"] != first.json["eventId"]


def test_null_in_an_optional_field_is_the_same_as_leaving_it_out(post: Post) -> None:
    sent = now_event(eventId=None)
    nulls = dict.fromkeys(["costEUR", "eventId", "status", "tags", "stream", "teamId", "tokens_cached"])
    assert post(sent).json["eventId"] == post(sent | nulls).json["eventId"]


def test_a_batch_keeps_the_good_and_names_the_bad(post: Post, store: Store) -> None:
    batch = [
        now_event(eventId="a"),
        now_event(eventId="b", tokens_in=-1),
        now_event(eventId="a"),
        "x",
        now_event(eventId="c"),
    ]
    answer = post(batch)
    assert answer.status == 200
    assert (answer.json["created"], answer.json["duplicates"]) == (2, 1)
    assert [(r["index"], r["eventId"], r["errors"][0]["field"]) for r in answer.json["rejected"]] == [
        (1, "b", "tokens_in"),
        (3, None, "event"),
    ]
    assert {item["eventId"] for item in items(store)} == {"a", "c"}


def test_a_thousand_sendings_are_one_item(post: Post, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # Lambda never runs two requests in one process, and Powertools' metrics are not made for it.
    monkeypatch.setattr(app, "metrics", SimpleNamespace(add_metric=lambda *_: None))
    sent = now_event()
    with ThreadPoolExecutor(8) as senders:
        bodies = [sent if n % 3 else [sent] * 4 for n in range(500)]
        answers = list(senders.map(post, bodies))
    assert {answer.status for answer in answers} <= {200, 201}
    assert sum(answer.json.get("created", answer.status == 201) for answer in answers) == 1
    assert len(items(store)) == 1


def test_unknown_fields_are_dropped(post: Post, store: Store) -> None:
    assert post(now_event(messages=["a secret prompt"], apiKey="sk-x")).status == 201
    assert "secret" not in repr(items(store))
    assert "sk-x" not in repr(items(store))


@pytest.mark.parametrize(
    "user_id", ["#", "%", "a#b%23", "\0", "😀", "ü" * 256, "#" * 256, " a b ", "a\nb", "x" * 256]
)
def test_every_allowed_id_is_read_back_intact(post: Post, store: Store, user_id: str) -> None:
    assert post(now_event(userId=user_id, eventId="#%😀\0")).status == 201
    [item] = items(store)
    assert (item["userId"], item["eventId"]) == (user_id, "#%😀\0")


REQUIRED = ["userId", "ts", "model", "provider", "tokens_in", "tokens_out", "latency"]
BAD_FIELDS: list[tuple[str, Any]] = [
    *((name, None) for name in REQUIRED),
    *((name, {}) for name in REQUIRED),
    ("userId", ""),
    ("userId", " "),
    ("userId", "{{LIBRECHAT_USER_ID}}"),
    ("userId", "x" * 257),
    ("userId", "😀" * 256),
    ("userId", 7),
    ("eventId", ""),
    ("eventId", "x" * 129),
    ("eventId", "{{ID}}"),
    ("ts", "yesterday"),
    ("ts", 1795418608),
    ("ts", timestamp(NOON + timedelta(minutes=6))),
    ("ts", timestamp(NOON - timedelta(days=398, minutes=1))),
    ("ts", "0001-01-01T00:00:00+14:00"),
    ("model", "x" * 257),
    ("provider", "x" * 65),
    ("tokens_in", -1),
    ("tokens_in", "5"),
    ("tokens_in", True),
    ("tokens_in", Decimal("1.5")),
    ("tokens_in", 10**30),
    ("latency", -1),
    ("latency", "1"),
    ("costUSD", -1),
    ("costUSD", "0.1"),
    ("costEUR", True),
    ("costEUR", Decimal("1E+40")),
    ("costUSD", Decimal("0." + "1" * 39)),
    ("status", "maybe"),
    ("stream", "yes"),
    ("tags", "a"),
    ("tokens_cached", -1),
    ("timeToFirstToken", -1),
]


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_a_bad_field_is_named_and_nothing_is_stored(post: Post, store: Store, field: str, value: Any) -> None:
    answer = post(now_event() | {field: value} if value is not None else now_event(**{field: None}))
    assert answer.status == 422
    assert [detail["field"] for detail in answer.json["error"]["details"]] == [field]
    assert all(detail["message"] for detail in answer.json["error"]["details"])
    assert items(store) == []


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "1e99999999999999999999", "9" * 5000]
)
@pytest.mark.parametrize("field", ["latency", "costUSD", "tokens_out"])
def test_a_number_out_of_range_is_named(post: Post, store: Store, field: str, number: str) -> None:
    body = simplejson.dumps(now_event() | {field: 0}).replace(f'"{field}": 0', f'"{field}": {number}')
    answer = post(body.encode())
    assert (answer.status, answer.json["error"]["details"][0]["field"]) == (422, field)
    assert items(store) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b'{"userId": ', b"\xff\xfe", b"[" * 100_000, b'{"a": 1} x', b'{"a": "\xed\xa0\x80"}']
    + ["{}".encode(encoding) for encoding in ("utf-16", "utf-32-le")],
    ids=range(9),
)
def test_what_is_not_json_is_a_400(post: Post, store: Store, body: bytes) -> None:
    answer = post(body)
    assert (answer.status, answer.json["error"]["code"]) == (400, "not_json")
    assert answer.json["error"]["details"] == [{"field": "body", "message": "is not JSON"}]
    assert items(store) == []


@pytest.mark.parametrize("body", [b"1", b"null", b'"x"', b"true"])
def test_what_is_no_event_is_a_422(post: Post, body: bytes) -> None:
    answer = post(body)
    assert (answer.status, answer.json["error"]["details"][0]["field"]) == (422, "event")


def test_limits_of_a_request(post: Post, store: Store) -> None:
    assert post([]).json["error"]["details"] == [{"field": "events", "message": "must not be empty"}]
    assert post([]).status == 422
    assert post([event()] * 501).status == 413
    assert post(b'{"userId": "' + b"x" * 2_000_000 + b'"}').status == 413
    assert post(event(), {"Content-Encoding": "gzip"}).status == 415
    assert items(store) == []


def test_five_hundred_at_once(post: Post, store: Store) -> None:
    assert post([now_event(eventId=str(n)) for n in range(500)]).json["created"] == 500
    assert len(items(store)) == 500


def test_the_largest_event_is_told_in_time(post: Post, store: Store) -> None:
    labels = ["callType", "modelGroup", "teamId", "keyAlias", "conversationId", "errorCode"]
    answer = post(now_event(tags=["t" * 256] * 50, **dict.fromkeys(labels, "x" * 256)))
    assert (answer.status, answer.json["error"]["details"][0]["field"]) == (422, "tags")
    assert items(store) == []


def test_only_a_late_event_leaves_a_mark_also_as_a_duplicate(post: Post, store: Store) -> None:
    post(now_event())
    assert marks(store) == set()
    late = event(ts=timestamp(NOON - timedelta(days=5)))
    post(late)
    [mark] = marks(store)
    assert mark[0] == late["ts"][:10]
    assert store.state.clear_mark(store.state.late_mark(*mark))
    assert post(late).json["status"] == "duplicate"
    assert marks(store) == {mark}


def test_late_events_of_many_shards_and_days_are_marked_each(
    post: Post, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks of one day share items, by MARK_GROUP shards each."""
    many = entry_builder(shard_count=3 * MARK_GROUP).calendar
    monkeypatch.setattr(app, "calendar", lambda now: many)
    sent = [
        event(userId=f"u{n}", eventId=str(n), ts=timestamp(NOON - timedelta(days=5 + n % 2)))
        for n in range(60)
    ]
    assert post(sent).json["created"] == 60
    days = [raw["ts"][:10] for raw in sent]
    expected = {(day, shard_of(raw["userId"], 3 * MARK_GROUP)) for raw, day in zip(sent, days, strict=True)}
    assert len({(day, shard // MARK_GROUP) for day, shard in expected}) == 6
    assert marks(store) == expected


def throttled(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, operation)


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


def test_what_storage_did_not_take_is_to_be_sent_again(
    post: Post, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "writer", replace(app.writer, store=faulty(store, {"b"})))
    answer = post([now_event(eventId="a"), now_event(eventId="x", latency=-1), now_event(eventId="b")])
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert answer.json["retry"] == [{"index": 2, "eventId": "b"}]
    assert answer.json["created"] == 1
    assert [rejected["index"] for rejected in answer.json["rejected"]] == [1]
    assert answer.json["error"]["code"] == "storage"
    single = post(now_event(eventId="b"))
    assert (single.status, single.headers["retry-after"]) == (503, "2")


@pytest.fixture
def by_what_is_stored(post: Post, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function reads the settings of days from State, as it does when it starts."""
    calendar = CachedCalendar(lambda now: ensure_calendar(store, config.settings, now))
    monkeypatch.setattr(app, "calendar", calendar)


def assert_none_taken(post: Post, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
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
    told = values(capsys.readouterr().out)
    assert (told["Retry"], told["Rejected"]) == (2, 1)
    assert post(now_event(latency=-1)).status == 422
    assert post(["x"]).status == 200
    assert items(store) == []


@pytest.mark.usefixtures("by_what_is_stored")
@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_a_new_stack_with_settings_that_cannot_be_accepts_no_event(
    post: Post,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
) -> None:
    """Until they are mended: the senders keep what they have."""
    with monkeypatch.context() as wrong:
        wrong.setenv(name, value)
        assert_none_taken(post, store, capsys)
        assert store.state.periods() == ()
    assert post(now_event()).status == 201


@pytest.mark.usefixtures("by_what_is_stored")
def test_no_event_is_accepted_while_the_settings_cannot_be_read(
    post: Post, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No event has a place until they are known."""

    def unreachable(store: Store) -> Any:
        raise EndpointConnectionError(endpoint_url="http://dynamodb")

    def refused(store: Store) -> Any:
        raise throttled("Query")

    for fault in (unreachable, refused):
        with monkeypatch.context() as down:
            down.setattr(StateStore, "periods", fault)
            assert_none_taken(post, store, capsys)
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
    answer = post([late, now_event(eventId="new")])
    assert (answer.status, answer.json["retry"]) == (503, [{"index": 0, "eventId": "late"}])
    assert len(items(store)) == 2


def test_storage_that_hangs_is_answered_within_the_time_limit(
    post: Post, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = Event()
    hanging: Any = SimpleNamespace(ledger=SimpleNamespace(append=lambda item: released.wait(30)))
    monkeypatch.setattr(app, "writer", replace(app.writer, store=hanging))
    monkeypatch.setattr(CONTEXT, "get_remaining_time_in_millis", lambda: 3_200)
    try:
        answer = post([now_event(eventId=str(n)) for n in range(100)])
    finally:
        released.set()
    assert answer.status == 503
    assert len(answer.json["retry"]) == 100


def test_no_personal_data_in_the_logs(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    post(now_event(userId="alice-planted-in-the-test", tokens_in=-1, apiKey="planted-key"))
    post([now_event(userId="alice-planted-in-the-test"), now_event(userId="planted" * 50)])
    output = capsys.readouterr()
    assert "Accepted" in output.out
    assert "planted" not in output.out + output.err


def test_an_event_alone_reads_in_euros(post: Post, store: Store) -> None:
    post(now_event(costUSD=Decimal("1.1172")))
    [item] = items(store)
    assert (item["costUSD"], item["costEUR"], item["fxRate"], item["fxDate"]) == (
        Decimal("1.1172"),
        1,
        Decimal("1.1172"),
        "2026-11-20",
    )


def test_an_event_that_came_with_euros_keeps_them(post: Post, store: Store) -> None:
    post([now_event(costEUR=Decimal("0.5")), now_event(eventId="2", costUSD=None, costEUR=Decimal("0.7"))])
    assert sorted(item["costEUR"] for item in items(store)) == [Decimal("0.5"), Decimal("0.7")]
    assert not any("fxRate" in item for item in items(store))


@pytest.mark.parametrize(
    ("known", "date"),
    [
        ({}, None),
        ({"2026-11-15": 2}, None),  # eight days before
        ({"2026-11-23": 2, "2026-11-24": 2}, None),  # not before the day
        ({"2026-11-16": 2}, "2026-11-16"),
        ({"2026-11-18": 3, "2026-11-19": 2}, "2026-11-19"),
    ],
)
def test_no_rate_of_the_last_seven_days_is_no_euros_and_no_fault(
    post: Post, store: Store, monkeypatch: pytest.MonkeyPatch, known: dict[str, int], date: str | None
) -> None:
    monkeypatch.setattr(app, "rates", lambda: FxRates({day: Decimal(usd) for day, usd in known.items()}))
    assert post(now_event(costUSD=1)).status == 201
    [item] = items(store)
    assert (item.get("fxDate"), item.get("costEUR")) == (date, Decimal("0.5") if date else None)


def test_the_footprint_and_its_source_are_stored(post: Post, store: Store) -> None:
    post([now_event(tokens_out=400, latency=5), now_event(eventId="2", model="unheard-of")])
    rated, unrated = sorted(items(store), key=lambda item: str(item["eventId"] == "2"))
    assert rated["energyKWh"] == {
        "low": Decimal("0.0005661812223890189"),
        "high": Decimal("0.0009510139038287136"),
    }
    assert rated["impactSource"] == {
        "name": "EcoLogits",
        "version": version("ecologits"),
        "zone": "USA",
        "model": "openai/gpt-4o",
    }
    assert not {"energyKWh", "co2eKg", "waterL", "impactSource"} & unrated.keys()


def test_what_a_sender_says_of_footprint_and_rate_is_ignored(post: Post, store: Store) -> None:
    claimed = {"energyKWh": {"low": 0, "high": 0}, "fxRate": 1, "fxDate": "2026-11-23", "impactSource": {}}
    post(now_event(model="unheard-of", costUSD=None, **claimed))
    [item] = items(store)
    assert not claimed.keys() & item.keys()


def test_an_estimate_that_fails_costs_no_event(
    post: Post, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(item: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(app, "footprints", SimpleNamespace(of=broken))
    assert post(now_event()).status == 201
    assert len(items(store)) == 1
    assert "FootprintErrors" in capsys.readouterr().out
