"""The read API: usage by user, day, platform and dimension; and what the caller used, at /api/me."""

from datetime import UTC, date, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from impact import config
from impact.breakdown_reader import BreakdownReader
from impact.calendar import Calendar
from impact.day_settings import CachedCalendar, effective_calendar
from impact.dynamodb import connect
from impact.http import Event, HttpError, Response, caller, query, respond
from impact.observability import logger
from impact.pages import BadCursor
from impact.store import Store
from impact.usage_reader import LISTERS, TimeLeft, UsageReader
from summaries.parameters import DIMENSION_OF, days_asked, invalid, read_query

MINE = ("GET /api/me/summaries", "GET /api/me/breakdown")
"""Routes whose user is the caller, whatever is in the query."""
RESERVE_SECONDS = 10  # of the function's time limit, not used to compute days from the ledger

store = Store.from_environment(connect(read_timeout=5, attempts=3, connections=LISTERS))
calendar = CachedCalendar(lambda now: effective_calendar(store, config.settings))
terms = config.terms()


@logger.inject_lambda_context(clear_state=True)
def handler(event: Event, context: LambdaContext) -> Response:
    """Answer one GET (HTTP API, payload 2.0)."""
    now = datetime.now(UTC)
    try:
        asked = read_query(event["routeKey"], query(event))
        if event["routeKey"] in MINE:
            asked["userId"] = caller(event)["userId"]
        return respond(200, _answer(asked, calendar(now), now, lambda: _seconds_left(context)))
    except BadCursor as error:
        return invalid("cursor", str(error)).response()
    except HttpError as error:
        return error.response()


def _answer(asked: dict[str, Any], of_days: Calendar, now: datetime, time_left: TimeLeft) -> dict[str, Any]:
    reader, cursor = UsageReader(store, of_days, terms), asked.get("cursor")
    if "day" in asked:
        return reader.day(asked["day"].isoformat(), cursor)
    first, last = days_asked(asked, date.fromisoformat(of_days.day_of(now)))
    if "by" in asked and "userId" in asked:
        return reader.models_of(asked["userId"], asked["by"], first, last)
    breakdown = BreakdownReader(store, of_days)
    if "by" in asked:
        given = {name: asked[name] for name in ("limit", "daily") if name in asked}
        return breakdown.values(asked["by"], first, last, cursor, **given)
    for name in DIMENSION_OF.keys() & asked.keys():
        return {name: asked[name]} | breakdown.days_of(DIMENSION_OF[name], asked[name], first, last)
    if "userId" in asked:
        fresh = asked.get("fresh", False)
        return reader.user(
            asked["userId"], first, last, fresh=fresh, now=now, cursor=cursor, time_left=time_left
        )
    return reader.platform(first, last)


def _seconds_left(context: LambdaContext) -> float:
    return context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
