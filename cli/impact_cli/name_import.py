"""Names in bulk: what a file would change, and its rows stored."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from impact.naming import ID_FIELDS, Name
from impact.store import Store
from impact_cli.name_file import NamedId
from impact_cli.progress import Progress

WORKERS = 16
"""Names stored at a time."""


@dataclass(frozen=True)
class Changes:
    """What a file changes."""

    new: list[NamedId]
    changed: list[NamedId]
    same: int

    def __str__(self) -> str:
        return f"{len(self.new):,} new, {len(self.changed):,} changed, {self.same:,} the same"


def changes_of(store: Store, rows: Sequence[NamedId], *, keep_cost_centres: bool) -> Changes:
    """Compare the rows with what is stored. Raises TooBusy, ClientError.

    With `keep_cost_centres`, a row without a cost centre keeps the one that is stored.
    """
    new, changed = [], []
    for kind in ID_FIELDS:
        of_kind = [row for row in rows if row.kind == kind]
        stored = store.names.get_many(kind, [row.id for row in of_kind])
        new += [row for row in of_kind if row.id not in stored]
        for row in of_kind:
            if before := stored.get(row.id):
                centre = row.name.cost_centre or (before.cost_centre if keep_cost_centres else None)
                after = replace(row, name=Name(row.name.name, centre))
                changed += [after] if after.name != before else []
    return Changes(new, changed, same=len(rows) - len(new) - len(changed))


def store_changes(store: Store, changes: Changes) -> None:
    """Store the new and the changed names. After a stop, the next run stores the rest. Raises ClientError."""
    rows = [*changes.new, *changes.changed]

    def put(row: NamedId) -> None:
        store.names.put(row.kind, row.id, row.name, datetime.now(UTC))

    with ThreadPoolExecutor(WORKERS) as workers:
        for _ in Progress().of(workers.map(put, rows), f"of {len(rows):,} names stored"):
            pass
