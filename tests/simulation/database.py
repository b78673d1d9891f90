"""Simulated DynamoDB in memory: conditional puts and deletes, queries in pages, and their failures.

`Database` has the stored items. `Client` is a process's boto3 client: it retries as botocore does, and its
requests may fail, take long, be carried out without a response, or long after the client gave up.
It supports only the expressions that the code under test uses.
"""

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from tests.simulation.world import Process, World

Wire = dict[str, Any]
"""An item or a key in DynamoDB's JSON."""

STALE_SECONDS = 2.0
"""Seconds for which an eventually consistent read may miss a write."""
LATE_SECONDS = 60.0
"""Maximum seconds between a client giving up and its request being carried out."""

_WORDS = re.compile(r"(attribute_not_exists)\((#?\w+)\)|(#?\w+) (<=|=|<|>) (:\w+)|\(|\)|AND|OR")
_UPDATE = re.compile(r"(?:SET (?P<set>.+?))? ?(?:ADD (?P<add>.+))?(?:REMOVE (?P<remove>.+))?")
_KEYS = re.compile(
    r"(?P<partition>#?\w+) = (?P<value>:\w+)"
    r"(?: AND (?:begins_with\((?P<prefixed>#?\w+), (?P<prefix>:\w+)\)"
    r"|(?P<ranged>#?\w+) BETWEEN (?P<low>:\w+) AND (?P<high>:\w+)"
    r"|(?P<followed>#?\w+) > (?P<after>:\w+)))?"
)


class ConditionalCheckFailed(ClientError):
    """boto3's error for a condition that does not hold, with the stored item if requested."""

    def __init__(self, there: Wire | None) -> None:
        told: Any = {"Error": {"Code": "ConditionalCheckFailedException"}}
        super().__init__(told | ({"Item": there} if there is not None else {}), "PutItem")


@dataclass
class Version:
    """A version of an item, its time, and the version before."""

    item: Wire | None
    since: float
    before: Wire | None


@dataclass
class Table:
    """Items by partition and sort key."""

    partition: str
    sort: str
    versions: dict[tuple[str, str], Version] = field(default_factory=dict)
    order: dict[str, list[str]] = field(default_factory=dict)
    """The sort keys of each partition, in order, of present and deleted items."""

    def key(self, item: Wire) -> tuple[str, str]:
        return item[self.partition]["S"], item[self.sort]["S"]

    def now(self, key: tuple[str, str]) -> Wire | None:
        version = self.versions.get(key)
        return version.item if version else None

    def items(self) -> list[Wire]:
        return [version.item for version in self.versions.values() if version.item is not None]


Watcher = Callable[[str, Wire | None, Wire | None], None]
"""Called at each write with the table, the item before, and the item now."""


