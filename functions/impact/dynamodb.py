"""DynamoDB: the client, items on the wire, and what the stores share: pages, batches, conditional writes."""

import json
import os
import random
import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from secrets import token_hex
from typing import TYPE_CHECKING, Any, cast

import botocore.session
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.parsers import JSONParser, ResponseParserFactory

from impact.types import Item, WireItem

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BATCH_GET_MAX = 100  # most keys that BatchGetItem takes
UNPROCESSED_MAX = 8  # maximum attempts while BatchGetItem returns UnprocessedKeys
PAUSE_SECONDS = 0.05
"""Longest pause before the second attempt; it doubles with each further one, to 6 s in all."""


class TooBusy(BotoCoreError):
    """DynamoDB left out some items at each attempt: their partition is short of capacity."""

    fmt = "{missing} items were left out {tries} times in a row"


class UnreadableResponse(BotoCoreError):
    """A response that is not JSON: it was damaged on its way. The call may have been carried out."""

    fmt = "The response is not JSON"


class QueryResponse(dict[str, Any]):
    """A response with items: they are decoded when somebody reads `Items`, or by who takes `raw_items`."""

    def __init__(self, body: bytes) -> None:
        parts = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        self.raw_items = parts.pop("Items", msgspec.Raw(b"[]"))
        super().__init__((name, json.loads(bytes(part))) for name, part in parts.items())

    def __missing__(self, name: str) -> Any:
        if name != "Items":
            raise KeyError(name)
        self[name] = json.loads(bytes(self.raw_items))
        return self[name]


class _WireParser(JSONParser):
    """Returns DynamoDB's JSON as it is, without a walk through botocore's model of it.

    The two differ only in binary attributes, which stay in base64. The walk takes nine tenths of a rollup.
    """

    def _handle_json_body(self, raw_body: bytes, shape: Any) -> Any:
        try:
            if shape is not None and shape.name == "QueryOutput" and raw_body:
                return QueryResponse(raw_body)
            return json.loads(raw_body) if raw_body else {}
        except ValueError:
            raise UnreadableResponse from None


class _WireParserFactory(ResponseParserFactory):
    def create_parser(self, protocol_name: str) -> Any:
        if protocol_name == "json":
            return _WireParser(**self._defaults)  # type: ignore[attr-defined]
        return super().create_parser(protocol_name)


def connect(*, read_timeout: float, attempts: int, connections: int = 10) -> "DynamoDBClient":
    """Make a DynamoDB client for AWS_ENDPOINT_URL_DYNAMODB, or without it for this region.

    `read_timeout` is in seconds, for one attempt. `attempts` includes the first one.
    """
    session = botocore.session.get_session()
    session.register_component("response_parser_factory", _WireParserFactory())
    config = Config(
        connect_timeout=1,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        parameter_validation=False,  # our own requests, a fifth of a put's time
        tcp_keepalive=True,
    )
    client = session.create_client("dynamodb", endpoint_url=_emulator(), config=config)
    return cast("DynamoDBClient", client)


def _emulator() -> str | None:
    """AWS_ENDPOINT_URL, which emulators of AWS set, unless DynamoDB has an endpoint of its own.

    The regional endpoint that template.yaml writes out is none: with it, an emulated stack would call AWS.
    """
    own = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB", "")
    is_regional = own.startswith(f"https://dynamodb.{os.environ.get('AWS_REGION')}.")
    return os.environ.get("AWS_ENDPOINT_URL") if is_regional else None


def to_wire(item: Item) -> WireItem:
    return {name: _attribute(value) for name, value in item.items()}


def _attribute(value: Any) -> WireItem:
    """Write one attribute. Raises TypeError for a type that no item has: a float, above all."""
    match value:
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": str(value)}
        case str() | bytes():
            return {"S" if isinstance(value, str) else "B": value}
        case list():
            return {"L": [_attribute(element) for element in value]}
        case dict():
            return {"M": to_wire(value)}
        case None:
            return {"NULL": True}
    raise TypeError(f"{type(value).__name__} is no type of an item")


def from_wire(value: dict[str, Any]) -> Any:
    """Read one attribute: a whole number as int, any other number as Decimal."""
    kind, content = next(iter(value.items()))
    if kind == "N":
        return int(content) if content.lstrip("-").isdigit() else Decimal(content)
    if kind == "M":
        return {name: from_wire(element) for name, element in content.items()}
    if kind == "L":
        return [from_wire(element) for element in content]
    if kind == "B":
        return content if isinstance(content, bytes) else b64decode(content)
    return content


