"""The way from a person's page to the operator's identity provider: `GET /sign-in?nonce=...`.

The provider sends the browser back to `/me` with an id token in the fragment, which reaches no server and no
log. The page must have made the nonce, and must find it again in `state` and in the token.

The page's address is the domain name of the request. API Gateway serves no other names than its own and the
operator's custom domains, and the provider sends tokens only to addresses that are registered with it. So a
made-up Host header leads nowhere.
"""

import re
import time
from urllib.parse import urlencode, urlsplit, urlunsplit

from impact.http import Event, HttpError, Response, own_origin, query
from impact.identity_provider import Authorization, IdentityProvider, IssuerUnavailable
from impact.observability import logger
from impact.oidc import Terms

_NONCE = re.compile("[A-Za-z0-9_-]{43}", re.ASCII)  # 32 random bytes
_SCOPES = {"sub": "openid", "email": "openid email"}
"""What to ask for so that a claim is in the token. Any other one comes with `profile`, if at all."""

provider = IdentityProvider.from_environment()


def sign_in(event: Event) -> Response:
    """Send a browser to the identity provider.

    404 if none is set up, 400 without a nonce (43 characters of base64url), 503 while it does not answer.
    """
    try:
        return {"statusCode": 302, "headers": {"location": _location(event)}, "body": ""}
    except HttpError as error:
        return error.response()


def _location(event: Event) -> str:
    if provider is None:
        raise HttpError(404, "not_found", "No identity provider is set up.")
    nonce = query(event).get("nonce", "")
    if not _NONCE.fullmatch(nonce):
        raise HttpError(400, "invalid", "The nonce must be 43 characters of base64url.")
    try:
        authorization = provider.authorization(time.time())
    except IssuerUnavailable as fault:
        logger.warning("The identity provider is not available: %s", fault)
        raise HttpError(503, "unavailable", "The identity provider does not answer. Try again.") from fault
    return _url(authorization, provider.terms, f"{own_origin(event)}/me", nonce)


def _url(authorization: Authorization, terms: Terms, redirect_uri: str, nonce: str) -> str:
    """The URL at which the provider signs the browser's user in (OpenID Connect Core 1.0, 3.2.2.1)."""
    types = authorization.response_types
    # Amazon Cognito knows no `id_token`; its `token` brings an id token, too.
    response_type = "token" if "token" in types and "id_token" not in types else "id_token"
    asked = urlencode(
        {
            "response_type": response_type,
            "response_mode": "fragment",
            "client_id": terms.audience,
            "redirect_uri": redirect_uri,
            "scope": _SCOPES.get(terms.user_claim, "openid profile"),
            "nonce": nonce,
            "state": nonce,
        }
    )
    endpoint = urlsplit(authorization.endpoint)
    return urlunsplit(endpoint._replace(query="&".join(filter(None, [endpoint.query, asked])), fragment=""))
