"""Names in State, and beside the ids that the reading API shows."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from impact.billing import Terms
from impact.calendar import timestamp
from impact.dynamodb import TooBusy
from impact.naming import ID_FIELDS, KEY, TEAM, USER, Kind, Name, id_problem, name_problems
from impact.store import Store
from impact.usage_reader import UsageReader
from tests.conftest import DYNAMODB_LOCAL_URL
from tests.events import NOON, entry_builder
from tests.integration.steps import now_event, put, roll_up
from tests.intercepted import through
from tests.tables import make_tables

CALENDAR = entry_builder().calendar
TODAY = NOON.date().isoformat()
LONGEST = Name("😀" * 256, "😀" * 64)
IDS = ["alice", "a#b", "-x", "two words", "שלום", "\x1b[31m", "x" * 256, "😀" * 255, "list"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
NAMES = st.builds(Name, TEXTS, st.none() | TEXTS.map(lambda text: text[:64])).filter(
    lambda name: not name_problems(name)
)


def read(store: Store, **asked: Any) -> dict[str, Any]:
    reader = UsageReader(store, CALENDAR, Terms())
    if "day" in asked:
        return reader.day(asked["day"], None)
    return reader.user(asked["userId"], TODAY, TODAY, fresh=False, now=NOON)


@pytest.mark.parametrize("kind", list(ID_FIELDS))
@pytest.mark.parametrize("id_", IDS)
def test_a_name_of_any_id_is_stored_and_replaced_and_deleted(store: Store, kind: Kind, id_: str) -> None:
    store.names.put(kind, id_, Name("Before", "4711"), NOON)
    store.names.put(kind, id_, LONGEST, NOON)
    assert store.names.get(kind, id_) == LONGEST
    [(its_id, name)] = store.names.all(kind)
    assert (its_id, name, name.recorded_at) == (id_, LONGEST, timestamp(NOON))
    assert [list(store.names.all(other)) for other in ID_FIELDS if other != kind] == [[], []]
    assert store.names.delete(kind, id_)
    assert not store.names.delete(kind, id_)
    assert store.names.get(kind, id_) is None
    assert store.client.scan(TableName=store.state.name)["Items"] == []


def test_a_later_name_leaves_nothing_of_the_earlier_one(store: Store) -> None:
    store.names.put(USER, "alice", Name("Alice", "4711"), NOON)
    store.names.put(USER, "alice", Name("Alice Example"), NOON)
    assert store.names.get(USER, "alice") == Name("Alice Example")


def test_names_of_many_ids_are_read_at_once(store: Store) -> None:
    ids = [f"user-{number:03d}" for number in range(101)]
    for id_ in ids:
        store.names.put(USER, id_, Name(f"Name of {id_}"), NOON)
    found = store.names.get_many(USER, [*ids, "nobody", *ids])
    assert found == {id_: Name(f"Name of {id_}") for id_ in ids}
    assert store.names.get_many(TEAM, ids) == {}
    assert store.names.get_many(USER, []) == {}
    assert [id_ for id_, _ in store.names.all(USER)] == ids


def test_names_that_are_left_out_again_and_again_are_an_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impact.dynamodb.PAUSE_SECONDS", 0)

    def leave_out(name: str, carry_out: Callable[..., Any], options: dict[str, Any]) -> Any:
        if name != "batch_get_item":
            return carry_out(**options)
        return {"Responses": {}, "UnprocessedKeys": options["RequestItems"]}

    with pytest.raises(TooBusy, match="1 items were left out 8 times"):
        through(store, leave_out).names.get(USER, "alice")


def test_rows_of_any_dimension_get_their_names(store: Store) -> None:
    """As a breakdown has them: what has no team is None."""
    store.names.put(TEAM, "t1", Name("Marketing", "4711"), NOON)
    store.names.put(KEY, "t2", Name("a key of that id"), NOON)
    rows: list[dict[str, Any]] = [
        {"value": "t1", "requests": 1},
        {"value": None},
        {"value": "t2"},
        {"requests": 2},
        {"value": ""},
    ]
    assert store.names.beside(rows, TEAM, "value") == [
        {"value": "t1", "requests": 1, "name": "Marketing", "costCentre": "4711"},
        *rows[1:],
    ]


@pytest.mark.usefixtures("ledger_since_noon")
def test_the_api_shows_names_beside_ids(store: Store) -> None:
    users = ["alice", "bob"]
    put(store, *(now_event(userId=user_id, eventId=user_id) for user_id in users))
    roll_up(store)
    store.names.put(USER, "alice", Name("Alice Example", "4711"), NOON)
    usage = read(store, userId="alice")
    assert list(usage)[:3] == ["userId", "name", "costCentre"]
    assert (usage["name"], usage["costCentre"]) == ("Alice Example", "4711")
    assert not {"name", "costCentre"} & {*read(store, userId="bob"), *usage["days"][0], *usage["total"]}
    rows = {
        row["userId"]: (row.get("name"), row.get("costCentre")) for row in read(store, day=TODAY)["items"]
    }
    assert rows == {"alice": ("Alice Example", "4711"), "bob": (None, None)}


@pytest.mark.usefixtures("ledger_since_noon")
def test_a_name_is_in_no_event_and_no_summary(store: Store) -> None:
    store.names.put(USER, "alice", Name("Marker-of-a-name", "Marker-of-a-centre"), NOON)
    put(store, now_event())
    roll_up(store)
    for table in (store.ledger.name, store.summaries.name):
        items = store.client.scan(TableName=table)["Items"]
        assert items
        assert "Marker" not in json.dumps(items)


@pytest.mark.skipif(DYNAMODB_LOCAL_URL is not None, reason="it makes tables of its own")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from(list(ID_FIELDS)), TEXTS, NAMES).filter(
            lambda named: not id_problem(named[0], named[1])
        ),
        max_size=8,
    )
)
def test_what_is_put_is_what_is_read_whatever_the_text(named: list[tuple[Kind, str, Name]]) -> None:
    with mock_aws():
        store = make_tables()
        for kind, id_, name in named:
            store.names.put(kind, id_, name, NOON)
        last = {(kind, id_): name for kind, id_, name in named}
        assert {(kind, id_): name for kind in ID_FIELDS for id_, name in store.names.all(kind)} == last
        for kind in ID_FIELDS:
            ids = [id_ for of, id_ in last if of == kind]
            assert store.names.get_many(kind, ids) == {id_: last[kind, id_] for id_ in ids}
