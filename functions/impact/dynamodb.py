"""DynamoDB as the service uses it: puts that never overwrite, pages at the speed of the wire, marks, sums."""

import json
import os
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import boto3
import botocore.session
from boto3.dynamodb.types import TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.parsers import JSONParser, ResponseParserFactory

from impact.calendar import FIRST_DAY, Period, Settings, day_before, timestamp
from impact.keys import (
    DAY_SUM,
    LATE,
    MARK,
    MARK_GROUP,
    PERIOD,
    PROGRESS,
    RATE,
    TOTAL,
    day_shard,
    parse_day_shard,
    parse_rate_key,
    rate_key,
    user_prefix,
)
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

LAST_DAY = "9999-12-31"

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


@dataclass(frozen=True)
class Mark:
    """The late mark of a (day, shard), as it was read."""

    day: str
    shard: int
    number: int = 0
    """How often it was left. It only grows: a mark that was left anew never looks as it did before."""
    since: datetime | None = None
    """Since when it stands, however often it was left anew; None if it does not."""


@dataclass(frozen=True, slots=True)
class Version:
    """Which version of an item was read: it is replaced only as long as it is there."""

    revision: str | None
    """New with each write. None: written by an earlier version of this service, known by its `asOf`."""
    as_of: str

    @classmethod
    def of(cls, item: Item) -> "Version":
        return cls(item.get("revision"), item["asOf"])


@dataclass(frozen=True)
class DaySum:
    """What the totals of a day's shards add up to."""

    changes: int
    """How often one of them was written since the day closed."""
    sums: Item | None
    """None: not known, or of an earlier number of changes."""


@dataclass(frozen=True)
class Progress:
    """How far the rollup has come. Days up to `final_through` are final, but where a late mark stands."""

    final_through: str
    shard_count: int
    """Of the stack's first days: where an earlier version looks, and where this one did."""


@dataclass(frozen=True)
class Page:
    """Some of a listing, and the user after whom it goes on (None: that was all)."""

    user_ids: list[str]
    last: str | None


def _unchanged(version: Version) -> tuple[str, WireItem]:
    """The condition that an item is still in the version that was read, and its values."""
    if version.revision is not None:
        return "revision = :before", {":before": {"S": version.revision}}
    return "(attribute_not_exists(revision) AND asOf = :before)", {":before": {"S": version.as_of}}


def _mark_key(day: str, group: int) -> WireItem:
    return to_wire({"kind": MARK, "key": day_shard(day, group)})


def _marks(item: Item) -> list[Mark]:
    """Read the marks that share an item, those that do not stand too, by shard."""
    shards = sorted(int(name.removeprefix("left")) for name in item if name.startswith("left"))
    day = parse_day_shard(item["key"])[0] if shards else ""
    since = {shard: item.get(f"since{shard}") for shard in shards}
    return [
        Mark(day, shard, item[f"left{shard}"], datetime.fromtimestamp(at, UTC) if at else None)
        for shard, at in since.items()
    ]


def _period(item: Item) -> Period:
    retention = timedelta(days=item["retentionDays"])
    return Period(item["key"], Settings(ZoneInfo(item["timeZone"]), retention, item["shardCount"]))


