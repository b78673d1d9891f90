"""The three stores of a stack: the ledger, the summaries and State."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from impact.ledger_store import LedgerStore
from impact.state_store import StateStore
from impact.summary_store import SummaryStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class Store:
    """A stack's tables."""

    ledger: LedgerStore
    summaries: SummaryStore
    state: StateStore

    @classmethod
    def of(cls, client: "DynamoDBClient", events: str, summaries: str, state: str) -> "Store":
        """Take the tables by their names."""
        return cls(LedgerStore(client, events), SummaryStore(client, summaries), StateStore(client, state))

    @classmethod
    def from_environment(cls, client: "DynamoDBClient") -> "Store":
        return cls.of(
            client,
            events=os.environ["REQUEST_EVENTS_TABLE"],
            summaries=os.environ["DAILY_SUMMARIES_TABLE"],
            state=os.environ["STATE_TABLE"],
        )

    @property
    def client(self) -> "DynamoDBClient":
        return self.ledger.client
