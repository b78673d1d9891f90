"""Scheduled: plan which (day, shard)s to count, and call a worker for each. It only plans."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from impact import config
from impact.calendar import parse_day
from impact.dynamodb import Store, connect
from impact.observability import logger, metrics
from impact.rollup import DayShard, plan, plan_day

CALLERS = 16
CALLS = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 5},
    max_pool_connections=CALLERS,
)

calendar = config.calendar()
shard_count = config.shard_count()
store = Store.from_environment(connect(read_timeout=5, attempts=5))
lambda_ = boto3.client("lambda", config=CALLS)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Plan what is due; with `{"day": "YYYY-MM-DD"}`, that whole day. Raises what goes wrong."""
    now = datetime.now(UTC)
    day = event.get("day")
    targets = _due(now) if day is None else plan_day(calendar, shard_count, parse_day(day), now)
    with ThreadPoolExecutor(CALLERS) as callers:
        calls = [callers.submit(_call_worker, target) for target in targets]
    for call in calls:  # all are made: one that fails costs no other
        call.result()
    metrics.add_metric("Planned", MetricUnit.Count, len(targets))
    return {"planned": len(targets), "days": sorted({day for day, _ in targets})}


def _due(now: datetime) -> list[DayShard]:
    due = plan(store, calendar, shard_count, now)
    store.put_progress(due.progress)
    metrics.add_metric("RollupLag", MetricUnit.Seconds, due.lag.total_seconds())
    metrics.add_metric("LateMarks", MetricUnit.Count, due.marks)
    metrics.add_metric("OldestLateMark", MetricUnit.Seconds, due.oldest_mark.total_seconds())
    metrics.add_metric("ExpiredMarks", MetricUnit.Count, len(due.expired_marks))
    metrics.add_metric("UnconvertedDays", MetricUnit.Count, due.unconverted_days)
    if due.expired_marks:
        logger.error("late events came too long ago to be counted", marks=due.expired_marks)
    return due.targets


def _call_worker(target: DayShard) -> None:
    day, shard = target
    lambda_.invoke(
        FunctionName=os.environ["ROLLUP_WORKER_FUNCTION"],
        InvocationType="Event",
        Payload=json.dumps({"day": day, "shard": shard}).encode(),
    )
