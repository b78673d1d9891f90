"""Reads usage from the service, and sends events to it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, cast

import requests
import simplejson
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from impact_client.errors import ImpactError, Rejected, Unauthorized, Unavailable
from impact_client.responses import Breakdown, Dimension, Summary, Totals, Usage, ValueField, ValueUsage
from impact_client.version import version

ATTEMPTS = 4
"""Attempts of a call, the first one included: each can be repeated without harm, a POST of events too."""
BACKOFF_SECONDS = 0.5
"""Pause before the third attempt; it doubles with each further one, and as much again by chance."""
TIMEOUT_SECONDS = 35.0
"""Longest wait for a response: more than the 30 s of an HTTP API."""
EVENTS_PATH = "/api/request-event"
NO_EVENTS = 422
"""Status of the response to an empty array."""
SERVER_ERROR = 500

_COUNTS = {
    *("requests", "failures", "tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning", "users"),
    *("rated", "unrated", "unpriced", "estimated", "repriced", "created", "duplicates", "index"),
}
"""Fields that are whole numbers. All other numbers are Decimal, whole or not."""


class _BearerToken(requests.auth.AuthBase):
    """Sends the token, and nothing that a `.netrc` has for the host."""

    def __init__(self, token: str):
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _no_token(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send no Authorization, also if a `.netrc` has the host."""
    return request