def _period_item(period: Period, now: datetime) -> Item:
    settings = period.settings
    return {
        "kind": PERIOD,
        "key": period.first_day,
        "timeZone": settings.zone.key,
        "retentionDays": settings.retention.days,
        "shardCount": settings.shard_count,
        "recordedAt": timestamp(now),
    }


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

    def summaries_of(self, keys: Sequence[tuple[str, str]], *, consistent: bool) -> list[Item]:
        """Read the summaries of (user, day) pairs, as many as there are, in no order. Raises TooBusy."""
        found: list[Item] = []
        for start in range(0, len(keys), BATCH_GET_MAX):
            wanted = [{"userId": {"S": u}, "day": {"S": d}} for u, d in keys[start : start + BATCH_GET_MAX]]
            found += self._batch({"Keys": wanted, "ConsistentRead": consistent})
        return found

    def put_summary(self, summary: Item, before: Version | None) -> bool:
        """Put a summary in the place of the version that was read (None: there was none).

        Return whether that one was still there.
        """
        return self._replace(self.summaries, summary, before)

    def delete_summary(self, user_id: str, day: str, before: Version) -> bool:
        """Delete the version of a summary that was read. Return whether it, or none, was there."""
        condition, values = _unchanged(before)
        return self._delete_if(
            f"attribute_not_exists(asOf) OR {condition}",
            self.summaries,
            {"userId": user_id, "day": day},
            ExpressionAttributeValues=values,
        )

    def user_summaries(self, user_id: str, first: str, last: str) -> list[Item]:
        """Read a user's summaries from the first to the last day, both included, in order."""
        return list(self.each_user_summary(user_id, first, last))

    def each_user_summary(self, user_id: str, first: str, last: str) -> Iterator[Item]:
        """Read the same one by one: a year of them may be larger than memory."""
        if first > last:
            return iter(())
        pages = self._pages(
            TableName=self.summaries,
            ConsistentRead=True,  # no older than the marks, which are read first: else it might show as final
            KeyConditionExpression="userId = :u AND #day BETWEEN :a AND :b",
            ExpressionAttributeNames={"#day": "day"},
            ExpressionAttributeValues={":u": {"S": user_id}, ":a": {"S": first}, ":b": {"S": last}},
        )
        return (item_from_wire(item) for page in pages for item in page)

    def all_users_of(self, day_shard: str) -> Iterator[str]:
        """List all users with a summary of that (day, shard). A new one may be missing for a second or so."""
        pages = self._pages(
            TableName=self.summaries,
            IndexName="byDay",
            KeyConditionExpression="dayShard = :d",
            ExpressionAttributeValues={":d": {"S": day_shard}},
            ProjectionExpression="userId",
        )
        return (item["userId"]["S"] for page in pages for item in page)

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

    # State: exchange rates. The first rate of an ECB date stays; its corrections lie beside it.

    def rates(self, first: str, last: str) -> Rates:
        """Read the rates that hold, of the ECB dates from first to last, both included."""
        entries = self._rate_entries(first, last)
        return Rates({parse_rate_key(item["key"])[0]: Decimal(item["usd"]) for item in entries})

    def rate_entries(self, ecb_date: str) -> list[Item]:
        """Read the first rate of an ECB date and its corrections, in order: the last one holds."""
        return self._rate_entries(ecb_date, ecb_date)

    def _rate_entries(self, first: str, last: str) -> list[Item]:
        return sorted(self._state_between(RATE, first, last), key=lambda item: parse_rate_key(item["key"]))

    def rate_of(self, day: str) -> Rate | None:
        """Read the rate that a day is converted at, or None while it is not known."""
        return self.rates(day_before(day, REACH), day).of(day)

    def put_rate(self, rate: Rate, *, source: str, now: datetime, reason: str | None = None) -> bool:
        """Write down a rate, and where it is from. Return whether it is new: one that is there stays."""
        why = {} if reason is None else {"reason": reason}
        return self._put_rate(rate_key(rate.date), rate, {"source": source} | why, now)

    def put_correction(
        self, rate: Rate, number: int, *, replaces: Decimal, source: str, reason: str, now: datetime
    ) -> bool:
        """Write down the rate that holds from now on. `number` counts the corrections of its date from 1.

        Return whether it is new: one that is there stays.
        """
        why = {"source": source, "reason": reason, "replaces": replaces}
        return self._put_rate(rate_key(rate.date, number), rate, why, now)

    def _put_rate(self, key: str, rate: Rate, why: Item, now: datetime) -> bool:
        item = {"kind": RATE, "key": key, "usd": rate.usd, "recordedAt": timestamp(now)} | why
        return self._put_if(
            "attribute_not_exists(usd)", self.state, item, ReturnValuesOnConditionCheckFailure="ALL_OLD"
        )

    # State: the settings of days

    def periods(self) -> tuple[Period, ...]:
        """Read which settings hold from which day on, in order."""
        return tuple(_period(item) for item in self._state_between(PERIOD, FIRST_DAY, LAST_DAY))

    def put_first_period(self, period: Period, now: datetime) -> bool:
        """Write down what holds from the beginning. Return whether it is new: what is there stays."""
        return self._put_if("attribute_not_exists(shardCount)", self.state, _period_item(period, now))

    def put_period(self, period: Period, now: datetime) -> None:
        """Write down what holds from a day to come on, in place of what was to hold from it on."""
        self.client.put_item(TableName=self.state, Item=to_wire(_period_item(period, now)))

    # State: late marks

    def mark_late(self, day: str, shards: Iterable[int], now: datetime) -> None:
        """Say that shards of a closed day, of one group, have to be counted again.

        A try that the SDK gave up and that is carried out later leaves them marked once more: no harm.
        """
        shards = list(shards)
        [group] = {shard // MARK_GROUP for shard in shards}
        since = ", ".join(f"since{shard} = if_not_exists(since{shard}, :now)" for shard in shards)
        self.client.update_item(
            TableName=self.state,
            Key=_mark_key(day, group),
            UpdateExpression=f"SET {since} ADD " + ", ".join(f"left{shard} :one" for shard in shards),
            ExpressionAttributeValues=to_wire({":now": int(now.timestamp()), ":one": 1}),
        )

    def late_mark(self, day: str, shard: int) -> Mark:
        answer = self.client.get_item(
            TableName=self.state, Key=_mark_key(day, shard // MARK_GROUP), ConsistentRead=True
        )
        marks = {mark.shard: mark for mark in _marks(item_from_wire(answer.get("Item") or {}))}
        return marks.get(shard, Mark(day, shard))

    def standing_marks(self, first: str = FIRST_DAY, last: str = LAST_DAY) -> list[Mark]:
        """List the marks that stand of the days from first to last."""
        items = self._state_between(MARK, first, last)
        return [mark for item in items for mark in _marks(item) if mark.since]

    def late_marks(self, first: str = FIRST_DAY, last: str = LAST_DAY) -> set[tuple[str, int]]:
        """List the marked (day, shard)s of the days from first to last."""
        return {(mark.day, mark.shard) for mark in self.standing_marks(first, last)}

    def clear_mark(self, mark: Mark) -> bool:
        """Take a mark away unless it was left anew since it was read. Return whether it is gone."""
        return self._update_if(
            f"attribute_not_exists(since{mark.shard}) OR left{mark.shard} = :number",
            _mark_key(mark.day, mark.shard // MARK_GROUP),
            f"REMOVE since{mark.shard}",
            {":number": mark.number},
        )

    def forget_marks(self, before: str) -> None:
        """Delete what is left of the marks of days before one, where none stands: they cannot come again."""
        for item in list(self._state_between(MARK, FIRST_DAY, day_before(before))):
            if not any(mark.since for mark in _marks(item)):
                self.client.delete_item(TableName=self.state, Key=to_wire({"kind": MARK, "key": item["key"]}))

    def take_over_marks(self, now: datetime) -> None:
        """Leave anew the marks that an earlier version of this service left, in their place."""
        for item in list(self._state_between(LATE, FIRST_DAY, LAST_DAY)):
            day, shard = parse_day_shard(item["key"])
            self.mark_late(day, [shard], now)
            self._delete_if(
                "attribute_not_exists(#token) OR #token = :token",
                self.state,
                {"kind": LATE, "key": item["key"]},
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues=to_wire({":token": item["token"]}),
            )

    # State: totals of (day, shard)s, sums of days, progress

    def total(self, day_shard: str) -> Item | None:
        return self._state(TOTAL, day_shard)

    def totals(self, first: str, last: str) -> Iterator[Item]:
        """Read the totals of all (day, shard)s from the first to the last day."""
        return self._state_between(TOTAL, first, last)

    def users_by_shard(self, day: str) -> dict[int, int]:
        """How many users were counted in each shard of a day, where there were any."""
        return {total["shard"]: total["users"] for total in self.totals(day, day) if total["users"]}

    def first_day_with_total(self) -> str | None:
        """The first day of which a shard was counted; None before the first count."""
        answer = self.client.query(
            TableName=self.state,
            KeyConditionExpression="kind = :k",
            ExpressionAttributeValues=to_wire({":k": TOTAL}),
            Limit=1,
            ConsistentRead=True,
        )
        return parse_day_shard(answer["Items"][0]["key"]["S"])[0] if answer["Items"] else None

    def put_total(self, day_shard: str, total: Item, before: Version | None) -> bool:
        """Put a total in the place of the version that was read (None: there was none).

        Return whether that one was still there.
        """
        return self._replace(self.state, {"kind": TOTAL, "key": day_shard} | total, before)

    def note_change(self, day: str) -> None:
        """Say that a total of a closed day has changed: the day's sum is another one since."""
        self.client.update_item(
            TableName=self.state,
            Key=to_wire({"kind": DAY_SUM, "key": day}),
            UpdateExpression="ADD changes :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    def day_sums(self, first: str, last: str) -> dict[str, DaySum]:
        """Read what is known of the sums of days, from the first to the last."""
        items = self._state_between(DAY_SUM, first, last)
        return {
            item["key"]: DaySum(
                item["changes"], item["sums"] if item.get("summed") == item["changes"] else None
            )
            for item in items
        }

    def put_day_sums(self, day: str, sums: Item, changes: int) -> bool:
        """Keep the sums of a day's totals, unless one has changed since. Return whether they were kept.

        `changes` is the number that was read before the totals.
        """
        return self._update_if(
            "changes = :changes",
            to_wire({"kind": DAY_SUM, "key": day}),
            "SET sums = :sums, summed = :changes",
            {":sums": sums, ":changes": changes},
        )

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

    def _replace(self, table: str, item: Item, before: Version | None) -> bool:
        """Put an item, as a revision of its own, in the place of the version that was read."""
        condition, values = _unchanged(before) if before else ("attribute_not_exists(asOf)", None)
        options: Any = {"ExpressionAttributeValues": values} if values else {}
        return self._put_if(
            condition,
            table,
            item | {"revision": token_hex(8)},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **options,
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

    def _delete_if(self, condition: str, table: str, key: Item, **expressions: Any) -> bool:
        """Delete an item where the condition holds. Return whether it did."""
        try:
            self.client.delete_item(
                TableName=table, Key=to_wire(key), ConditionExpression=condition, **expressions
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _update_if(self, condition: str, key: WireItem, update: str, values: Item) -> bool:
        """Update an item of State where the condition holds. Return whether it did."""
        try:
            self.client.update_item(
                TableName=self.state,
                Key=key,
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=to_wire(values),
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
        if first_day > last_day:  # which DynamoDB takes for an error, and moto for nothing
            return iter(())
        pages = self._pages(
            TableName=self.state,
            KeyConditionExpression="kind = :k AND #key BETWEEN :a AND :b",
            ExpressionAttributeNames={"#key": "key"},
            # "~" sorts after every shard number.
            ExpressionAttributeValues=to_wire({":k": kind, ":a": first_day, ":b": f"{last_day}#~"}),
            ConsistentRead=True,
        )
        return (item_from_wire(item) for page in pages for item in page)
