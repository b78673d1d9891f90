"""DynamoDB as the service uses it: puts that never overwrite, pages at the speed of the wire, marks, sums."""

import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from boto3.dynamodb.types import TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.parsers import JSONParser, ResponseParserFactory

from impact.calendar import day_before, timestamp
from impact.keys import COUNTING, LATE, PROGRESS, RATE, TOTAL, parse_day_shard, user_prefix
from impact.rates import REACH, Rate, Rates
from impact.summary import EVENT_FIELDS
from impact.types import Item, WireItem

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BATCH_GET_MAX = 100
"""Most keys that BatchGetItem takes."""
UNPROCESSED_MAX = 8
"""So often in a row may BatchGetItem leave out some keys: it does while a partition is short of capacity."""
PAUSE_SECONDS = 0.05
"""Before the first of these tries at most; twice as long before each further one, 6 s together."""

COUNT_LONGEST = timedelta(minutes=30)
"""A count that began so long ago has ended, or Lambda has ended it, after 15 minutes. The rest is for what it
had sent by then, and for clocks that differ."""

_serialize = TypeSerializer().serialize


class UnreadableAnswer(BotoCoreError):
    """An answer that is not JSON, damaged on its way. Whether the call was carried out is not known."""

    fmt = "The answer is not JSON"


class TooBusy(BotoCoreError):
    """Some items could not be read, again and again: their partition is short of capacity."""

    fmt = "{missing} items were left out {tries} times in a row"


class _WireParser(JSONParser):
    """Hands out DynamoDB's JSON as it is, without a walk through botocore's model of it.

    The two differ only in binary attributes, which we have none of. The walk takes nine tenths of a rollup.
    """

    def _handle_json_body(self, raw_body: bytes, shape: object) -> Any:
        try:
            return json.loads(raw_body) if raw_body else {}
        except ValueError:
            raise UnreadableAnswer from None


class _WireParserFactory(ResponseParserFactory):
    def create_parser(self, protocol_name: str) -> Any:
        if protocol_name == "json":
            return _WireParser(**self._defaults)  # type: ignore[attr-defined]
        return super().create_parser(protocol_name)


