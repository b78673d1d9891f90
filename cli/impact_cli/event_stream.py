"""Events as they arrive, from the stream of the ledger's table (DynamoDB Streams)."""

import time
from collections.abc import Iterator
from typing import Any

import boto3
import click

from impact.types import Item
from impact_cli.ledger_reader import shown

POLL_SECONDS = 1.0
"""Pause between two reads of all shards: a shard takes five reads a second, of all readers together."""
DISCOVERY_POLLS = 30
"""Reads of the shards after which new shards are looked for."""


class NoStream(click.ClickException):
    """The stack's table has no stream."""


def arriving(session: boto3.Session, table: str) -> Iterator[Item | None]:
    """Yield the events that are stored from now on, as they come; None after each look without an end.

    Raises NoStream, BotoCoreError, ClientError.
    """
    described = session.client("dynamodb").describe_table(TableName=table)["Table"]
    if "LatestStreamArn" not in described:
        raise NoStream(f"{table} has no stream yet. Deploy this version of the stack first: impact deploy")
    streams: Any = session.client("dynamodbstreams")
    reader = _Reader(streams, described["LatestStreamArn"])
    reader.discover("LATEST")
    while True:
        yield from reader.read()
        yield None
        time.sleep(POLL_SECONDS)


class _Reader:
    """The shards of a stream, and where each is read next."""

    def __init__(self, streams: Any, arn: str):
        self._streams, self._arn = streams, arn
        self._iterators: dict[str, str] = {}
        self._last: dict[str, str] = {}
        """The last sequence number that was read, by shard."""
        self._known: set[str] = set()
        self._polls = 0

    def discover(self, where: str) -> None:
        """Begin to read the shards that are new: at their end (LATEST) or their beginning (TRIM_HORIZON)."""
        for shard in self._shards():
            shard_id = shard["ShardId"]
            if shard_id not in self._known:
                self._known.add(shard_id)
                got = self._streams.get_shard_iterator(
                    StreamArn=self._arn, ShardId=shard_id, ShardIteratorType=where
                )
                self._iterators[shard_id] = got["ShardIterator"]

    def read(self) -> Iterator[Item]:
        """Read each shard once."""
        closed = False
        for shard_id, iterator in list(self._iterators.items()):
            try:
                got = self._streams.get_records(ShardIterator=iterator)
            except self._streams.exceptions.ExpiredIteratorException:  # it was not used for 15 minutes
                self._iterators[shard_id] = self._iterator_after(shard_id)
                continue
            if following := got.get("NextShardIterator"):
                self._iterators[shard_id] = following
            else:  # the shard was split, or it is four hours old: its children go on
                del self._iterators[shard_id]
                closed = True
            for record in got["Records"]:
                self._last[shard_id] = record["dynamodb"]["SequenceNumber"]
                if record["eventName"] == "INSERT":
                    yield shown(record["dynamodb"]["NewImage"])
        self._polls += 1
        if closed or self._polls % DISCOVERY_POLLS == 0:
            self.discover("TRIM_HORIZON")

    def _iterator_after(self, shard_id: str) -> str:
        """Go on behind the last record that was read."""
        where: dict[str, str] = {"ShardIteratorType": "LATEST"}
        if last := self._last.get(shard_id):
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": last}
        got = self._streams.get_shard_iterator(StreamArn=self._arn, ShardId=shard_id, **where)
        return str(got["ShardIterator"])

    def _shards(self) -> Iterator[Any]:
        start: dict[str, str] = {}
        while True:
            described = self._streams.describe_stream(StreamArn=self._arn, **start)["StreamDescription"]
            yield from described["Shards"]
            if "LastEvaluatedShardId" not in described:
                return
            start = {"ExclusiveStartShardId": described["LastEvaluatedShardId"]}
