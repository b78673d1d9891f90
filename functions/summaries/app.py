"""GET /api/summaries and /api/totals: what was summed up, by user, by day, for the platform."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from impact import config
from impact.dynamodb import Store, connect
from impact.http import Event, HttpError, Response, query, respond
from impact.keys import SORT_KEY_BYTES, has_room
from impact.observability import logger
from impact.reading import BadCursor, Reader
from request_events.rules import USER_ID_MAX

DEFAULT_DAYS = 30
DAYS_MAX = 366
YEARS = range(2000, 3000)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", flags=re.ASCII)

reader = Reader(
    Store.from_environment(connect(read_timeout=5, attempts=4)),
    config.calendar(),
    config.shard_count(),
    config.terms(),
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: Event, context: LambdaContext) -> Response:
    """Answer one GET (HTTP API, payload 2.0)."""
    parameters = query(event)
    now = datetime.now(UTC)
    try:
        if event["routeKey"] == "GET /api/totals":
            return respond(200, reader.platform(*_range(parameters, now)))
        return respond(200, _summaries(parameters, now))
    except HttpError as error:
        return error.response()


def _summaries(parameters: dict[str, str], now: datetime) -> dict[str, Any]:
    if ("userId" in parameters) == ("day" in parameters):
        raise _invalid("userId", "or day must be given, and not both")
    if "day" in parameters:
        try:
            return reader.day(_date(parameters, "day").isoformat(), parameters.get("cursor"))
        except BadCursor as error:
            raise _invalid("cursor", str(error)) from None
    user_id = parameters["userId"]
    if not 1 <= len(user_id) <= USER_ID_MAX or not has_room(user_id):
        raise _invalid("userId", f"must have 1 to {USER_ID_MAX} characters, and fit {SORT_KEY_BYTES} bytes")
    first, last = _range(parameters, now)
    return reader.user(user_id, first, last, fresh=_flag(parameters, "fresh"), now=now)


def _range(parameters: dict[str, str], now: datetime) -> tuple[str, str]:
    """Read from and to; without them the last 30 days, today included. Raises HttpError."""
    last = _date(parameters, "to") if "to" in parameters else date.fromisoformat(reader.calendar.day_of(now))
    first = _date(parameters, "from") if "from" in parameters else last - timedelta(days=DEFAULT_DAYS - 1)
    days = (last - first).days + 1
    if days < 1:
        raise _invalid("from", "must not be after to")
    if days > DAYS_MAX:
        raise _invalid("from", f"must give at most {DAYS_MAX} days, to included")
    return first.isoformat(), last.isoformat()


def _date(parameters: dict[str, str], name: str) -> date:
    text = parameters[name]
    try:
        if _DATE.fullmatch(text) and (day := date.fromisoformat(text)).year in YEARS:
            return day
    except ValueError:
        pass
    raise _invalid(name, "must be a date, YYYY-MM-DD")


def _flag(parameters: dict[str, str], name: str) -> bool:
    text = parameters.get(name, "false")
    if text not in ("true", "false"):
        raise _invalid(name, "must be true or false")
    return text == "true"


def _invalid(field: str, message: str) -> HttpError:
    return HttpError(422, "invalid", f"{field} {message}.", [{"field": field, "message": message}])
