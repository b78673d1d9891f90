"""Scheduled: plan which (day, shard)s to recompute, and send each to RollupQueue, for a worker."""

import os
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from impact import config, rollup_queue
from impact.calendar import Calendar, parse_day
from impact.corrections import finish_corrections
from impact.day_settings import apply_parameters, ensure_calendar
from impact.dynamodb import connect
from impact.observability import emit, logger, metrics
from impact.rollup_planner import plan, plan_day, store_daily_totals
from impact.store import Store
from impact.types import DayShard

RESERVE_SECONDS = 10  # of the function's time limit, not used for daily totals

store = Store.from_environment(connect(read_timeout=5, attempts=5))
sqs = rollup_queue.connect()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Plan what is due, or with `{"day": "YYYY-MM-DD"}` that whole day. Raises what goes wrong."""
    now = datetime.now(UTC)
    day = event.get("day")
    calendar = ensure_calendar(store, config.settings, now)
    targets = _due(calendar, now) if day is None else plan_day(calendar, parse_day(day), now)
    answer = {"planned": len(targets), "days": sorted({day for day, _ in targets})}
    if queue_url := os.environ.get("ROLLUP_QUEUE_URL"):
        rollup_queue.send(sqs, queue_url, targets)
    else:
        answer["counted"] = _recompute(targets)
    emit("Planned", len(targets))
    if day is None:
        _store_daily_totals(calendar, now, context)
        _apply_parameters(now)
    return answer


def _due(calendar: Calendar, now: datetime) -> list[DayShard]:
    store.state.migrate_old_marks(now)
    for correction in finish_corrections(store, calendar, now):
        logger.info("finished a correction", number=correction.number, days=len(correction.days))
    due = plan(store, calendar, now)
    store.state.put_progress(due.progress)
    store.state.delete_cleared_marks(before=calendar.oldest_day(now))
    emit("RollupLag", due.lag.total_seconds(), MetricUnit.Seconds)
    emit("LateMarks", due.marks)
    emit("OldestLateMark", due.oldest_mark.total_seconds(), MetricUnit.Seconds)
    emit("ExpiredMarks", len(due.expired_marks))
    emit("UnconvertedDays", due.unconverted_days)
    if due.expired_marks:
        logger.error("late events expired before they were counted", marks=due.expired_marks)
    return due.targets


def _recompute(targets: list[DayShard]) -> int:
    """Recompute each target here: `sam local` has no queue. Raises the first failure after all have run."""
    from rollup_worker.app import recompute_shard  # here, since on AWS it would only slow the cold start

    logger.warning("ROLLUP_QUEUE_URL is empty: the planner recomputes without workers", targets=len(targets))
    failures = []
    for day, shard in targets:
        try:
            recompute_shard(day, shard)
        except Exception as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    return len(targets)


def _store_daily_totals(calendar: Calendar, now: datetime, context: LambdaContext) -> None:
    def time_left() -> float:
        return context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS

    if progress := store.state.progress():
        store_daily_totals(store, calendar, progress.watermark, now, time_left)


def _apply_parameters(now: datetime) -> None:
    """Schedule changed parameters for days to come. Raises InvalidSettings, after all else is done."""
    period = apply_parameters(store, config.settings(), now)
    if period:
        settings = period.settings
        logger.info(
            "settings will change",
            first_day=period.first_day,
            time_zone=settings.zone.key,
            retention_days=settings.retention.days,
            shard_count=settings.shard_count,
        )
