"""GET / and /me: the pages, their files, and what they must know before anybody has signed in.

Standard library only, to start fast. The files are the same for everybody and hold no figure: figures come
from the API, with the token of whoever looks.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
FILES = {path.relative_to(STATIC).as_posix(): path.read_text("utf-8") for path in sorted(STATIC.rglob("*.*"))}
"""All files by their path. No path of a request ever names a file of the disk."""
VERSION = hashlib.sha256(json.dumps(FILES).encode()).hexdigest()[:16]
"""Changes with any file, and is part of every asset's URL: so a browser may keep an asset for good."""
PAGES = {"GET /": "index.html", "GET /me": "me.html"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
}
FOR_GOOD, ASK_AGAIN, NEVER = "public, max-age=31536000, immutable", "no-cache", "no-store"


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one GET (HTTP API, payload 2.0)."""
    route = event["routeKey"]
    if route in PAGES:
        return _file(PAGES[route], ASK_AGAIN)
    if route == "GET /config.json":
        return _respond(200, "application/json", json.dumps(_config()), ASK_AGAIN)
    if route == "GET /sign-in":
        from page.sign_in import sign_in  # only here: it knows the identity provider

        response = sign_in(event)
        return response | {"headers": HEADERS | {"cache-control": NEVER} | response["headers"]}
    version, _, name = event["pathParameters"]["path"].partition("/")
    return _file(name, FOR_GOOD if version == VERSION else NEVER)


def _config() -> dict[str, Any]:
    has_provider = bool(os.environ.get("OIDC_ISSUER") and os.environ.get("OIDC_AUDIENCE"))
    return {"timeZone": os.environ.get("REPORTING_TIME_ZONE", "UTC"), "oidc": has_provider}


def _file(name: str, caching: str) -> dict[str, Any]:
    if name not in FILES:
        error = {"error": {"code": "not_found", "message": "There is no such file.", "details": []}}
        return _respond(404, "application/json", json.dumps(error), NEVER)
    text = FILES[name]
    kind = TYPES[Path(name).suffix]
    return _respond(200, kind, text.replace("{version}", VERSION) if kind == "text/html" else text, caching)


def _respond(status: int, kind: str, body: str, caching: str) -> dict[str, Any]:
    headers = HEADERS | {"content-type": f"{kind}; charset=utf-8", "cache-control": caching}
    return {"statusCode": status, "headers": headers, "body": body}