class Database:
    """The stored items, and the watchers of writes."""

    def __init__(self, world: World, tables: dict[str, tuple[str, str]]) -> None:
        self.world = world
        self.made = world.now
        self.tables = {name: Table(*keys) for name, keys in tables.items()}
        self.watch: Watcher = lambda table, before, now: None

    def put(self, name: str, item: Wire, condition: str, names: Wire, values: Wire) -> None:
        """Raises ConditionalCheckFailed."""
        table = self.tables[name]
        key = table.key(item)
        self._check(table.now(key), condition, names, values)
        self._set(name, key, item)

    def update(
        self, name: str, key: Wire, expression: str, condition: str, names: Wire, values: Wire
    ) -> None:
        """Set some attributes, add to others, remove others. Raises ConditionalCheckFailed."""
        table = self.tables[name]
        where = table.key(key)
        self._check(table.now(where), condition, names, values)
        item = dict(table.now(where) or key)
        match = _UPDATE.fullmatch(expression)
        if not match:
            raise NotImplementedError(f"update: {expression}")
        for attribute, value in _pairs(match["set"], " = "):
            attribute_name = names.get(attribute, attribute)
            if value.startswith("if_not_exists("):
                item.setdefault(attribute_name, values[value.partition("; ")[2].removesuffix(")")])
            else:
                item[attribute_name] = values[value]
        for attribute, value in _pairs(match["add"], " "):
            item[attribute] = _added(item.get(attribute), values[value])
        for attribute in (match["remove"] or "").split(", "):
            item.pop(attribute, None)
        self._set(name, where, item)

    def delete(self, name: str, key: Wire, condition: str, names: Wire, values: Wire) -> None:
        """Raises ConditionalCheckFailed."""
        table = self.tables[name]
        where = table.key(key)
        self._check(table.now(where), condition, names, values)
        if table.now(where) is not None:
            self._set(name, where, None)

    def get(self, name: str, key: tuple[str, str], consistent: bool) -> Wire | None:
        version = self.tables[name].versions.get(key)
        if version is None:
            return None
        missed = not consistent and self.world.now - version.since < self.world.random.uniform(
            0, STALE_SECONDS
        )
        return version.before if missed else version.item

    def _set(self, name: str, key: tuple[str, str], item: Wire | None) -> None:
        table = self.tables[name]
        before = table.now(key)
        if key not in table.versions:
            insort(table.order.setdefault(key[0], []), key[1])
        table.versions[key] = Version(item, self.world.now, before)
        self.watch(name, before, item)

    def _check(self, item: Wire | None, condition: str, names: Wire, values: Wire) -> None:
        if condition and not _holds(_parsed(condition), item or {}, names, values):
            raise ConditionalCheckFailed(item)


def _pairs(part: str | None, between: str) -> list[list[str]]:
    whole = re.sub(r"\((\w+), ", r"(\1; ", part or "")  # a comma inside a function does not separate pairs
    return [pair.split(between) for pair in whole.split(", ")] if part else []


def _added(before: Wire | None, value: Wire) -> Wire:
    return {"N": str(int((before or {"N": "0"})["N"]) + int(value["N"]))}


Condition = tuple[Any, ...]
"""`("OR", left, right)`, `("attribute_not_exists", name)`, `("<", name, value)`."""


@cache
def _parsed(text: str) -> Condition:
    """Parse a condition expression."""
    words = list(_WORDS.finditer(text))
    if _WORDS.sub("", text).strip():
        raise NotImplementedError(f"condition: {text}")
    words.reverse()
    return _either(words)


def _either(words: list[re.Match[str]]) -> Condition:
    condition = _both(words)
    while words and words[-1][0] == "OR":
        words.pop()
        condition = ("OR", condition, _both(words))
    return condition


def _both(words: list[re.Match[str]]) -> Condition:
    condition = _one(words)
    while words and words[-1][0] == "AND":
        words.pop()
        condition = ("AND", condition, _one(words))
    return condition


def _one(words: list[re.Match[str]]) -> Condition:
    word = words.pop()
    if word[0] == "(":
        condition = _either(words)
        words.pop()
        return condition
    function, argument, name, operator, value = word.groups()
    return (function, argument) if function else (operator, name, value)


def _holds(condition: Condition, item: Wire, names: Wire, values: Wire) -> bool:
    operator, *operands = condition
    if operator in ("AND", "OR"):
        results = [_holds(operand, item, names, values) for operand in operands]
        return all(results) if operator == "AND" else any(results)
    name = str(operands[0])
    attribute = item.get(names.get(name, name))
    if operator == "attribute_not_exists":
        return attribute is None
    if attribute is None:
        return False
    mine, given = _value(attribute), _value(values[operands[1]])
    comparisons = {"=": mine == given, "<": mine < given, "<=": mine <= given, ">": mine > given}
    return bool(comparisons[operator])


def _value(attribute: Wire) -> Any:
    [(kind, content)] = attribute.items()
    return Decimal(content) if kind == "N" else content


@dataclass(frozen=True)
class Weather:
    """Failure rates, in percent of the requests."""

    refused: float = 0.0
    """Throttled, or failed before it was carried out."""
    unanswered: float = 0.0
    """Carried out, but the response is lost."""
    late: float = 0.0
    """Carried out long after the client gave up, or never."""
    slow: float = 0.0


