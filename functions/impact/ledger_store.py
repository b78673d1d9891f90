"""The ledger: the table RequestEvents. An event is put once; nothing here changes or deletes one."""

from collections.abc import Iterator
from datetime import UTC, datetime

from impact.dynamodb import QueryResponse, Table
from impact.keys import user_prefix
from impact.ledger_event import EVENT_FIELDS, LedgerEvent, decode_events, events_of
from impact.types import Item


class LedgerStore(Table):
    """The events, by (day, shard) and user."""

    def append(self, item: Item) -> bool:
        """Store an event unless it is there already. Return whether it is new.

        An event that a retry of the SDK's finds stored counts as not new, and is stored once.
        """
        return self.put_if("attribute_not_exists(userEvent)", item)

    def event_pages(
        self, day_shard: str, *, user_id: str | None = None, consistent: bool
    ) -> Iterator[list[LedgerEvent]]:
        """Read the fields that a summary needs, page by page, sorted by user."""
        names = {f"#{i}": name for i, name in enumerate(EVENT_FIELDS)}
        condition, values = "dayShard = :d", {":d": {"S": day_shard}}
        if user_id is not None:
            condition += " AND begins_with(userEvent, :u)"
            values[":u"] = {"S": user_prefix(user_id)}
        for response in self.responses(
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
            ConsistentRead=consistent,
        ):
            if isinstance(response, QueryResponse):
                yield decode_events(response.raw_items)
            else:  # of a client that is not ours
                yield events_of(response["Items"])

    def created_at(self) -> datetime:
        """When the table was created: no event was stored before."""
        created = self.client.describe_table(TableName=self.name)["Table"]["CreationDateTime"]
        return datetime.fromtimestamp(float(created), UTC)  # type: ignore[arg-type]  # as on the wire
