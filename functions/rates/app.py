"""Scheduled: update the fx rates. By hand: store a rate, or correct one."""

import os
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from impact import config
from impact.dynamodb import connect
from impact.fx_update import store_manual_rate, update_fx_rates
from impact.observability import emit, logger, metrics
from impact.store import Store

retention = config.retention()
rates_url = os.environ.get("RATES_URL", "https://www.ecb.europa.eu/stats/eurofxref")
store = Store.from_environment(connect(read_timeout=5, attempts=5))


class RatesIncomplete(Exception):
    """A rate is missing or was rejected. What could be stored is stored."""


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Update the rates, or with `{"date": "YYYY-MM-DD", "usd": "1.1172"}` store that one.

    A correction also needs a `reason`. A rate that has to be confirmed is stored with `"confirm": true`;
    without it, the response says why and what would change. Raises what goes wrong, and RatesIncomplete.
    """
    now = datetime.now(UTC)
    if "date" in event or "usd" in event:
        return _store_manual_rate(event, now)
    updated = update_fx_rates(store, rates_url, retention, now)
    emit("RatesStored", len(updated.stored))
    emit("RatesKeptOut", len(updated.rejected))
    if updated.problems:
        raise RatesIncomplete("; ".join(updated.problems))
    stored = sorted(updated.stored)
    return {"stored": len(stored), "from": stored[0], "to": stored[-1]} if stored else {"stored": 0}


def _store_manual_rate(event: dict[str, Any], now: datetime) -> dict[str, Any]:
    reason, confirm = event.get("reason"), event.get("confirm")
    entered = store_manual_rate(
        store, event.get("date"), event.get("usd"), now, reason=reason, confirm=confirm
    )
    emit("RatesStored", entered.stored)
    return entered.as_response()
