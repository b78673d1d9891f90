"""Names: which ids and names there can be."""

import pytest

from impact.naming import COST_CENTRE_MAX, ID_FIELDS, KEY, NAME_MAX, TEAM, USER, Name, fields_of
from impact.naming import id_problem as wrong_id
from impact.naming import name_problems as wrong
from request_events.event import RequestEvent

LONG = "😀" * 256


def test_each_kind_of_id_is_a_field_of_an_event() -> None:
    assert set(ID_FIELDS.values()) <= set(RequestEvent.model_fields)


@pytest.mark.parametrize("name", ["A", "=1+1", "\x1b[31m", "שלום", "x" * NAME_MAX, LONG, " a "])
def test_any_text_can_be_a_name(name: str) -> None:
    assert wrong(Name(name)) == {}
    assert wrong(Name(name, name[:COST_CENTRE_MAX])) == {}


def test_what_is_no_name_is_said_by_field() -> None:
    assert wrong(Name("", "")) == {"name": "is empty", "cost_centre": "is empty"}
    assert wrong(Name("\n ", "\t")) == {"name": "is empty", "cost_centre": "is empty"}
    assert wrong(Name("x" * 257, "x" * 65)) == {
        "name": "has more than 256 characters",
        "cost_centre": "has more than 64 characters",
    }
    assert wrong(Name("\udcff", "\udcff")) == {"name": "is not UTF-8", "cost_centre": "is not UTF-8"}


@pytest.mark.parametrize("id_", ["list", "-x", "a#b", "a b", "שלום", "65f1c0de65f1c0de65f1c0de", "x" * 256])
def test_any_id_of_an_event_can_have_a_name(id_: str) -> None:
    assert [wrong_id(kind, id_) for kind in (USER, TEAM, KEY)] == [None] * 3


def test_an_id_that_no_event_has_is_refused() -> None:
    assert [wrong_id(TEAM, id_) for id_ in ("", "x" * 257, "\udcff")] == [
        "is empty",
        "has more than 256 characters",
        "is not UTF-8",
    ]
    assert wrong_id(USER, LONG) == "does not fit 1024 bytes"
    assert wrong_id(TEAM, LONG) is None


def test_the_fields_of_a_response() -> None:
    assert fields_of(None) == {}
    assert fields_of(Name("Alice")) == {"name": "Alice"}
    assert fields_of(Name("Alice", "4711", "2026-11-23")) == {"name": "Alice", "costCentre": "4711"}
    assert Name.from_fields({"name": "Alice", "recordedAt": "2026-11-23"}) == Name("Alice")
