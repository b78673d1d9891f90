"""MiniStack 1.5 with five patches that this stack needs. `python -m local.patched_ministack` runs it.

- IAM: `dynamodb:LeadingKeys` gets the partition keys that a request names. Without it, a `ForAllValues`
  condition holds for every request, because IAM treats a missing key as met.
- IAM: SendMessageBatch needs `sqs:SendMessage`, as on AWS.
- Event sources: MaximumConcurrency may be text, as a parameter's value is. Without the patch, polling stops.
- Lambda: all processes whose functions have the same zip share one unpacked copy. Without the patch, each of
  them unpacks 3,000 files when it starts, which takes a second or more.
- DynamoDB: an expression is parsed once. Without the patch, a Query parses it for each item of the partition,
  and takes five times as long for an item.

Delete the first three once tests/e2e/test_iam.py and test_queue.py pass without them.
"""

import hashlib
import json
import os
import re
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack import app
from ministack.core import iam_actions, lambda_runtime
from ministack.services import dynamodb, lambda_svc

_EQUALITY = re.compile(r"(#?\w+)\s*=\s*(:\w+)")
_known = iam_actions.dynamodb_service_context
_extract_action = iam_actions.extract_iam_action
_limit = lambda_svc._sqs_esm_concurrency


def _context(body: bytes) -> dict[str, Any]:
    context: dict[str, Any] = _known(body)
    request = json.loads(body or b"{}")
    keys: list[str] = []
    for table_name, part in _parts(request):
        if table := dynamodb._tables.get(table_name):
            [name] = [key["AttributeName"] for key in table["KeySchema"] if key["KeyType"] == "HASH"]
            keys += _leading_keys(part, name)
    context["dynamodb:LeadingKeys"] = keys or None
    return context


def _parts(request: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the table and what names a key, of each item of a batch; of another request, itself."""
    if "RequestItems" not in request:
        yield request.get("TableName", ""), request
        return
    for table, wanted in request["RequestItems"].items():
        if isinstance(wanted, dict):
            yield from ((table, {"Key": key}) for key in wanted["Keys"])
        else:
            yield from ((table, one) for write in wanted for one in write.values())


def _leading_keys(request: dict[str, Any], name: str) -> list[str]:
    """Read the partition key from a request for one item, or from the condition of a Query."""
    item = request.get("Item") or request.get("Key") or {}
    names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
    equalities = _EQUALITY.findall(request.get("KeyConditionExpression", ""))
    found = [values[value] for alias, value in equalities if names.get(alias, alias) == name]
    return [next(iter(value.values())) for value in [*([item[name]] if name in item else []), *found]]


def _action(*request: Any) -> str | None:
    action: str | None = _extract_action(*request)
    return "sqs:SendMessage" if action == "sqs:SendMessageBatch" else action


def _concurrency(mapping: dict[str, Any], *rest: Any) -> int:
    scaling = {name: int(value) for name, value in (mapping.get("ScalingConfig") or {}).items()}
    return int(_limit(mapping | {"ScalingConfig": scaling}, *rest))


_unpacked: dict[str, str] = {}
"""The folder of each zip, by the zip's digest. They are deleted with the other temporary files of a stack."""
_unpacking = threading.Lock()


class _SharedZip(zipfile.ZipFile):
    """A zip that is unpacked once. No function writes into its copy: on AWS none can."""

    def extractall(self, path: Any = None, *rest: Any) -> None:
        """Put a link to the copy in place of an empty folder."""
        digest = hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
        with _unpacking:
            if digest not in _unpacked:
                folder = tempfile.mkdtemp(prefix="ministack-code-")
                super().extractall(folder, *rest)
                _unpacked[digest] = folder
        os.rmdir(path)
        os.symlink(_unpacked[digest], path)


if __name__ == "__main__":
    lambda_runtime.zipfile = SimpleNamespace(**vars(zipfile) | {"ZipFile": _SharedZip})
    iam_actions.dynamodb_service_context = _context
    iam_actions.extract_iam_action = _action
    lambda_svc._sqs_esm_concurrency = _concurrency
    for parse in ("_tokenize", "_condition_syntax_error"):
        setattr(dynamodb, parse, lru_cache(1000)(getattr(dynamodb, parse)))
    app.main()
