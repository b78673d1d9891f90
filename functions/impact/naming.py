"""Names of users, teams and keys: what an operator calls an id. Pure: no AWS.

A name stands beside the ledger: no figure depends on it. It may change, and the last one holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from impact.keys import SORT_KEY_BYTES, has_room
from impact.types import Item
from request_events.limits import LABEL_MAX, USER_ID_MAX

Kind = Literal["user", "team", "key"]
USER: Kind = "user"
TEAM: Kind = "team"
KEY: Kind = "key"
ID_FIELDS: Mapping[Kind, str] = {USER: "userId", TEAM: "teamId", KEY: "keyAlias"}
"""What can have a name, and the field of an event that has its id."""

NAME_MAX = 256  # characters
COST_CENTRE_MAX = 64  # characters


@dataclass(frozen=True)
class Name:
    """What an id is called, and who pays for it."""

    name: str
    cost_centre: str | None = None
    recorded_at: str | None = field(default=None, compare=False)

    def as_fields(self) -> Item:
        """Return the fields that a response has of it."""
        return {"name": self.name} | ({"costCentre": self.cost_centre} if self.cost_centre else {})

    @classmethod
    def from_fields(cls, item: Mapping[str, Any]) -> "Name":
        return cls(item["name"], item.get("costCentre"), item.get("recordedAt"))


def fields_of(name: Name | None) -> Item:
    """Return the fields that a response has of an id: none where it has no name."""
    return name.as_fields() if name else {}


def id_problem(kind: Kind, id_: str) -> str | None:
    """Say why no event can have this id; None if one can."""
    problem = _text_problem(id_, USER_ID_MAX if kind == USER else LABEL_MAX)
    if not problem and kind == USER and not has_room(id_):
        problem = f"does not fit {SORT_KEY_BYTES} bytes"
    return problem


def name_problems(name: Name) -> dict[str, str]:
    """Say what is wrong, by field: `name`, `cost_centre`."""
    problems = {"name": _text_problem(name.name, NAME_MAX)}
    if name.cost_centre is not None:
        problems["cost_centre"] = _text_problem(name.cost_centre, COST_CENTRE_MAX)
    return {field: problem for field, problem in problems.items() if problem}


def _text_problem(text: str, longest: int) -> str | None:
    if not text.strip():
        return "is empty"
    if not is_utf8(text):
        return "is not UTF-8"
    return f"has more than {longest} characters" if len(text) > longest else None


def is_utf8(text: str) -> bool:
    """Tell whether a text has no lone surrogate. No id in an event has one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