class Impact:
    """A service, by the URL of its API.

    Calls honour the proxies of the environment, and are repeated after a 429, a 5xx or a lost connection.
    Each raises Unauthorized, Rejected or Unavailable, all of them ImpactError.
    """

    def __init__(self, url: str, *, read_token: str | None = None, ingest_token: str | None = None):
        """`url` may be that of the API, or IMPACT_SERVICE_URL, which ends with /api/request-event."""
        self.url = url.rstrip("/").removesuffix(EVENTS_PATH)
        self._read_token = read_token
        self._ingest_token = ingest_token
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"impact-client/{version()}"
        retry = Retry(
            total=ATTEMPTS - 1,
            backoff_factor=BACKOFF_SECONDS,
            backoff_jitter=BACKOFF_SECONDS,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def usage(
        self, user_id: str, first: str | None = None, last: str | None = None, *, fresh: bool = False
    ) -> Usage:
        """Read a user's days with use from the first to the last day (YYYY-MM-DD), and their sum.

        Without days: the last 30. `fresh` computes days that are not final from the ledger, now; `notFresh`
        names those that there was no time for. At most 366 days.
        """
        query = _days(first, last) | {"userId": user_id} | ({"fresh": "true"} if fresh else {})
        pages = self._pages("/api/summaries", query)
        usage = next(pages)
        for page in pages:
            usage["days"] += page["days"]
        return cast("Usage", usage)

    def day(self, day: str) -> Iterator[Summary]:
        """Yield the summary of every user of a day, page by page, always in the same order."""
        for page in self._pages("/api/summaries", {"day": day}):
            yield from page["items"]

    def totals(self, first: str | None = None, last: str | None = None) -> Totals:
        """Read the platform's days with use from the first to the last day, and their sum."""
        return cast("Totals", self._read("/api/totals", _days(first, last)))

    def breakdown(self, by: Dimension, first: str | None = None, last: str | None = None) -> Breakdown:
        """Read what each user, team, key, tag, model or provider did in some days, the dearest first.

        The last item may be the rest (`rest`): what did not stand by itself. At most 366 days.
        """
        pages = self._pages("/api/breakdown", _days(first, last) | {"by": by})
        breakdown = next(pages)
        for page in pages:
            breakdown["items"] += page["items"]
            breakdown["final"] &= page["final"]
        return cast("Breakdown", breakdown)

    def usage_of(
        self, field: ValueField, value: str, first: str | None = None, last: str | None = None
    ) -> ValueUsage:
        """Read the days of a team (`teamId`), a key (`keyAlias`) or a tag (`tag`), and their sum."""
        return cast("ValueUsage", self._read("/api/summaries", _days(first, last) | {field: value}))

    def today(self) -> str:
        """The current day in the service's reporting time zone."""
        return self.totals()["to"]

    def send(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Send an event. Returns its `eventId`, and as `status` `created`, or `duplicate` if it was there."""
        return self._send(event)

    def send_many(self, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Send up to 500 events. Returns how many were `created`, `duplicates`, and which were `rejected`."""
        return self._send(events)

    def clock(self) -> datetime:
        """The time by the service's clock, to the second. No token is needed."""
        response = self._request("GET", "/api/totals", None)
        if response.status_code >= SERVER_ERROR:
            raise self._error(response, "read")
        try:
            return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
        except (KeyError, ValueError):
            raise ImpactError(f"{self.url} does not say what time it is: its response has no Date.") from None

    def check_ingest_token(self) -> None:
        """Raise Unauthorized if the ingest token is not valid. Sends no event."""
        if not self._ingest_token:
            raise Unauthorized("No ingest token was given.")
        response = self._request("POST", EVENTS_PATH, self._ingest_token, **_json([]))
        if response.ok or response.is_redirect:
            raise ImpactError(f"{self.url} is not the API of an Impact Service: it takes anything.")
        if response.status_code != NO_EVENTS:
            raise self._error(response, "ingest")

    def _send(self, body: Any) -> dict[str, Any]:
        return self._call("POST", EVENTS_PATH, self._ingest_token, "ingest", **_json(body))

    def _pages(self, path: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        cursor: dict[str, str] = {}
        while True:
            page = self._read(path, query | cursor)
            following = page.pop("next", None)
            yield page
            if not following:
                return
            cursor = {"cursor": following}

    def _read(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        return self._call("GET", path, self._read_token, "read", params=query)

    def _call(self, method: str, path: str, token: str | None, kind: str, **what: Any) -> dict[str, Any]:
        if not token:
            raise Unauthorized(f"No {kind} token was given.")
        response = self._request(method, path, token, **what)
        if not response.ok or response.is_redirect:
            raise self._error(response, kind)
        return self._parsed(response, *(("eventId", "created") if method == "POST" else ("days", "items")))

    def _request(self, method: str, path: str, token: str | None, **what: Any) -> requests.Response:
        if token and not (token.isascii() and token.isprintable()):
            raise Unauthorized("The token has characters that no token has.")  # it may be another secret
        try:
            return self._session.request(
                method,
                self.url + path,
                auth=_BearerToken(token) if token else _no_token,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
                **what,
            )
        except (requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema, ValueError) as error:
            raise ImpactError(
                f"{self.url!r} is not a URL, such as https://abc.example.com: {error}"
            ) from None
        except requests.RequestException as error:
            raise Unavailable(f"No response from {self.url}: {_reason(error)}") from error

    def _parsed(self, response: requests.Response, *either: str) -> dict[str, Any]:
        """Parse a response, which has one of these fields."""
        try:
            parsed = json.loads(response.content, parse_float=Decimal, object_hook=_exact)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict) or not any(name in parsed for name in either):
            raise self._other_service("its response is not one of the API's.")
        return parsed

    def _error(self, response: requests.Response, kind: str) -> ImpactError:
        """Make an error of a response, with the service's own words."""
        url, status = response.url.partition("?")[0], response.status_code
        code = f"HTTP {status} {response.reason}".rstrip()
        try:
            error = response.json()["error"]
            message, details = str(error["message"]), error["details"]
        except (ValueError, KeyError, TypeError):
            message, details = code, None
        if status in (401, 403):
            return Unauthorized(f"The {kind} token is not valid for {url} ({message}).")
        if details is None and status in (404, 405):
            return self._other_service(f"{code}.")
        if 400 <= status < 500 and status != 429:
            return Rejected(message if details is not None else f"{url}: {code}", details or ())
        return Unavailable(f"{url}: {message}")

    def _other_service(self, why: str) -> ImpactError:
        return ImpactError(f"{self.url} is not the API of an Impact Service: {why}")


def _exact(fields: dict[str, Any]) -> dict[str, Any]:
    """Make whole amounts Decimal too: a cost of 1 is not of another type than one of 1.5."""
    return {
        name: Decimal(value) if type(value) is int and name not in _COUNTS else value
        for name, value in fields.items()
    }


def _json(body: Any) -> dict[str, Any]:
    content = simplejson.dumps(body, use_decimal=True)
    return {"data": content, "headers": {"Content-Type": "application/json"}}


def _days(first: str | None, last: str | None) -> dict[str, str]:
    return {name: day for name, day in (("from", first), ("to", last)) if day is not None}


def _reason(error: requests.RequestException) -> str:
    """Why there is no response, from the innermost error: the others have the URL, with the user in it."""
    inner: Any = error
    while isinstance(following := getattr(inner, "reason", None) or (inner.args or (None,))[0], Exception):
        inner = following
    return re.sub(r"^\[Errno \d+\] ", "", str(inner).rpartition(": ")[2])