GOOD = Weather()


class Client:
    """The part of boto3's DynamoDB client that the stores use."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=ConditionalCheckFailed)

    def __init__(
        self, database: Database, weather: Callable[[], Weather], network: Process, attempts: int
    ) -> None:
        self._database = database
        self._world = database.world
        self._weather = weather
        self._network = network
        """The process of late requests: these outlive the process that made them."""
        self._attempts = attempts

    def put_item(
        self,
        TableName: str,
        Item: Wire,
        ConditionExpression: str = "",
        ExpressionAttributeNames: Wire | None = None,
        ExpressionAttributeValues: Wire | None = None,
        ReturnValuesOnConditionCheckFailure: str = "NONE",
    ) -> Wire:
        names, values = ExpressionAttributeNames or {}, ExpressionAttributeValues or {}
        try:
            self._ask(lambda: self._database.put(TableName, Item, ConditionExpression, names, values))
        except ConditionalCheckFailed as failed:
            raise (
                failed if ReturnValuesOnConditionCheckFailure == "ALL_OLD" else ConditionalCheckFailed(None)
            ) from None
        return {}

    def update_item(
        self,
        TableName: str,
        Key: Wire,
        UpdateExpression: str,
        ExpressionAttributeValues: Wire,
        ExpressionAttributeNames: Wire | None = None,
        ConditionExpression: str = "",
    ) -> Wire:
        names, values = ExpressionAttributeNames or {}, ExpressionAttributeValues
        self._ask(
            lambda: self._database.update(
                TableName, Key, UpdateExpression, ConditionExpression, names, values
            )
        )
        return {}

    def delete_item(
        self,
        TableName: str,
        Key: Wire,
        ConditionExpression: str = "",
        ExpressionAttributeNames: Wire | None = None,
        ExpressionAttributeValues: Wire | None = None,
    ) -> Wire:
        names, values = ExpressionAttributeNames or {}, ExpressionAttributeValues or {}
        self._ask(lambda: self._database.delete(TableName, Key, ConditionExpression, names, values))
        return {}

    def get_item(self, TableName: str, Key: Wire, ConsistentRead: bool = False) -> Wire:
        where = self._database.tables[TableName].key(Key)
        item = self._ask(lambda: self._database.get(TableName, where, ConsistentRead))
        return {} if item is None else {"Item": item}

    def batch_get_item(self, RequestItems: Wire) -> Wire:
        [(name, wanted)] = RequestItems.items()
        answer: Wire = self._ask(lambda: self._batch(name, wanted))
        return answer

    def query(self, **query: Any) -> Wire:
        page: Wire = self._ask(lambda: self._page(**query))
        return page

    def describe_table(self, TableName: str) -> Wire:
        return {"Table": {"CreationDateTime": self._database.made}}

    def _batch(self, name: str, wanted: Wire) -> Wire:
        table = self._database.tables[name]
        keys = wanted["Keys"]
        some = self._world.random.randint(1, len(keys))
        found = [self._database.get(name, table.key(key), wanted["ConsistentRead"]) for key in keys[:some]]
        rest = {name: wanted | {"Keys": keys[some:]}} if keys[some:] else {}
        return {"Responses": {name: [item for item in found if item]}, "UnprocessedKeys": rest}

    def _page(
        self,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Wire,
        ExpressionAttributeNames: Wire | None = None,
        ProjectionExpression: str = "",
        ConsistentRead: bool = False,
        ExclusiveStartKey: Wire | None = None,
        IndexName: str = "",
        Limit: int = 0,
    ) -> Wire:
        table = self._indexed(TableName, IndexName)
        names = ExpressionAttributeNames or {}
        partition, low, high = _range(KeyConditionExpression, names, ExpressionAttributeValues, table)
        after = ExclusiveStartKey[table.sort]["S"] if ExclusiveStartKey else None
        order = table.order.get(partition, [])
        first = bisect_right(order, after) if after is not None else bisect_left(order, low)
        limit = Limit or self._world.random.choice((1, 2, 5, 100, 100))
        projected = {names.get(name, name) for name in ProjectionExpression.split(", ") if name}
        items: list[Wire] = []
        for sort in order[first : bisect_right(order, high)]:
            key = (partition, sort)
            item = self._database.get(TableName, key, ConsistentRead) if not IndexName else table.now(key)
            if item is None:
                continue
            items.append({n: v for n, v in item.items() if n in projected} if projected else item)
            if len(items) == limit:
                last = {table.partition: {"S": partition}, table.sort: {"S": sort}}
                return {"Items": items, "LastEvaluatedKey": last}
        return {"Items": items}

    def _indexed(self, name: str, index: str) -> Table:
        """The items of a table, or of its index, which has an item a moment after it was written."""
        if not index:
            return self._database.tables[name]
        table = Table("dayShard", "userId")
        lag = self._world.random.uniform(0, STALE_SECONDS) if self._weather() is not GOOD else 0.0
        for version in self._database.tables[name].versions.values():
            item = version.item if self._world.now - version.since >= lag else version.before
            if item is None:
                continue
            key = table.key(item)
            table.versions[key] = Version(item, 0.0, None)
            insort(table.order.setdefault(key[0], []), key[1])
        return table

    def _ask(self, work: Callable[[], Any]) -> Any:
        """Send a request until it has a response or the attempts are used up, as botocore does."""
        attempt = 1
        while True:
            try:
                return self._send(work)
            except ConditionalCheckFailed:
                raise
            except (ClientError, EndpointConnectionError, ReadTimeoutError):
                if attempt == self._attempts:
                    raise
            self._world.sleep(self._world.random.uniform(0, 2**attempt))
            attempt += 1

    def _send(self, work: Callable[[], Any]) -> Any:
        world, weather = self._world, self._weather()
        dice = world.random.uniform(0, 100)
        world.sleep(world.random.expovariate(1.0 if dice > 100 - weather.slow else 200.0))
        if dice < weather.refused:
            raise _refusal(world)
        if dice < weather.refused + weather.late:
            if world.chance(0.5):
                world.spawn(
                    self._network, lambda: _quietly(work), min(LATE_SECONDS, world.random.expovariate(0.2))
                )
            world.sleep(2.0)
            raise ReadTimeoutError(endpoint_url="dynamodb")
        answer = work()
        world.sleep(world.random.expovariate(1.0 if dice > 100 - weather.slow else 200.0))
        if dice < weather.refused + weather.late + weather.unanswered:
            raise ReadTimeoutError(endpoint_url="dynamodb")
        return answer


def _refusal(world: World) -> Exception:
    if world.chance(0.3):
        return EndpointConnectionError(endpoint_url="dynamodb")
    codes = ("ProvisionedThroughputExceededException", "ThrottlingException", "InternalServerError")
    return ClientError({"Error": {"Code": world.random.choice(codes)}}, "Any")


def _quietly(work: Callable[[], Any]) -> None:
    with suppress(ConditionalCheckFailed):
        work()


def _range(condition: str, names: Wire, values: Wire, table: Table) -> tuple[str, str, str]:
    """The partition of a key condition, and the first and last sort key."""
    match = _KEYS.fullmatch(condition)
    if not match or names.get(match["partition"], match["partition"]) != table.partition:
        raise NotImplementedError(f"key condition: {condition}")
    sort = match["prefixed"] or match["ranged"] or match["followed"]
    if sort and names.get(sort, sort) != table.sort:
        raise NotImplementedError(f"key condition: {condition}")
    partition: str = values[match["value"]]["S"]
    if match["prefix"]:
        prefix: str = values[match["prefix"]]["S"]
        return partition, prefix, prefix + "\U0010ffff"
    if match["low"]:
        return partition, values[match["low"]]["S"], values[match["high"]]["S"]
    if match["after"]:
        return partition, values[match["after"]]["S"] + "\0", "\U0010ffff" * 2
    return partition, "", "\U0010ffff" * 2
