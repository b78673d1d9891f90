"""POST /mcp: tools with which a chat tells users what they used."""

from datetime import UTC, datetime

from aws_lambda_powertools.utilities.typing import LambdaContext

from impact import config
from impact.day_settings import CachedCalendar, effective_calendar
from impact.dynamodb import connect
from impact.http import Event, HttpError, Response, respond
from impact.observability import logger
from impact.store import Store
from impact.usage_reader import UsageReader
from mcp_server.caller import user_of
from mcp_server.protocol import JSON, NoSuchTool, ToolFailed, answer
from mcp_server.tools import SERVER, Tools

store = Store.from_environment(connect(read_timeout=5, attempts=3))
calendar = CachedCalendar(lambda now: effective_calendar(store, config.settings))
terms = config.terms()

ROUTE = "POST /mcp"


@logger.inject_lambda_context(clear_state=True)
def handler(event: Event, context: LambdaContext) -> Response:
    """Answer one request (HTTP API, payload 2.0). Raises where no authorizer has checked the token."""
    now = datetime.now(UTC)
    if event["routeKey"] != ROUTE:
        return _only_post()
    try:
        user_id = user_of(event)
    except HttpError as error:
        return error.response()

    def call_tool(name: str, arguments: JSON) -> JSON:
        try:
            return Tools(UsageReader(store, calendar(now), terms), user_id, now).call(name, arguments)
        except NoSuchTool:
            raise
        except Exception as fault:
            logger.exception("A tool failed.")
            raise ToolFailed from fault

    return answer(event, SERVER, call_tool)


def _only_post() -> Response:
    """Refuse GET and DELETE: there is no stream of events to read, and no session to end."""
    refused = HttpError(
        405, "method_not_allowed", "Send each message by POST: there are no streams or sessions."
    )
    return respond(refused.status, refused.body, {"allow": "POST"})
