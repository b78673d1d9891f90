"""MiniStack, with the one condition key of IAM that this stack needs and MiniStack 1.5 leaves out.

`dynamodb:LeadingKeys` holds the partition keys that a request names. `ForAllValues` takes a key that is not
there for met, so without it such a condition would hold for every request. All of this can go once
tests/e2e/test_iam.py passes without it.
"""

import json
import re
from typing import Any

from ministack import app
from ministack.core import iam_actions
from ministack.services import dynamodb

_EQUALITY = re.compile(r"(#?\w+)\s*=\s*(:\w+)")
_known = iam_actions.dynamodb_service_context


def _context(body: bytes) -> dict[str, Any]:
    context: dict[str, Any] = _known(body)
    request = json.loads(body or b"{}")
    table = dynamodb._tables.get(request.get("TableName"))
    if table:
        [name] = [key["AttributeName"] for key in table["KeySchema"] if key["KeyType"] == "HASH"]
        context["dynamodb:LeadingKeys"] = _leading_keys(request, name)
    return context


def _leading_keys(request: dict[str, Any], name: str) -> list[str] | None:
    """Values of the partition key in a request for one item, or in the condition of a Query."""
    item = request.get("Item") or request.get("Key") or {}
    names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
    equalities = _EQUALITY.findall(request.get("KeyConditionExpression", ""))
    found = [values[value] for alias, value in equalities if names.get(alias, alias) == name]
    keys = [next(iter(value.values())) for value in [*([item[name]] if name in item else []), *found]]
    return keys or None


if __name__ == "__main__":
    iam_actions.dynamodb_service_context = _context
    app.main()
