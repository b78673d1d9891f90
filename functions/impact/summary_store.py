"""The summaries: the table DailySummaries, an item a user and day."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from impact.dynamodb import Table, Version, item_from_wire
from impact.types import Item


@dataclass(frozen=True)
class UserPage:
    """A page of user ids. `last` is where the next page starts, or None if there is none."""

    user_ids: list[str]
    last: str | None


class SummaryStore(Table):
    """The summaries, by user and day, and the index `byDay` by (day, shard)."""

    def get_many(self, keys: Sequence[tuple[str, str]], *, consistent: bool) -> list[Item]:
        """Read the summaries of (user, day) pairs that exist, in no order. Raises TooBusy."""
        wanted = [{"userId": user_id, "day": day} for user_id, day in keys]
        return list(self.get_items(wanted, consistent=consistent))

    def put(self, summary: Item, before: Version | None) -> bool:
        """Replace the version that was read (None: there was none). Return whether it was still there."""
        return self.replace(summary, before)

    def delete(self, user_id: str, day: str, before: Version) -> bool:
        """Delete the version that was read. Return False if another version is there now."""
        condition, values = before.condition()
        return self.delete_if(
            f"attribute_not_exists(asOf) OR {condition}",
            {"userId": user_id, "day": day},
            ExpressionAttributeValues=values,
        )

    def of_user(self, user_id: str, first: str, last: str) -> Iterator[Item]:
        """Read a user's summaries from first to last, in order, one by one: a year may exceed the memory."""
        if first > last:
            return iter(())
        pages = self.pages(
            ConsistentRead=True,  # no older than the marks, which are read first: else it might show as final
            KeyConditionExpression="userId = :u AND #day BETWEEN :a AND :b",
            ExpressionAttributeNames={"#day": "day"},
            ExpressionAttributeValues={":u": {"S": user_id}, ":a": {"S": first}, ":b": {"S": last}},
        )
        return (item_from_wire(item) for page in pages for item in page)

    def all_users_of(self, day_shard: str) -> Iterator[str]:
        """List the users with a summary in a (day, shard). The index may lag by a second or so."""
        pages = self.pages(
            IndexName="byDay",
            KeyConditionExpression="dayShard = :d",
            ExpressionAttributeValues={":d": {"S": day_shard}},
            ProjectionExpression="userId",
        )
        return (item["userId"]["S"] for page in pages for item in page)

    def page_of_users(self, day_shard: str, *, after: str | None, limit: int) -> UserPage:
        """List up to `limit` users of a (day, shard), by id, that come after `after`."""
        condition, values = "dayShard = :d", {":d": {"S": day_shard}}
        if after is not None:
            condition += " AND userId > :u"
            values[":u"] = {"S": after}
        response = self.client.query(
            TableName=self.name,
            IndexName="byDay",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            Limit=limit,
        )
        user_ids = [item["userId"]["S"] for item in response["Items"]]
        return UserPage(user_ids, last=user_ids[-1] if "LastEvaluatedKey" in response and user_ids else None)
