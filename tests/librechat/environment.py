"""The addresses of LibreChat, fake providers and stack, from environment variables."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
from dotenv import dotenv_values

from local.waiting import PATIENCE_SECONDS
from tests.librechat.oracle import Event

JSON = dict[str, Any]

NEEDED = {
    "LIBRECHAT_URL": "a LibreChat with deploy/librechat.yaml, in front of LiteLLM with the callback",
    "LIBRECHAT_PROVIDER_URL": "the fake providers behind that LiteLLM (python -m local.fake_providers)",
    "LIBRECHAT_STACK": "the file .local.env of the `make local` that this LiteLLM reports to",
}


def missing(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return a line for each setting that the tests need and that is missing."""
    lines = [f"{name} is not set: {what}" for name, what in NEEDED.items() if not environ.get(name)]
    stack = environ.get("LIBRECHAT_STACK")
    if stack and not Path(stack).is_file():
        lines.append(f"LIBRECHAT_STACK: there is no file {stack}; is `make local` running?")
    return lines


@dataclass(frozen=True)
class Environment:
    """The running services."""

    librechat: str
    provider: str
    stack: Mapping[str, str]
    """`.local.env`"""

    @classmethod
    def from_environment(cls) -> Environment:
        url, provider, stack = (os.environ[name] for name in NEEDED)
        values = {name: value or "" for name, value in dotenv_values(stack).items()}
        return cls(url.rstrip("/"), provider.rstrip("/"), values)

    def journal(self, user_id: str) -> Sequence[JSON]:
        """The journal entries of a user's calls."""
        entries: list[JSON] = self._get(f"{self.provider}/journal")
        return [entry for entry in entries if entry["user"] == user_id]

    def release(self, what: str) -> None:
        """Release a call that the providers hold, or only its status."""
        request = urllib.request.Request(f"{self.provider}/held/{what}", method="DELETE")
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            response.read()

    def ledger(self) -> Iterator[Event]:
        """All items of the ledger."""
        table = f"{self.stack['IMPACT_STACK']}-RequestEvents"
        for page in self._dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            yield from page["Items"]

    def total(self, user_id: str) -> JSON:
        """A user's total, which the API computes from the ledger."""
        return self._total(userId=user_id, fresh="true")

    def counted(self, user_id: str) -> JSON:
        """A user's total of this month, as the rollup last counted it."""
        return self._total(userId=user_id, **{"from": f"{datetime.now(UTC):%Y-%m}-01"})

    def _total(self, **query: str) -> JSON:
        api = self.stack["IMPACT_SERVICE_URL"].removesuffix("/request-event")
        total: JSON = self._get(f"{api}/summaries?{urlencode(query)}", self.stack["IMPACT_READ_TOKEN"])[
            "total"
        ]
        return total

    @cached_property
    def _dynamodb(self) -> Any:
        session = boto3.Session(
            region_name=self.stack["AWS_REGION"],
            aws_access_key_id=self.stack["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.stack["AWS_SECRET_ACCESS_KEY"],
        )
        # The client of a resource converts numbers and texts to Python's types.
        return session.resource("dynamodb", endpoint_url=self.stack["AWS_ENDPOINT_URL"]).meta.client

    def _get(self, url: str, token: str = "") -> Any:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return json.load(response, parse_float=Decimal)
