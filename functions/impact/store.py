"""The stores of a stack: the ledger, the summaries, and what lies in State."""

import os
from dataclasses import dataclass
from typing import Any

from impact.breakdown_store import BreakdownStore
from impact.ledger_store import LedgerStore
from impact.link_store import LinkStore
from impact.name_store import NameStore
from impact.price_store import PriceStore
from impact.state_store import StateStore
from impact.summary_store import SummaryStore


@dataclass(frozen=True)
class Store:
    """A stack's tables."""

    ledger: LedgerStore
    summaries: SummaryStore
    state: StateStore
    prices: PriceStore
    breakdowns: BreakdownStore
    names: NameStore
    links: LinkStore

    @classmethod
    def of(cls, client: Any, events: str, summaries: str, state: str) -> "Store":
        """Take the tables by their names."""
        return cls(
            LedgerStore(client, events),
            SummaryStore(client, summaries),
            StateStore(client, state),
            PriceStore(client, state),
            BreakdownStore(client, state),
            NameStore(client, state),
            LinkStore(client, state),
        )

    @classmethod
    def from_environment(cls, client: Any) -> "Store":
        return cls.of(
            client,
            events=os.environ["REQUEST_EVENTS_TABLE"],
            summaries=os.environ["DAILY_SUMMARIES_TABLE"],
            state=os.environ["STATE_TABLE"],
        )

    @property
    def client(self) -> Any:
        return self.ledger.client