def connect(*, read_timeout: float, attempts: int, connections: int = 10) -> "DynamoDBClient":
    """Make a DynamoDB client: of this region, or of AWS_ENDPOINT_URL_DYNAMODB.

    `read_timeout` is in seconds, for one attempt; `attempts` counts the first one too.
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
    return boto3.Session(botocore_session=session).client("dynamodb", config=config)


def to_wire(item: Item) -> dict[str, Any]:
    return {name: _serialize(value) for name, value in item.items()}


def from_wire(value: dict[str, Any]) -> Any:
    """Read one attribute: a whole number as int, any other as Decimal."""
    kind, content = next(iter(value.items()))
    if kind == "N":
        return int(content) if content.lstrip("-").isdigit() else Decimal(content)
    if kind == "M":
        return {name: from_wire(element) for name, element in content.items()}
    if kind == "L":
        return [from_wire(element) for element in content]
    return content


def item_from_wire(item: dict[str, Any]) -> Item:
    return {name: from_wire(value) for name, value in item.items()}


def _mark(item: Item) -> "Mark":
    # One that an earlier version left has no renewals.
    return Mark(item["key"], item["token"], item.get("renewals", 0))


@dataclass(frozen=True)
class Mark:
    """A late mark as it was read. `token` and `renewals` change each time that it is left anew."""

    key: str
    token: str
    renewals: int


@dataclass(frozen=True)
class Turn:
    """A count of a (day, shard) that is under way."""

    key: str
    token: str
    number: int
    """How many have begun, this one included, since last there was none."""
    alone: bool
    """Whether no other was under way when it began."""


@dataclass(frozen=True)
class Progress:
    """How far the rollup has come. Days up to `final_through` are final, but where a late mark stands."""

    final_through: str
    shard_count: int


@dataclass(frozen=True)
class Page:
    """Some of a listing, and the user after whom it goes on (None: that was all)."""

    user_ids: list[str]
    last: str | None


@dataclass(frozen=True)
class Store:
    """The three tables."""

    client: "DynamoDBClient"
    events: str
    summaries: str
    state: str

    @classmethod
    def from_environment(cls, client: "DynamoDBClient") -> "Store":
        return cls(
            client,
            events=os.environ["REQUEST_EVENTS_TABLE"],
            summaries=os.environ["DAILY_SUMMARIES_TABLE"],
            state=os.environ["STATE_TABLE"],
        )

    # The ledger

    def append(self, item: Item) -> bool:
        """Put an event down unless it is there already. Return whether it is new.

        Where an answer was lost and the SDK tried again, the event reads as not new: it is stored once.
        """
        return self._put_if("attribute_not_exists(userEvent)", self.events, item)

    def event_pages(
        self, day_shard: str, *, user_id: str | None = None, consistent: bool
    ) -> Iterator[list[WireItem]]:
        """Read what a summary is made of, page by page, sorted by user."""
        names = {f"#{i}": name for i, name in enumerate(EVENT_FIELDS)}
        condition, values = "dayShard = :d", {":d": {"S": day_shard}}
        if user_id is not None:
            condition += " AND begins_with(userEvent, :u)"
            values[":u"] = {"S": user_prefix(user_id)}
        yield from self._pages(
            TableName=self.events,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
            ConsistentRead=consistent,
        )

    def events_since(self) -> datetime:
        """When the ledger was made: no event was stored before."""
        made = self.client.describe_table(TableName=self.events)["Table"]["CreationDateTime"]
        return datetime.fromtimestamp(float(made), UTC)  # type: ignore[arg-type]  # as on the wire

    # Summaries

    def summaries_of(self, keys: Sequence[tuple[str, str]], *, consistent: bool = False) -> list[Item]:
        """Read the summaries of (user, day) pairs, as many as there are, in no order. Raises TooBusy."""
        found: list[Item] = []
        for start in range(0, len(keys), BATCH_GET_MAX):
            wanted = [{"userId": {"S": u}, "day": {"S": d}} for u, d in keys[start : start + BATCH_GET_MAX]]
            found += self._batch({"Keys": wanted, "ConsistentRead": consistent})
        return found

    def put_summary(self, summary: Item) -> bool:
        """Replace a summary unless a younger computation has written it. Return whether it was written."""
        return self._put_if_younger(self.summaries, summary)

    def user_summaries(self, user_id: str, first: str, last: str) -> list[Item]:
        """Read a user's summaries from the first to the last day, both included, in order."""
        pages = self._pages(
            TableName=self.summaries,
            ConsistentRead=True,  # no older than the marks, which are read before
            KeyConditionExpression="userId = :u AND #day BETWEEN :a AND :b",
            ExpressionAttributeNames={"#day": "day"},
            ExpressionAttributeValues={":u": {"S": user_id}, ":a": {"S": first}, ":b": {"S": last}},
        )
        return [item_from_wire(item) for page in pages for item in page]

    def users_of(self, day_shard: str, *, after: str | None, limit: int) -> Page:
        """List users with a summary of that (day, shard), in the order of their ids."""
        condition, values = "dayShard = :d", {":d": {"S": day_shard}}
        if after is not None:
            condition += " AND userId > :u"
            values[":u"] = {"S": after}
        answer = self.client.query(
            TableName=self.summaries,
            IndexName="byDay",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            Limit=limit,
        )
        user_ids = [item["userId"]["S"] for item in answer["Items"]]
        return Page(user_ids, last=user_ids[-1] if "LastEvaluatedKey" in answer and user_ids else None)

    # State: exchange rates

    def rates(self, first: str, last: str) -> Rates:
        """Read the rates of the ECB dates from first to last, both included."""
        return Rates({item["key"]: Decimal(item["usd"]) for item in self._state_between(RATE, first, last)})

    def rate_of(self, day: str) -> Rate | None:
        """Read the rate that a day is converted at, or None while it is not known."""
        return self.rates(day_before(day, REACH), day).of(day)

    def put_rate(self, rate: Rate, *, source: str, now: datetime) -> bool:
        """Write down a rate, and where it is from. Return whether it is new: one that is there stays."""
        item = {
            "kind": RATE,
            "key": rate.date,
            "usd": rate.usd,
            "source": source,
            "recordedAt": timestamp(now),
        }
        return self._put_if(
            "attribute_not_exists(usd)", self.state, item, ReturnValuesOnConditionCheckFailure="ALL_OLD"
        )

    # State: late marks, totals of (day, shard)s, progress

    def mark_late(self, day_shard: str, token: str, now: datetime) -> Mark:
        """Say that a closed day has to be counted again. Each call needs a token of its own.

        A try that the SDK gave up may still be carried out, after marks of other events. It would bring back
        an earlier token, but not an earlier number of renewals: a mark that stands never looks as before.
        """
        answer = self.client.update_item(
            TableName=self.state,
            Key=to_wire({"kind": LATE, "key": day_shard}),
            UpdateExpression="SET #token = :token, markedAt = if_not_exists(markedAt, :now)"
            " ADD renewals :one",
            ExpressionAttributeNames={"#token": "token"},
            ExpressionAttributeValues=to_wire({":token": token, ":now": timestamp(now), ":one": 1}),
            ReturnValues="ALL_NEW",
        )
        return _mark(item_from_wire(answer["Attributes"]))

    def late_mark(self, day_shard: str) -> Mark | None:
        item = self._state(LATE, day_shard)
        return _mark(item) if item else None

    def late_marks(self, first: str = "0", last: str = "9999-12-31") -> set[tuple[str, int]]:
        """List the marked (day, shard)s of the days from first to last."""
        return {parse_day_shard(item["key"]) for item in self._state_between(LATE, first, last)}

    def marked_since(self) -> dict[tuple[str, int], datetime]:
        """Tell of each marked (day, shard) since when its mark stands, however often it was left anew."""
        marks = self._state_between(LATE, "0", "9999-12-31")
        return {parse_day_shard(item["key"]): datetime.fromisoformat(item["markedAt"]) for item in marks}

    def clear_mark(self, mark: Mark) -> bool:
        """Delete a mark unless it was left anew since it was read. Return whether it is gone."""
        return self._delete_if(
            "attribute_not_exists(#token) OR (#token = :token AND NOT renewals > :renewals)",
            {"kind": LATE, "key": mark.key},
            ExpressionAttributeNames={"#token": "token"},
            ExpressionAttributeValues=to_wire({":token": mark.token, ":renewals": mark.renewals}),
        )

    def begin_count(self, day_shard: str, token: str, now: datetime) -> Turn:
        """Say that a count begins, before it reads anything. Each needs a token of its own."""
        token = f"{timestamp(now)} {token}"
        answer = self.client.update_item(
            TableName=self.state,
            Key=to_wire({"kind": COUNTING, "key": day_shard}),
            UpdateExpression="ADD underWay :me, begun :one",
            ExpressionAttributeValues={":me": {"SS": [token]}, ":one": {"N": "1"}},
            ReturnValues="ALL_NEW",
        )
        counting = item_from_wire(answer["Attributes"])
        longest = timestamp(now - COUNT_LONGEST)
        others = [other for other in counting["underWay"] if other != token and other > longest]
        return Turn(day_shard, token, counting["begun"], alone=not others)

    def end_count(self, turn: Turn) -> bool:
        """Say that a count has ended. Return whether no other was under way at any time since it began."""
        key, me = {"kind": COUNTING, "key": turn.key}, {":me": {"S": turn.token}}
        if turn.alone and self._delete_if(
            "attribute_not_exists(begun) OR (begun = :number AND contains(underWay, :me))",
            key,
            ExpressionAttributeValues=me | {":number": {"N": str(turn.number)}},
        ):
            return True
        self.client.update_item(
            TableName=self.state,
            Key=to_wire(key),
            UpdateExpression="DELETE underWay :me",
            ExpressionAttributeValues={":me": {"SS": [turn.token]}},
        )
        return False

    def total(self, day_shard: str) -> Item | None:
        return self._state(TOTAL, day_shard)

    def totals(self, first: str, last: str) -> Iterator[Item]:
        """Read the totals of all (day, shard)s from the first to the last day."""
        return self._state_between(TOTAL, first, last)

    def put_total(self, day_shard: str, total: Item) -> bool:
        return self._put_if_younger(self.state, {"kind": TOTAL, "key": day_shard} | total)

    def progress(self) -> Progress | None:
        item = self._state(PROGRESS, "progress")
        return Progress(item["finalThrough"], item["shardCount"]) if item else None

    def put_progress(self, progress: Progress) -> None:
        """Write how far days are final; it never goes back."""
        item = {
            "kind": PROGRESS,
            "key": "progress",
            "finalThrough": progress.final_through,
            "shardCount": progress.shard_count,
        }
        condition = "attribute_not_exists(finalThrough) OR finalThrough < :day"
        values = {":day": {"S": progress.final_through}}
        self._put_if(condition, self.state, item, ExpressionAttributeValues=values)

    # What these have in common

    def _batch(self, request: Any) -> Iterator[Item]:
        """Read summaries, until DynamoDB has left out none. Raises TooBusy."""
        pending = {self.summaries: request}
        for tries in range(UNPROCESSED_MAX):
            answer = self.client.batch_get_item(RequestItems=pending)
            yield from map(item_from_wire, answer["Responses"].get(self.summaries, []))
            pending = answer.get("UnprocessedKeys")
            if not pending:
                return
            if tries + 1 < UNPROCESSED_MAX:
                time.sleep(random.uniform(0, PAUSE_SECONDS * 2**tries))  # noqa: S311  # nosec B311
        raise TooBusy(missing=len(pending[self.summaries]["Keys"]), tries=UNPROCESSED_MAX)

    def _pages(self, **query: Any) -> Iterator[list[Any]]:
        start: dict[str, Any] = {}
        while True:
            answer = self.client.query(**query, **start)
            yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _put_if_younger(self, table: str, item: Item) -> bool:
        return self._put_if(
            "attribute_not_exists(asOf) OR asOf < :asOf",
            table,
            item,
            ExpressionAttributeValues={":asOf": {"S": item["asOf"]}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    def _put_if(self, condition: str, table: str, item: Item, **options: Any) -> bool:
        """Put an item where the condition holds. Return whether it did.

        Asked for what is there instead, it knows its own item: an answer was lost, and the SDK tried again.
        """
        try:
            self.client.put_item(
                TableName=table, Item=to_wire(item), ConditionExpression=condition, **options
            )
        except self.client.exceptions.ConditionalCheckFailedException as refused:
            there: Any = refused.response.get("Item", {})
            return item_from_wire(there) == item
        return True

    def _delete_if(self, condition: str, key: Item, **expressions: Any) -> bool:
        """Delete an item of State where the condition holds. Return whether it did."""
        try:
            self.client.delete_item(
                TableName=self.state, Key=to_wire(key), ConditionExpression=condition, **expressions
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _state(self, kind: str, key: str) -> Item | None:
        answer = self.client.get_item(
            TableName=self.state, Key=to_wire({"kind": kind, "key": key}), ConsistentRead=True
        )
        return item_from_wire(answer["Item"]) if answer.get("Item") else None

    def _state_between(self, kind: str, first_day: str, last_day: str) -> Iterator[Item]:
        pages = self._pages(
            TableName=self.state,
            KeyConditionExpression="kind = :k AND #key BETWEEN :a AND :b",
            ExpressionAttributeNames={"#key": "key"},
            # "~" sorts after every shard number.
            ExpressionAttributeValues=to_wire({":k": kind, ":a": first_day, ":b": f"{last_day}#~"}),
            ConsistentRead=True,
        )
        return (item_from_wire(item) for page in pages for item in page)
