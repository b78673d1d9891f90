"""Names beside the ids of events: each event its own, and few of them in memory."""

from collections import Counter
from typing import Any

import pytest

from impact.naming import KEY, TEAM, USER, Name
from impact.store import Store
from impact_cli import event_names
from impact_cli.event_names import COLUMNS, EventNames
from impact_cli.ledger_reader import COLUMNS as EVENT_COLUMNS
from tests.events import NOON


def test_the_columns_of_a_name_stand_beside_its_id() -> None:
    order = list(COLUMNS)
    for field, kind in (("userId", "user"), ("teamId", "team"), ("keyAlias", "key")):
        at = order.index(field)
        assert order[at + 1 : at + 3] == [f"{kind}Name", f"{kind}CostCentre"]
    assert [column for column in order if column in EVENT_COLUMNS] == list(EVENT_COLUMNS)
    assert len(COLUMNS) == len(EVENT_COLUMNS) + 6


def test_each_id_of_an_event_has_its_own_name(store: Store) -> None:
    for kind, name in ((USER, Name("Alice", "1")), (TEAM, Name("Marketing", "2")), (KEY, Name("LibreChat"))):
        store.names.put(kind, "x", name, NOON)
    events = [
        {"userId": "x", "teamId": "x", "keyAlias": "x"},
        {"userId": "y", "teamId": "x"},
        {"userId": "y", "keyAlias": ""},
    ]
    assert list(EventNames(store.names).beside(events)) == [
        events[0]
        | {"userName": "Alice", "userCostCentre": "1", "teamName": "Marketing", "teamCostCentre": "2"}
        | {"keyName": "LibreChat"},
        events[1] | {"teamName": "Marketing", "teamCostCentre": "2"},
        events[2],
    ]


def test_names_are_read_in_batches_and_few_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_names, "CHUNK", 4)
    monkeypatch.setattr(event_names, "KEPT", 6)
    for number in range(0, 30, 2):
        store.names.put(USER, f"u{number}", Name(f"N{number}"), NOON)
    names, asked = EventNames(store.names), Counter[str]()
    get_many = store.names.get_many

    def counting(kind: Any, ids: Any) -> Any:
        asked.update(ids)
        return get_many(kind, ids)

    monkeypatch.setattr(type(store.names), "get_many", lambda _, kind, ids: counting(kind, ids))
    events = [{"userId": f"u{number}", "teamId": "t"} for number in range(30) for _ in range(5)]
    for number, event in enumerate(names.beside(events)):
        user = number // 5
        assert event.get("userName") == (f"N{user}" if user % 2 == 0 else None)
        assert all(len(kept) <= 6 for kept in names._kept.values())
    assert asked == Counter({"t": 1} | {f"u{number}": 1 for number in range(30)})
    assert list(names.beside([])) == []