def item_from_wire(item: WireItem) -> Item:
    return {name: from_wire(value) for name, value in item.items()}


@dataclass(frozen=True, slots=True)
class Version:
    """The version of an item that was read. A write on this condition fails once the item has changed."""

    revision: str | None
    """New with each write. None for an item of an earlier release, whose version is its `asOf`."""
    as_of: str

    @classmethod
    def of(cls, item: Item) -> "Version":
        return cls(item.get("revision"), item["asOf"])

    def condition(self) -> tuple[str, WireItem]:
        """Return the condition that the item is still in this version, and the condition's values."""
        if self.revision is not None:
            return "revision = :before", {":before": {"S": self.revision}}
        return "(attribute_not_exists(revision) AND asOf = :before)", {":before": {"S": self.as_of}}


@dataclass(frozen=True)
class Table:
    """A table. Each conditional write returns whether its condition held."""

    client: "DynamoDBClient"
    name: str

    def pages(self, **query: Any) -> Iterator[list[WireItem]]:
        """Run a Query, page by page."""
        return (response["Items"] for response in self.responses(**query))

    def responses(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Run a Query. Return its responses, one a page."""
        start: dict[str, Any] = {}
        while True:
            response: Any = self.client.query(TableName=self.name, **query, **start)
            yield response
            if "LastEvaluatedKey" not in response:
                return
            start = {"ExclusiveStartKey": response["LastEvaluatedKey"]}

    def get_items(self, keys: Sequence[Item], *, consistent: bool) -> Iterator[Item]:
        """Read the items that exist, in no order, 100 a BatchGetItem. Raises TooBusy."""
        for start in range(0, len(keys), BATCH_GET_MAX):
            some = [to_wire(key) for key in keys[start : start + BATCH_GET_MAX]]
            yield from self._batch({"Keys": some, "ConsistentRead": consistent})

    def put_if(self, condition: str, item: Item, values: WireItem | None = None) -> bool:
        return self._put(item, condition, values) is None

    def put_once(self, condition: str, item: Item, values: WireItem | None = None) -> bool:
        """Put an item where the condition holds. A retry whose first attempt was stored counts as stored."""
        stored = self._put(item, condition, values, ReturnValuesOnConditionCheckFailure="ALL_OLD")
        return stored is None or stored == item

    def replace(self, item: Item, before: Version | None) -> bool:
        """Put an item, with a new revision, in place of the version that was read (None: there was none)."""
        condition, values = before.condition() if before else ("attribute_not_exists(asOf)", None)
        return self.put_once(condition, item | {"revision": token_hex(8)}, values)

    def delete_if(self, condition: str, key: Item, **expressions: Any) -> bool:
        try:
            self.client.delete_item(
                TableName=self.name, Key=to_wire(key), ConditionExpression=condition, **expressions
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def update(self, key: Item, update: str, values: Item, **condition: Any) -> None:
        values = to_wire(values)
        self.client.update_item(
            TableName=self.name,
            Key=to_wire(key),
            UpdateExpression=update,
            ExpressionAttributeValues=values,
            **condition,
        )

    def update_if(self, condition: str, key: Item, update: str, values: Item) -> bool:
        try:
            self.update(key, update, values, ConditionExpression=condition)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _batch(self, request: Any) -> Iterator[Item]:
        pending = {self.name: request}
        for tries in range(UNPROCESSED_MAX):
            response: Any = self.client.batch_get_item(RequestItems=pending)
            yield from map(item_from_wire, response["Responses"].get(self.name, []))
            pending = response.get("UnprocessedKeys")
            if not pending:
                return
            if tries + 1 < UNPROCESSED_MAX:
                time.sleep(random.uniform(0, PAUSE_SECONDS * 2**tries))  # noqa: S311  # nosec B311
        raise TooBusy(missing=len(pending[self.name]["Keys"]), tries=UNPROCESSED_MAX)

    def _put(self, item: Item, condition: str, values: WireItem | None, **options: Any) -> Item | None:
        """Return None if the item was put, else what the failed condition returned of the stored one."""
        if values:
            options["ExpressionAttributeValues"] = values
        try:
            self.client.put_item(
                TableName=self.name, Item=to_wire(item), ConditionExpression=condition, **options
            )
        except self.client.exceptions.ConditionalCheckFailedException as failed:
            there: Any = failed.response.get("Item", {})
            return item_from_wire(there)
        return None
