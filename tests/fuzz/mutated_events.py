"""Real events of the callback, with changes that faulty senders and attackers could make."""

import json
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from request_events.capture import capture, encode
from tests.events import NOON
from tests.fuzz.oracle import KNOWN, LABELS, NUMBERS, SHORT, TOKENS

PAYLOADS = Path(__file__).parents[1] / "unit/callback/payloads"

Members = list[tuple[str, str]]
"""A JSON object as written: names and values in order, each as JSON. A name may occur twice."""


def real_events() -> list[Members]:
    """The events of calls recorded from a real proxy, with the present time."""
    captured = [capture(json.loads(path.read_text())["kwargs"]) for path in sorted(PAYLOADS.glob("*.json"))]
    events = [json.loads(encode(event)) for event in captured if event]
    return [_members(event | {"ts": (NOON - timedelta(minutes=1)).isoformat()}) for event in events]


def _members(event: dict[str, Any]) -> Members:
    return [(json.dumps(name), json.dumps(value)) for name, value in event.items()]


def _texts(*values: str) -> list[str]:
    return [json.dumps(value) for value in values]


NUMBER_TEXTS = [
    *("0", "-0", "0.0", "-0.0", "1", "-1", "1.0", "1.5", "-1e-9", "12e3", "1E5", "1e12", "1e13"),
    *("1e1000000", "-1e1000000", "1e-1000030"),
    *("1e400", "-1e400", "1e-400", "0e400", "0.1e-50", "1e-38", "1e-39", "1e38", "12345678901234567890e-40"),
    *("NaN", "Infinity", "-Infinity", "1e99999999999999999999", "1e-99999999999999999999"),
    *("1000000000", "1000000000.00000000000000000000000000001", "1000000001", "10000000", "10000000.1"),
    *("1000000000000", "1000000000001", "9007199254740993", "18446744073709551616"),
    *("0." + "1" * 38, "0." + "1" * 39, "1." + "0" * 60, "9" * 38, "9" * 5000, "0." + "0" * 5000 + "1"),
]
TIME_TEXTS = _texts(
    *("2026-11-23", "2026-11-23T10:00", "2026-11-23T10:00:00", "2026-11-23 10:00:00z", "20261123T100000Z"),
    *("2026-11-23T10:00:60Z", "2016-12-31T23:59:60Z", "2026-11-23T24:00:00Z", "2026-11-23T10:60:00Z"),
    *("2026-02-29T10:00:00Z", "2026-13-01T10:00:00Z", "2026-11-31T10:00:00Z", "2026-11-00T10:00:00Z"),
    *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"),
    *("9999-12-31T23:59:59-23:59", "2026-11-23T11:59:59.9999999Z", "2026-11-23T10:00:00." + "1" * 13 + "Z"),
    *(
        "2026-11-23T10:00:00+10:75",
        "2026-11-23T10:00:00+24:00",
        "2026-11-23T10:00:00-00:00",
        "now",
        "1795418608",
    ),
    *("2026-11-23T10:00:00,5Z", " 2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z\n", "2026-11-23T10:00:00 Z"),
    *("２０２６-11-23T10:00:00Z", "-2026-11-23T10:00:00Z", "+02026-11-23T10:00:00Z", "2026-W48-1T10:00:00Z"),
    *("2026-11-23T12:05:00Z", "2026-11-23T12:05:00.000001Z", "2025-10-21T12:00:00Z", "2025-10-21T11:59:59Z"),
    *(
        "2025-10-21T13:59:59+02:00",
        "1970-01-01T00:00:00Z",
        "2026-11-23T10:00:00+0200",
        "2026-11-23T10:00:00+02",
    ),
)
TEXT_TEXTS = [
    *_texts(
        "", " ", "\t\n\u2003", "\0", "a\0b", "unknown", "null", "1", "true", "[]", "{}", "ÿ", "\u202eabc"
    ),
    *_texts("{{LIBRECHAT_USER_ID}}", "a {{ b }} c", "{{", "}}{{", "{{}}", "{{{x}}}", "{{a{b}}", "😀" * 64),
    *_texts(
        "__proto__", "constructor", "' OR 1=1 --", "<script>", "../../etc/passwd", "${jndi:ldap://x}", "%00"
    ),
    *_texts("#" * 256, "%23#", "x" * 64, "x" * 65, "x" * 128, "x" * 129, "x" * 256, "x" * 257, "x" * 3000),
    *_texts("😀" * 256, "😀" * 257, "ü" * 128, "e\u0301" * 128, "\ufeff", "\ufffe", "\U0010ffff", "\u2028"),
    *(
        r'"\ud800"',
        r'"\udc00\ud800"',
        r'"a\udfffb"',
        r'"\ud83d\ude00"',
        r'"\u0000"',
        r'"\u007b{x}}"',
        r'"\/"',
    ),
]
OTHER_TEXTS = [
    *("null", "true", "false", "[]", "{}", "[null]", '["a"]', '["a", 1]', '[""]', '["a", null]', '{"a": 1}'),
    *('["' + '","'.join(["t"] * 50) + '"]', '["' + '","'.join(["t"] * 51) + '"]', r'["\ud800"]', "[[]]"),
    *("[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60, '{"__proto__": {"polluted": true}}', '"success"'),
    *('"failure"', '"SUCCESS"', '["' + "x" * 257 + '"]', '["' + '","'.join(["y" * 200] * 9) + '"]'),
]
VALUES = NUMBER_TEXTS + TIME_TEXTS + TEXT_TEXTS + OTHER_TEXTS
NAMES_UNKNOWN = [
    *_texts(
        "__proto__", "constructor", "prototype", "__class__", "userid", "userId ", "USERID", "user\0Id", ""
    ),
    *_texts(
        "dayShard", "userEvent", "day", "receivedAt", "expiresAt", "fxRate", "fxDate", "energyKWh", "co2eKg"
    ),
    *_texts("impactSource", "messages", "response", "api_key", "model_config", "self", "$where", "x" * 2000),
    *(r'"\ud800"', r'"user\u0049d"'),
]
SPELLED_OTHERWISE = {r'"user\u0049d"': "userId"}
FITTING = {
    **dict.fromkeys(["userId", "eventId", "model", "provider", *SHORT, *LABELS, "status"], TEXT_TEXTS),
    **dict.fromkeys([*TOKENS, *NUMBERS], NUMBER_TEXTS),
    "ts": TIME_TEXTS,
}
"""Values that senders are likely to confuse with a field's."""


def mutated(random: Random, event: Members) -> str:
    """Change an event once or a few times; return its JSON."""
    members = list(event)
    for _ in range(random.choice((1, 3, 4, 5, 6))):
        random.choice(_CHANGES)(random, members)
    if random.random() < 0.02:
        return random.choice(VALUES)  # no event at all
    return "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"


def identified(event: Members, event_id: str) -> Members:
    """The event with an id of its own."""
    return [(name, json.dumps(event_id) if name == '"eventId"' else value) for name, value in event]


def _drop(random: Random, members: Members) -> None:
    if members:
        members.pop(random.randrange(len(members)))


def _replace(random: Random, members: Members) -> None:
    if members:
        at = random.randrange(len(members))
        name = json.loads(members[at][0])
        members[at] = (members[at][0], random.choice(FITTING.get(name, VALUES)))


def _confuse(random: Random, members: Members) -> None:
    if members:
        at = random.randrange(len(members))
        members[at] = (members[at][0], random.choice(VALUES))


def _put(random: Random, members: Members) -> None:
    """Add a field. If the object has it already, it then has it twice."""
    name = random.choice(KNOWN)
    members.insert(
        random.randint(0, len(members)), (json.dumps(name), random.choice(FITTING.get(name, VALUES)))
    )


def _put_unknown(random: Random, members: Members) -> None:
    members.insert(random.randint(0, len(members)), (random.choice(NAMES_UNKNOWN), random.choice(VALUES)))


def _swap(random: Random, members: Members) -> None:
    if len(members) > 1:
        one, other = random.sample(range(len(members)), 2)
        (name, value), (other_name, other_value) = members[one], members[other]
        members[one], members[other] = (name, other_value), (other_name, value)


_CHANGES = (_drop, _replace, _replace, _confuse, _confuse, _put, _put, _put_unknown, _swap)


def damaged(random: Random, body: bytes) -> bytes:
    """Truncate, flip, double or re-encode the bytes of a body."""
    at, end = sorted((random.randrange(len(body) + 1), random.randrange(len(body) + 1)))
    kind = random.randrange(9)
    if kind == 0:
        return body[:at]
    if kind == 1:
        return body[:at] + bytes([random.randrange(256)]) + body[at + 1 :]
    if kind == 2:
        return body[:at] + body[end:]
    if kind == 3:
        return body[:end] + body[at:]
    if kind == 4:
        return body[:at] + random.randbytes(random.randrange(1, 9)) + body[at:]
    if kind == 5:
        return body.decode().encode(random.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7")))
    if kind == 6:
        return body[:at] + b"\xed\xa0\x80\xff\xc0\x80"[random.randrange(6) :] + body[at:]
    if kind == 7:
        return random.choice(
            (b"", b"null", b"[]", b"{}", b"\0", b"[[]]", b" ", b'"', b"1", b"[" * 100_000)
        ) + (body if random.random() < 0.3 else b"")
    flipped = bytearray(body)
    for _ in range(random.randrange(1, 4)):
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
    return bytes(flipped)
