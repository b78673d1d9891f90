"""GET /api/summaries and /api/totals: what was summed up, by user, by day, for the platform."""

from datetime import UTC, date, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from impact import config
from impact.dynamodb import Store, connect
from impact.http import Event, HttpError, Response, query, respond
from impact.observability import logger
from impact.reading import BadCursor, Reader
from impact.settings import CalendarInMemory, in_force
from summaries.parameters import days_asked, invalid, read_query

store = Store.from_environment(connect(read_timeout=5, attempts=3))
calendar = CalendarInMemory(lambda now: in_force(store, config.settings))
terms = config.terms()


@logger.inject_lambda_context(clear_state=True)
def handler(event: Event, context: LambdaContext) -> Response:
    """Answer one GET (HTTP API, payload 2.0)."""
    now = datetime.now(UTC)
    try:
        reader = Reader(store, calendar(now), terms)
        return respond(200, _answer(reader, read_query(event["routeKey"], query(event)), now))
    except HttpError as error:
        return error.response()


def _answer(reader: Reader, asked: dict[str, Any], now: datetime) -> dict[str, Any]:
    if "day" in asked:
        try:
            return reader.day(asked["day"].isoformat(), asked.get("cursor"))
        except BadCursor as error:
            raise invalid("cursor", str(error)) from None
    first, last = days_asked(asked, date.fromisoformat(reader.calendar.day_of(now)))
    if "userId" in asked:
        return reader.user(asked["userId"], first, last, fresh=asked.get("fresh", False), now=now)
    return reader.platform(first, last)
