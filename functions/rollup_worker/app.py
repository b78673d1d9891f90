"""Recompute one (day, shard), `{"day": "2026-11-23", "shard": 7}`, alone or in a message of RollupQueue."""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from impact import config, rollup_queue
from impact.calendar import parse_day
from impact.day_settings import effective_calendar
from impact.dynamodb import connect
from impact.observability import emit, logger, metrics
from impact.recompute import recompute
from impact.store import Store

terms = config.terms()
store = Store.from_environment(connect(read_timeout=20, attempts=8))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Recompute, and return what was found. Raises what goes wrong: SQS then delivers the message again.

    After the last failure the message counts as done, and lies in the dead-letter queue with the cause.
    """
    if "Records" not in event:
        return recompute_shard(event.get("day"), event.get("shard"))
    [message] = event["Records"]  # BatchSize is 1
    call = json.loads(message["body"])
    receives = int(message["attributes"]["ApproximateReceiveCount"])
    try:
        return recompute_shard(call.get("day"), call.get("shard"))
    except Exception as error:
        if receives < int(os.environ["ROLLUP_RECEIVES_MAX"]):
            raise
        logger.exception("failed for the last time", call=call)
        _put_failed(call, error, receives, context)
        return {"failed": call}


def recompute_shard(day: object, shard: object) -> dict[str, Any]:
    """Recompute one (day, shard), and return what was found. Raises what goes wrong."""
    day = parse_day(day)
    if type(shard) is not int:
        raise ValueError("shard must be a whole number")
    calendar = effective_calendar(store, config.settings)
    done = recompute(store, calendar, terms, day, shard, as_of=datetime.now(UTC))
    emit("EventsCounted", done.events)
    emit("SummariesWritten", done.summaries_written)
    emit("NewUnpricedModels", len(done.new_unpriced))
    if done.new_unpriced:
        logger.warning("no price is known of these models", models=done.new_unpriced)
    logger.info("recomputed", day=day, shard=shard, **asdict(done))
    return {"day": day, "shard": shard} | asdict(done)


def _put_failed(call: Any, error: Exception, receives: int, context: LambdaContext) -> None:
    """Put a call into FailedRollups, in the form of Lambda's own records: SQS would not record the cause.

    Raises what goes wrong: SQS then moves the message itself.
    """
    record = {
        "requestContext": {
            "functionArn": context.invoked_function_arn,
            "condition": "RetriesExhausted",
            "approximateInvokeCount": receives,
        },
        "requestPayload": call,
        "responsePayload": {"errorType": type(error).__name__, "errorMessage": str(error)},
    }
    sqs = rollup_queue.connect()
    sqs.send_message(QueueUrl=os.environ["FAILED_ROLLUPS_URL"], MessageBody=json.dumps(record))
