"""Usage by dimension in State: an item a (day, shard), and an item a final day and dimension."""

from collections.abc import Iterator
from dataclasses import dataclass
from secrets import token_hex

from impact import keys
from impact.breakdown import Encoded
from impact.dynamodb import Table, item_from_wire, to_wire
from impact.types import Item


@dataclass(frozen=True)
class Overtaken:
    """Another recompute has written the breakdown of a (day, shard): what is there now."""

    revision: str
    is_final: bool


class BreakdownStore(Table):
    """The rows of (day, shard)s and of days, with the totals that they add up to."""

    def put_shard(self, day: str, shard: int, content: Item, before: str | None) -> str | Overtaken:
        """Replace the revision that is known, or make the first. Return the new one, or what is there."""
        item: Item = {"kind": _of_shards(day), "key": f"{shard:02d}", "revision": token_hex(8)} | content
        condition, values = "attribute_not_exists(revision)", None
        if before is not None:
            condition, values = "revision = :before", {":before": {"S": before}}
        there = self._put(item, condition, values, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        if there is None or there == item:  # a retry of the SDK's finds its own
            return str(item["revision"])
        return Overtaken(there["revision"], there["total"]["final"])

    def of_shards(self, day: str) -> list[Item]:
        """Read the breakdowns of a day's shards."""
        return list(self._query("kind = :k", {":k": _of_shards(day)}))

    def put_day(self, by: str, day: str, content: Item, changes: int) -> None:
        """Store a final day by one dimension, as it was when its totals had changed so often."""
        item = {"kind": _of_days(by), "key": day, "changes": changes, "revision": token_hex(8)} | content
        condition = "attribute_not_exists(changes) OR changes <= :changes"
        self.put_if(condition, item, to_wire({":changes": changes}))

    def of_days(self, by: str, first: str, last: str) -> dict[str, Item]:
        """Read the stored days of one dimension. One is right if `changes` is as often as its day's total."""
        values = {":k": _of_days(by), ":a": first, ":b": last}
        return {item["key"]: item for item in self._query("kind = :k AND #key BETWEEN :a AND :b", values)}

    # One value is taken out of what is stored. Its row is added to the rest.

    def remove_from_shard(self, day: str, shard: int, by: str, value: str) -> None:
        """Remove a value from a (day, shard)."""
        self._remove({"kind": _of_shards(day), "key": f"{shard:02d}"}, by, value)

    def remove_from_day(self, by: str, day: str, value: str) -> None:
        """Remove a value from a stored day."""
        self._remove({"kind": _of_days(by), "key": day}, by, value)

    def _remove(self, key: Item, by: str, value: str) -> None:
        while (item := self._get(key)) and (rows := Encoded(item["rows"]).without(by, value)):
            new = item | {"rows": rows, "revision": token_hex(8)}
            if self.put_once("revision = :before", new, {":before": {"S": item["revision"]}}):
                return

    def _get(self, key: Item) -> Item | None:
        response = self.client.get_item(TableName=self.name, Key=to_wire(key), ConsistentRead=True)
        return item_from_wire(response["Item"]) if response.get("Item") else None

    def _query(self, condition: str, values: Item) -> Iterator[Item]:
        names = {"ExpressionAttributeNames": {"#key": "key"}} if "#key" in condition else {}
        pages = self.pages(
            KeyConditionExpression=condition,
            ExpressionAttributeValues=to_wire(values),
            ConsistentRead=True,
            **names,
        )
        return (item_from_wire(item) for page in pages for item in page)


def _of_shards(day: str) -> str:
    return f"{keys.BREAKDOWN}#{day}"


def _of_days(by: str) -> str:
    return f"{keys.BREAKDOWN}#{by}"
