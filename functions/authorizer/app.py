"""Lambda authorizer: a bearer token allows the routes of its kind. Standard library only, to start fast.

The stack holds SHA-256 digests, never a token. Several tokens can be valid at once, to rotate them.
API Gateway caches the answer by token and route.
"""

from typing import Any

from authorizer.access import INGEST, READ, ROUTES
from authorizer.bearer import bearer_token, digests_of, is_listed

_DIGESTS = {INGEST: digests_of("INGEST_TOKEN_HASHES"), READ: digests_of("READ_TOKEN_HASHES")}


def handler(event: dict[str, Any], context: object) -> dict[str, bool]:
    """Answer an HTTP API request authorizer (payload 2.0, simple responses)."""
    token = bearer_token(event)
    kinds = ROUTES.get(str(event.get("routeKey", "")), set())
    return {"isAuthorized": any(is_listed(token, _DIGESTS[kind]) for kind in kinds & _DIGESTS.keys())}
