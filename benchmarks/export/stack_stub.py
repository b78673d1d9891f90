"""A stack on loopback: a ledger of one day, in pages of 1 MB, and an API with the summaries of that day.

`python -m benchmarks.export.stack_stub EVENTS USERS` prints its port and serves so many events, and summaries
of so many users. They are not of the same events.
"""

import json
import sys
from decimal import Decimal
from http.server import ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import simplejson

from benchmarks.rollup.dynamodb_stub import NOON, PAGE, PAGE_EVENTS, RATES, Wire
from impact.billing import Terms, statement
from impact.calendar import timestamp
from impact.daily_totals import as_response, daily_total, sum_totals
from impact.dynamodb import to_wire
from impact.summary import Figures, Tally
from impact.usage_reader import PAGE_USERS

DAY = "2026-11-23"
TERMS = Terms(Decimal(10), Decimal(2), Decimal("0.7"))
STAMP = {"asOf": timestamp(NOON), "final": True}
PERIOD = {"kind": "settings", "key": "2000-01-01", "timeZone": "UTC", "retentionDays": 400, "shardCount": 1}
SUMS = ("requests", "rated", "tokens_in", "tokens_out", "costUSD", "unconverted", "energyLow", "energyHigh")
MODELS = ("openai/gpt-4o", "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5-20250929")


def to_json(value: Any) -> bytes:
    text: str = simplejson.dumps(value, use_decimal=True)
    return text.encode()


def usage(user: int) -> Tally:
    """What the n-th user of a page used, of three models."""
    tally = Tally()
    for number, name in enumerate(MODELS):
        model = Figures(
            requests=user + 1,
            rated=user + 1,
            tokens_in=1000 * user + number,
            tokens_out=100 * user + number,
            costUSD=(cost := Decimal(user + number) / 997),
            unconverted=cost,
            energyLow=Decimal(user) / 99_991,
            energyHigh=Decimal(user) / 9_973,
        )
        sums = {of: getattr(model, of) for of in SUMS} | {"costReportedUSD": model.costUSD}
        tally.merge(Tally(**sums, models={name: model}))
    return tally


def summaries() -> list[dict[str, Any]]:
    """A page of the day's summaries."""
    return [
        {"userId": f"{PAGE.decode()}-user-{user:02d}", "day": DAY}
        | statement(usage(user), RATES.of(DAY), TERMS)
        | STAMP
        for user in range(PAGE_USERS)
    ]


def total(pages: int) -> dict[str, Any]:
    """What the API returns as the day's total."""
    whole = Tally()
    for user in range(PAGE_USERS):
        whole.merge(usage(user))
    shard = Tally()
    for _ in range(pages):
        shard.merge(whole)
    rate = RATES.of(DAY)
    assert rate is not None
    known = {"day": DAY, "shard": 0, "users": pages * PAGE_USERS, "terms": TERMS.as_fields()}
    sums = {name: value for name, value in shard.as_fields().items() if name != "models"}
    return as_response(daily_total(DAY, [known | rate.as_fields() | sums | STAMP], 1), reopened=False)


ACCOUNT = (
    b"<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>"
    b"</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


class Stack(Wire):
    """DynamoDB, the API of the service, and STS, which is asked for the account."""

    answers: ClassVar = {  # before the answer to any other kind of State
        b'"settings"': json.dumps({"Items": [to_wire(PERIOD)]}).encode(),
    } | Wire.answers
    page_of_summaries = to_json(summaries())
    user_pages: int
    totals: bytes

    def do_POST(self) -> None:
        if "X-Amz-Target" in self.headers:
            super().do_POST()
            return
        self.rfile.read(int(self.headers["Content-Length"]))
        self.respond(ACCOUNT, "text/xml")

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        body = self.totals
        if url.path == "/api/summaries":
            number = int(parse_qs(url.query).get("cursor", ["0"])[0])
            following = number + 1 if number + 1 < self.user_pages else None
            items = self.page_of_summaries.replace(PAGE, b"page-%08d" % number)
            page = (DAY.encode(), items, to_json(following and str(following)))
            body = b'{"day":"%s","items":%s,"next":%s}' % page
        self.respond(body, "application/json")


def main() -> None:
    events, users = map(int, sys.argv[1:])
    Stack.pages = max(1, events // PAGE_EVENTS)
    Stack.user_pages = max(1, users // PAGE_USERS)
    day = total(Stack.user_pages)
    Stack.totals = to_json({"from": DAY, "to": DAY, "days": [day], "total": sum_totals([day])})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stack)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
