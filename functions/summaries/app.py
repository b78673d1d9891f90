"""GET /api/summaries and /api/totals: usage by user, by day, and of the platform."""

from datetime import UTC, date, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from impact import config
from impact.day_settings import CachedCalendar, effective_calendar
from impact.dynamodb import connect
from impact.http import Event, HttpError, Response, query, respond
from impact.observability import logger
from impact.store import Store
from impact.usage_reader import LISTERS, BadCursor, TimeLeft, UsageReader
from summaries.parameters import days_asked, invalid, read_query

RESERVE_SECONDS = 10  # of the function's time limit, not used to compute days from the ledger

store = Store.from_environment(connect(read_timeout=5, attempts=3, connections=LISTERS))
calendar = CachedCalendar(lambda now: effective_calendar(store, config.settings))
terms = config.terms()


@logger.inject_lambda_context(clear_state=True)
def handler(event: Event, context: LambdaContext) -> Response:
    """Answer one GET (HTTP API, payload 2.0)."""
    now = datetime.now(UTC)
    try:
        reader = UsageReader(store, calendar(now), terms)
        asked = read_query(event["routeKey"], query(event))
        return respond(200, _answer(reader, asked, now, lambda: _seconds_left(context)))
    except BadCursor as error:
        return invalid("cursor", str(error)).response()
    except HttpError as error:
        return error.response()


def _answer(reader: UsageReader, asked: dict[str, Any], now: datetime, time_left: TimeLeft) -> dict[str, Any]:
    cursor = asked.get("cursor")
    if "day" in asked:
        return reader.day(asked["day"].isoformat(), cursor)
    first, last = days_asked(asked, date.fromisoformat(reader.calendar.day_of(now)))
    if "userId" in asked:
        fresh = asked.get("fresh", False)
        return reader.user(
            asked["userId"], first, last, fresh=fresh, now=now, cursor=cursor, time_left=time_left
        )
    return reader.platform(first, last)


def _seconds_left(context: LambdaContext) -> float:
    return context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
