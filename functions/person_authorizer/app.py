"""Lambda authorizer of what one person may see: their own figures, and the MCP tools.

It knows a person's signed link, a token of the operator's identity provider, and the token of a trusted
server, which names the user of each request itself. The function behind the route finds in its context whose
figures it may show: `{"kind": "link", "userId": "alice"}`, or `{"kind": "server"}`. API Gateway keeps no
answer, so a link that was taken back is refused at once.
"""

import os
import time
from typing import Any

from authorizer.access import LINK, OIDC, ROUTES, SERVER
from authorizer.bearer import bearer_token, digests_of, is_listed
from impact import links
from impact.dynamodb import connect
from impact.identity_provider import IdentityProvider
from impact.link_store import LinkStore
from impact.observability import logger
from impact.oidc import InvalidToken

Context = dict[str, str]

store = LinkStore(connect(read_timeout=2, attempts=3), os.environ["STATE_TABLE"])
servers = digests_of("MCP_TOKEN_HASHES")
provider = IdentityProvider.from_environment()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an HTTP API request authorizer (payload 2.0, simple responses)."""
    who = _who(bearer_token(event), time.time())
    if who is None or who["kind"] not in ROUTES.get(str(event.get("routeKey", "")), set()):
        return {"isAuthorized": False}
    return {"isAuthorized": True, "context": who}


def _who(token: str, now: float) -> Context | None:
    """Tell who presents a token, or None.

    A fault of DynamoDB or of the identity provider is raised: nobody is let in by one, and the API says 500.
    """
    if is_listed(token, servers):
        return {"kind": SERVER}
    try:
        if links.is_link(token):
            return {"kind": LINK, "userId": _user_of_link(token, now)}
        if provider is not None and token:
            return {"kind": OIDC, "userId": provider.user_of(token, now)}
    except (links.InvalidLink, InvalidToken) as reason:
        logger.info("A token was refused: %s", reason)
    return None


def _user_of_link(token: str, now: float) -> str:
    """Return whose link it is. Raises InvalidLink."""
    key = store.key(links.key_number(token))
    if key is None:
        raise links.InvalidLink("there is no such key (any more)")
    link = links.verified(token, key, now)
    if link.generation != store.generation(link.user_id):
        raise links.InvalidLink("it was taken back")
    return link.user_id
