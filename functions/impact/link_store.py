"""What signed links need of State: the keys that sign them, and how often a user's were taken back.

No link is stored. The key of a user's generation is the SHA-256 of the user id: nothing else is left of
somebody who was erased.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from impact import keys
from impact.calendar import timestamp
from impact.dynamodb import Table, item_from_wire, to_wire
from impact.links import SECRET_BYTES, LinkKey
from impact.types import Item


class LinkStore(Table):
    """Keys by number, the newest of which signs, and generations by user."""

    def key(self, number: int) -> LinkKey | None:
        """Read a key, with strong consistency."""
        found = self._get(keys.LINK_KEY, _number_key(number))
        return _key(found) if found and "secretKey" in found else None

    def newest_key(self) -> LinkKey | None:
        stored = self.all_keys()
        return stored[-1] if stored else None

    def all_keys(self) -> list[LinkKey]:
        """Read all keys, the oldest first."""
        return [_key(item) for item in self._key_items() if "secretKey" in item]

    def last_number(self) -> int:
        """Return the highest number that a key has or had; 0 if there never was one."""
        return max((int(item["key"]) for item in self._key_items()), default=0)

    def add_key(self, number: int, now: datetime) -> LinkKey:
        """Store a new random key under a number, and return what is stored there: whoever came first.

        Raises LookupError if a key of that number was deleted.
        """
        secret = secrets.token_bytes(SECRET_BYTES)
        key: Item = {"kind": keys.LINK_KEY, "key": _number_key(number)}
        content = {"secretKey": base64.b64encode(secret).decode(), "recordedAt": timestamp(now)}
        self.put_once("attribute_not_exists(kind)", key | content)
        stored = self.key(number)
        if stored is None:
            raise LookupError(f"key {number} was deleted")
        return stored

    def delete_key(self, number: int, now: datetime) -> None:
        """Delete a key's secret: no link that it signed opens anything from then on.

        The item stays, so that `impact put-back` brings no secret back from a backup.
        """
        self.client.update_item(
            TableName=self.name,
            Key=to_wire({"kind": keys.LINK_KEY, "key": _number_key(number)}),
            UpdateExpression="REMOVE secretKey SET deletedAt = :now",
            ExpressionAttributeValues=to_wire({":now": timestamp(now)}),
        )

    def generation(self, user_id: str) -> int:
        """Read how often a user's links were taken back, with strong consistency."""
        found = self._get(keys.LINK_GENERATION, _user_key(user_id))
        return int(found["generation"]) if found else 0

    def generations(self, user_ids: Iterable[str]) -> dict[str, int]:
        """Read those of many users, 100 a BatchGetItem. Raises TooBusy."""
        by_key = {_user_key(user_id): user_id for user_id in user_ids}
        wanted = [{"kind": keys.LINK_GENERATION, "key": key} for key in by_key]
        found = {item["key"]: int(item["generation"]) for item in self.get_items(wanted, consistent=True)}
        return {user_id: found.get(key, 0) for key, user_id in by_key.items()}

    def take_back(self, user_id: str) -> None:
        """Begin a new generation: no link of the user that was made before opens anything from then on.

        If a response is lost and the SDK tries again, it begins two: that does no harm.
        """
        self.client.update_item(
            TableName=self.name,
            Key=to_wire({"kind": keys.LINK_GENERATION, "key": _user_key(user_id)}),
            UpdateExpression="ADD generation :one",
            ExpressionAttributeValues=to_wire({":one": 1}),
        )

    def _key_items(self) -> list[Item]:
        pages = self.pages(
            KeyConditionExpression="kind = :k",
            ExpressionAttributeValues=to_wire({":k": keys.LINK_KEY}),
            ConsistentRead=True,
        )
        return [item_from_wire(item) for page in pages for item in page]

    def _get(self, kind: str, key: str) -> Any:
        response = self.client.get_item(
            TableName=self.name, Key=to_wire({"kind": kind, "key": key}), ConsistentRead=True
        )
        return item_from_wire(response["Item"]) if response.get("Item") else None


def _key(item: Item) -> LinkKey:
    return LinkKey(int(item["key"]), base64.b64decode(item["secretKey"]))


def _number_key(number: int) -> str:
    return f"{number:09d}"


def _user_key(user_id: str) -> str:
    return hashlib.sha256(user_id.encode()).hexdigest()
