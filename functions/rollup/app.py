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
from impact.calendar import Calendar, parse_day
from impact.dynamodb import Store, connect
from impact.observability import logger, metrics
from impact.rollup import DayShard, plan, plan_day
from impact.settings import carry_out, established

CALLERS = 16
CALLS = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 5},
    max_pool_connections=CALLERS,
)

store = Store.from_environment(connect(read_timeout=5, attempts=5))
lambda_ = boto3.client("lambda", config=CALLS)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Plan what is due; with `{"day": "YYYY-MM-DD"}`, that whole day. Raises what goes wrong."""
    now = datetime.now(UTC)
    day = event.get("day")
    calendar = established(store, config.settings, now)
    targets = _due(calendar, now) if day is None else plan_day(calendar, parse_day(day), now)
    with ThreadPoolExecutor(CALLERS) as callers:
        calls = [callers.submit(_call_worker, target) for target in targets]
    for call in calls:  # all are made: one that fails costs no other
        call.result()
    metrics.add_metric("Planned", MetricUnit.Count, len(targets))
    if day is None:
        _carry_out_settings(now)
    return {"planned": len(targets), "days": sorted({day for day, _ in targets})}


def _due(calendar: Calendar, now: datetime) -> list[DayShard]:
    store.take_over_marks(now)
    due = plan(store, calendar, now)
    store.put_progress(due.progress)
    store.forget_marks(before=calendar.oldest_day(now))
    metrics.add_metric("RollupLag", MetricUnit.Seconds, due.lag.total_seconds())
    metrics.add_metric("LateMarks", MetricUnit.Count, due.marks)
    metrics.add_metric("OldestLateMark", MetricUnit.Seconds, due.oldest_mark.total_seconds())
    metrics.add_metric("ExpiredMarks", MetricUnit.Count, len(due.expired_marks))
    metrics.add_metric("UnconvertedDays", MetricUnit.Count, due.unconverted_days)
    if due.expired_marks:
        logger.error("late events came too long ago to be counted", marks=due.expired_marks)
    return due.targets


def _carry_out_settings(now: datetime) -> None:
    """Let changed parameters hold for days to come. Raises SettingsRefused, once all else is done."""
    period = carry_out(store, config.settings(), now)
    if period:
        settings = period.settings
        logger.info(
            "settings are to change",
            first_day=period.first_day,
            time_zone=settings.zone.key,
            retention_days=settings.retention.days,
            shard_count=settings.shard_count,
        )


def _call_worker(target: DayShard) -> None:
    day, shard = target
    lambda_.invoke(
        FunctionName=os.environ["ROLLUP_WORKER_FUNCTION"],
        InvocationType="Event",
        Payload=json.dumps({"day": day, "shard": shard}).encode(),
    )
