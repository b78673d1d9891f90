"""Names in State, by kind (`name#user`, `name#team`, `name#key`) and id. None of it is in an event."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from impact.calendar import timestamp
from impact.dynamodb import Table, item_from_wire, to_wire
from impact.keys import name_kind
from impact.naming import Kind, Name, fields_of
from impact.types import Item


class NameStore(Table):
    """What ids are called. The id is the key as it is: it may be as long as a key can be."""

    def put(self, kind: Kind, id_: str, name: Name, now: datetime) -> None:
        """Store a name in place of the earlier one."""
        item = _key(kind, id_) | name.as_fields() | {"recordedAt": timestamp(now)}
        self.client.put_item(TableName=self.name, Item=to_wire(item))

    def delete(self, kind: Kind, id_: str) -> bool:
        """Delete a name. Return whether there was one; a retry whose first attempt deleted it says no."""
        key = to_wire(_key(kind, id_))
        deleted = self.client.delete_item(TableName=self.name, Key=key, ReturnValues="ALL_OLD")
        return bool(deleted.get("Attributes"))

    def get_many(self, kind: Kind, ids: Iterable[str]) -> dict[str, Name]:
        """Read the names of those ids that have one, 100 a BatchGetItem. Raises TooBusy."""
        keys = [_key(kind, id_) for id_ in dict.fromkeys(ids)]
        return {item["key"]: Name.from_fields(item) for item in self.get_items(keys, consistent=True)}

    def get(self, kind: Kind, id_: str) -> Name | None:
        return self.get_many(kind, [id_]).get(id_)

    def all(self, kind: Kind) -> Iterator[tuple[str, Name]]:
        """Read all names of a kind, by id."""
        pages = self.pages(
            KeyConditionExpression="kind = :k",
            ExpressionAttributeValues=to_wire({":k": name_kind(kind)}),
            ConsistentRead=True,
        )
        items = (item_from_wire(item) for page in pages for item in page)
        return ((item["key"], Name.from_fields(item)) for item in items)

    def beside(self, rows: Sequence[Item], kind: Kind, field: str) -> list[Item]:
        """Return the rows, each with `name` and `costCentre` of the id in `field`, where it has a name.

        Rows whose field is empty, absent or None stay as they are. Raises TooBusy.
        """
        names = self.get_many(kind, [row[field] for row in rows if row.get(field)])
        return [row | fields_of(names.get(row.get(field) or "")) for row in rows]


def _key(kind: Kind, id_: str) -> Item:
    return {"kind": name_kind(kind), "key": id_}
