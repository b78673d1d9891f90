"""Count one (day, shard): `{"day": "2026-11-23", "shard": 7}`."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from impact import config
from impact.calendar import parse_day
from impact.dynamodb import Store, connect
from impact.observability import logger, metrics
from impact.rollup import count
from impact.settings import in_force

terms = config.terms()
store = Store.from_environment(connect(read_timeout=20, attempts=8))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Count, and say what was found. Raises what goes wrong, so that Lambda tries again."""
    day, shard = parse_day(event.get("day")), event.get("shard")
    if type(shard) is not int:
        raise ValueError("shard must be a whole number")
    calendar = in_force(store, config.settings)
    counted = count(store, calendar, terms, day, shard, as_of=datetime.now(UTC))
    metrics.add_metric("EventsCounted", MetricUnit.Count, counted.events)
    metrics.add_metric("SummariesWritten", MetricUnit.Count, counted.summaries_written)
    logger.info("counted", day=day, shard=shard, **asdict(counted))
    return {"day": day, "shard": shard} | asdict(counted)
