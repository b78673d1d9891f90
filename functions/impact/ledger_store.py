"""The ledger: the table RequestEvents. An event is put once; nothing here changes or deletes one."""

from collections.abc import Iterator
from datetime import UTC, datetime

from impact.dynamodb import Table
from impact.keys import user_prefix
from impact.summary import EVENT_FIELDS
from impact.types import Item, WireItem


class LedgerStore(Table):
    """The events, by (day, shard) and user."""

    def append(self, item: Item) -> bool:
        """Store an event unless it is there already. Return whether it is new.

        An event that a retry of the SDK's finds stored counts as not new, and is stored once.
        """
        return self.put_if("attribute_not_exists(userEvent)", item)

    def event_pages(
        self, day_shard: str, *, user_id: str | None = None, consistent: bool
    ) -> Iterator[list[WireItem]]:
        """Read the fields that a summary needs, page by page, sorted by user."""
        names = {f"#{i}": name for i, name in enumerate(EVENT_FIELDS)}
        condition, values = "dayShard = :d", {":d": {"S": day_shard}}
        if user_id is not None:
            condition += " AND begins_with(userEvent, :u)"
            values[":u"] = {"S": user_prefix(user_id)}
        yield from self.pages(
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
            ConsistentRead=consistent,
        )

    def created_at(self) -> datetime:
        """When the table was created: no event was stored before."""
        created = self.client.describe_table(TableName=self.name)["Table"]["CreationDateTime"]
        return datetime.fromtimestamp(float(created), UTC)  # type: ignore[arg-type]  # as on the wire
