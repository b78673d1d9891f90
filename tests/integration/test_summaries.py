"""The summaries function: its query parameters, and the settings that it reads."""

import base64

import pytest

from impact import config
from impact.calendar import timestamp
from impact.day_settings import CachedCalendar, effective_calendar
from impact.store import Store
from summaries import app
from tests.events import IMPOSSIBLE, NOON, entry_builder, event
from tests.integration.conftest import Get
from tests.integration.steps import put

NOW = NOON


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_days_are_read_as_is_stored_whatever_the_parameters_ask_for(
    get: Get, store: Store, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """It is the next day there already."""
    stored = entry_builder(zone="Pacific/Kiritimati", shard_count=4)
    store.state.put_first_period(stored.calendar.periods[0], NOW)
    calendar = CachedCalendar(lambda now: effective_calendar(store, config.settings))
    monkeypatch.setattr(app, "calendar", calendar)
    monkeypatch.setenv(name, value)
    put(store, event(ts=timestamp(NOW)), builder=stored)
    response = get(userId="alice", fresh="true")
    assert response.json["to"] == "2026-11-24"
    assert [(day["day"], day["requests"]) for day in response.json["days"]] == [("2026-11-24", 1)]


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "userId"),
        ({"userId": "a", "day": "2026-11-23"}, "userId"),
        ({"userId": ""}, "userId"),
        ({"userId": "x" * 257}, "userId"),
        ({"userId": "a", "from_": "yesterday"}, "from"),
        ({"userId": "a", "from_": "2026-02-30"}, "from"),
        ({"userId": "a", "to": "20261123"}, "to"),
        ({"userId": "a", "to": "0001-01-01"}, "to"),
        ({"userId": "a", "to": "9999-12-31"}, "to"),
        ({"userId": "a", "from_": "2026-11-24", "to": "2026-11-23"}, "from"),
        ({"userId": "a", "from_": "2025-11-22", "to": "2026-11-23"}, "from"),
        ({"userId": "a", "fresh": "yes"}, "fresh"),
        ({"day": "x"}, "day"),
        ({"day": "2026-11-23", "cursor": "x"}, "cursor"),
        ({"day": "2026-11-23", "cursor": "WzEsIDJd"}, "cursor"),
        ({"day": "2026-11-23", "cursor": "e30="}, "cursor"),
        ({"day": "2026-11-23", "cursor": "ÿ"}, "cursor"),
        ({"day": "2026-11-23", "cursor": _encoded("[" * 100_000)}, "cursor"),
        ({"day": "2026-11-23", "cursor": _encoded('[0,""]')}, "cursor"),
        ({"day": "2026-11-23", "cursor": _encoded(f'[0,"{"x" * 1025}"]')}, "cursor"),
        ({"day": "2026-W48-1"}, "day"),
        ({"userId": "a", "from_": "2026-W48-1"}, "from"),
        ({"userId": "\ud800"}, "userId"),
        ({"userId": "😀" * 256, "fresh": "true"}, "userId"),
        ({"userId": "a", "teamId": "a"}, "userId"),
        ({"keyAlias": "a", "tag": "a"}, "userId"),
        ({"tag": "a", "day": "2026-11-23"}, "userId"),
        ({"teamId": ""}, "teamId"),
        ({"keyAlias": "x" * 257}, "keyAlias"),
        ({"tag": "\ud800"}, "tag"),
        ({"tag": "a", "from_": "2025-11-22", "to": "2026-11-23"}, "from"),
    ],
)
def test_a_bad_parameter_is_named(get: Get, parameters: dict[str, str], field: str) -> None:
    response = get(**parameters)
    assert (response.status, response.json["error"]["details"][0]["field"]) == (422, field)


def test_without_from_the_range_is_30_days_to_its_last(get: Get) -> None:
    body = get(userId="a", to="2026-03-01").json
    assert (body["from"], body["to"]) == ("2026-01-31", "2026-03-01")


def test_at_most_366_days(get: Get) -> None:
    assert get(userId="a", from_="2025-11-23", to="2026-11-23").status == 200
    assert get("/api/totals", from_="2025-11-22", to="2026-11-23").status == 422


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "by"),
        ({"by": ""}, "by"),
        ({"by": "Team"}, "by"),
        ({"by": "team,tag"}, "by"),
        ({"by": "team", "from_": "2026-02-30"}, "from"),
        ({"by": "team", "from_": "2025-11-22", "to": "2026-11-23"}, "from"),
        *(({"by": "team", "daily": text}, "daily") for text in ("", "11", "-1", "1.5", "\u0663", "all")),
        *(({"by": "team", "limit": text}, "limit") for text in ("", "0", "1001", "1e2", " 5")),
        ({"by": "team", "cursor": "x"}, "cursor"),
        ({"by": "team", "cursor": _encoded("-1")}, "cursor"),
        ({"by": "team", "cursor": _encoded("true")}, "cursor"),
    ],
)
def test_a_bad_parameter_of_a_breakdown_is_named(get: Get, parameters: dict[str, str], field: str) -> None:
    response = get("/api/breakdown", **parameters)
    assert (response.status, response.json["error"]["details"][0]["field"]) == (422, field)
