"""A DynamoDB on loopback with one shard of events: Query responds with pages of 1 MB, and puts are accepted.

`python -m benchmarks.rollup.dynamodb_stub EVENTS` prints its port and serves a shard of so many events.
"""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from zoneinfo import ZoneInfo

from impact.calendar import Calendar, Settings
from impact.dynamodb import to_wire
from impact.footprint import Footprints
from impact.fx_conversion import euro_fields
from impact.fx_rates import FxRates
from impact.ledger_entry import EntryBuilder
from impact.ledger_event import EVENT_FIELDS

PAGE_EVENTS = 1250
"""Events in a page: DynamoDB reads 1 MB, and a ledger item has some 800 bytes."""
RATES = FxRates({"2026-11-20": Decimal("1.1172")})
USERS_A_PAGE = 5
PAGE = b"page-00000000"
RATE = b'{"Items":[{"kind":{"S":"rate"},"key":{"S":"2026-11-20"},"usd":{"N":"1.1172"}}]}'
NOTHING = b'{"Items":[]}'
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def page(projected: bool) -> bytes:
    """Make one page of events: whole items, or only the fields of the rollup's projection."""
    ledger = EntryBuilder(Calendar.of(Settings(ZoneInfo("UTC"), timedelta(days=400), shard_count=1)))
    footprints = Footprints({}, None)
    items = []
    for n in range(PAGE_EVENTS):
        event = {
            "userId": f"{PAGE.decode()}-user-{n * USERS_A_PAGE // PAGE_EVENTS}",
            "ts": (NOON - timedelta(seconds=n, microseconds=n)).isoformat(),
            "model": ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5-20250929")[n % 3],
            "provider": ("openai", "openai", "anthropic")[n % 3],
            "tokens_in": 100 + n,
            "tokens_out": n + 1,
            "tokens_cached": n // 2,
            "latency": Decimal(n) / 1000 + Decimal("0.123456"),
            "costUSD": Decimal(repr(0.00001 * n + 1e-7)),
            "eventId": f"{PAGE.decode()}-4480-a15e-{n:012d}:success",
            "callType": "acompletion",
            "modelGroup": "chat",
            "teamId": f"team-{n % 2}",
            "keyAlias": f"{PAGE.decode()}-key-{n * USERS_A_PAGE // PAGE_EVENTS}",
            "conversationId": f"{PAGE.decode()}-469f-a165-{n:012d}",
        }
        entry = ledger.build(event, NOON)
        item = entry.with_fields(footprints.of(entry.item) | euro_fields(entry.item, RATES)).item
        items.append(to_wire({k: v for k, v in item.items() if k in EVENT_FIELDS or not projected}))
    return json.dumps({"Items": items, "Count": len(items), "ScannedCount": len(items)}).encode()


class Wire(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pages: int
    projected = page(projected=True)
    whole = page(projected=False)
    answers: ClassVar[dict[bytes, bytes]] = {b'"byDay"': NOTHING, b'"rate"': RATE, b'"kind = :k': NOTHING}
    """Responses to other queries than those for events, by what they have in them."""

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        # For every other call of the rollup: nothing is stored, and every put succeeds.
        body = b'{"Responses":{}}'
        if operation == "Query":
            body = next((answer for has, answer in self.answers.items() if has in request), b"")
            body = body or self._query(request)
        self.respond(body, "application/x-amz-json-1.0")

    def respond(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _query(self, request: bytes) -> bytes:
        asked = re.search(rb'"at-(\d+)"', request)
        number = int(asked[1]) if asked else 0
        body = self.projected if b"ProjectionExpression" in request else self.whole
        body = body.replace(PAGE, b"page-%08d" % number)
        if number + 1 < self.pages:
            key = b'{"dayShard":{"S":"2026-11-23#00"},"userEvent":{"S":"at-%d"}}' % (number + 1)
            body = body[:-1] + b',"LastEvaluatedKey":' + key + b"}"
        return body

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def main() -> None:
    Wire.pages = int(sys.argv[1]) // PAGE_EVENTS
    server = ThreadingHTTPServer(("127.0.0.1", 0), Wire)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
