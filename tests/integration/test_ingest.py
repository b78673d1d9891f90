"""The ingest function on DynamoDB: each event once, with its late mark, euros and footprint."""

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from impact.calendar import timestamp
from impact.fx_rates import FxRates
from impact.keys import MARK_GROUP, shard_of
from impact.store import Store
from tests.events import NOON, entry_builder, event
from tests.integration.conftest import Post
from tests.integration.steps import items, now_event

with mock_aws():  # it reads the fx rates when it starts
    from ingest import app


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
    response = post(batch)
    assert response.status == 200
    assert (response.json["created"], response.json["duplicates"]) == (2, 1)
    assert [(r["index"], r["eventId"], r["errors"][0]["field"]) for r in response.json["rejected"]] == [
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
        responses = list(senders.map(post, bodies))
    assert {response.status for response in responses} <= {200, 201}
    assert sum(response.json.get("created", response.status == 201) for response in responses) == 1
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


def test_only_a_late_event_leaves_a_mark_also_as_a_duplicate(post: Post, store: Store) -> None:
    post(now_event())
    assert store.state.marked() == set()
    late = event(ts=timestamp(NOON - timedelta(days=5)))
    post(late)
    [mark] = store.state.marked()
    assert mark[0] == late["ts"][:10]
    assert store.state.clear_mark(store.state.late_mark(*mark))
    assert post(late).json["status"] == "duplicate"
    assert store.state.marked() == {mark}


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
    assert store.state.marked() == expected


def test_no_personal_data_in_the_logs(
    post: Post, logged: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    post(now_event(userId="alice-planted-in-the-test", tokens_in=-1, apiKey="planted-key"))
    post([now_event(userId="alice-planted-in-the-test"), now_event(userId="planted" * 50)])
    metrics = capsys.readouterr().out
    assert "Accepted" in metrics
    assert "tokens_in" in logged.getvalue()  # the rejected event's field
    assert "planted" not in metrics + logged.getvalue()


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
    assert rated["impactSource"] == f"EcoLogits {version('ecologits')} USA openai/gpt-4o"
    assert not {"energyKWh", "co2eKg", "waterL", "impactSource"} & unrated.keys()


def test_what_a_sender_says_of_footprint_and_rate_is_ignored(post: Post, store: Store) -> None:
    claimed = {
        "energyKWh": {"low": 0, "high": 0},
        "fxRate": 1,
        "fxDate": "2026-11-23",
        "impactSource": "mine",
    }
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
