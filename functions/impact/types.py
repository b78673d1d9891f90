"""Types that the modules share."""

from typing import Any

Item = dict[str, Any]  # an item by attribute name, in Python's types (str, int, Decimal, bool, list, dict)

WireItem = dict[str, Any]
"""An item in DynamoDB's JSON: `{"userId": {"S": "alice"}, "tokens_in": {"N": "12"}}`."""

FieldErrors = list[dict[str, str]]  # why something was rejected: `field` and `message` of each reason

DayShard = tuple[str, int]  # a day (`YYYY-MM-DD`) and one of its shards
