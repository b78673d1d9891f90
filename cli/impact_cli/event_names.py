"""Names beside the ids of events, read from State in constant memory."""

from collections.abc import Iterable, Iterator
from itertools import islice

from impact.name_store import NameStore
from impact.naming import ID_FIELDS, Kind, Name
from impact.types import Item
from impact_cli.ledger_reader import COLUMNS as EVENT_COLUMNS

CHUNK = 500
"""Events whose names are read at a time."""
KEPT = 2_000
"""Names of each kind that are kept in memory: 3 MB of the longest."""


def _columns() -> dict[str, type]:
    kinds = {field: kind for kind, field in ID_FIELDS.items()}
    columns: dict[str, type] = {}
    for column, type_ in EVENT_COLUMNS.items():
        columns[column] = type_
        if column in kinds:
            columns |= dict.fromkeys(_columns_of(kinds[column]), str)
    return columns


def _columns_of(kind: Kind) -> tuple[str, str]:
    return f"{kind}Name", f"{kind}CostCentre"


COLUMNS = _columns()
"""Columns of an event with its names, and their types: `userName` and `userCostCentre` beside `userId` ..."""


class EventNames:
    """What users, teams and keys of events are called. Names are read once while they are kept."""

    def __init__(self, names: NameStore):
        self._names = names
        self._kept: dict[Kind, dict[str, Name | None]] = {kind: {} for kind in ID_FIELDS}

    def beside(self, events: Iterable[Item]) -> Iterator[Item]:
        """Yield the events, each with the names of its ids. Raises TooBusy, ClientError."""
        left = iter(events)
        while chunk := list(islice(left, CHUNK)):
            found = {
                kind: self._read(kind, {event[field] for event in chunk if event.get(field)})
                for kind, field in ID_FIELDS.items()
            }
            yield from (event | _fields(event, found) for event in chunk)

    def _read(self, kind: Kind, ids: set[str]) -> dict[str, Name | None]:
        kept = self._kept[kind]
        new = ids - kept.keys()
        stored = self._names.get_many(kind, new)
        wanted = {id_: kept[id_] for id_ in ids - new} | {id_: stored.get(id_) for id_ in new}
        if len(kept) + len(new) > KEPT:
            kept.clear()
        kept |= wanted
        return wanted


def _fields(event: Item, found: dict[Kind, dict[str, Name | None]]) -> Item:
    fields: Item = {}
    for kind, field in ID_FIELDS.items():
        name = found[kind].get(event.get(field, ""))
        if name:
            of = zip(_columns_of(kind), (name.name, name.cost_centre), strict=True)
            fields |= {column: text for column, text in of if text}
    return fields
