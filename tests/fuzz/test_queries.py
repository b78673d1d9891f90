"""Bad queries at scale: the reading function as API Gateway calls it, judged by an oracle in this file."""

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest

from impact.calendar import timestamp
from impact.ledger_store import LedgerStore
from impact.store import Store
from summaries import app
from tests.events import NOON, entry_builder, event, freeze
from tests.fuzz import ROUNDS
from tests.integration.steps import put, roll_up
from tests.lambda_context import CONTEXT

QUERIES = 2_000
TODAY = NOON.date()
OF_ONE = ("teamId", "keyAlias", "tag", "model", "provider")
ROUTES = {
    "GET /api/summaries": (*("userId", "day", "from", "to", "fresh", "cursor"), *OF_ONE),
    "GET /api/totals": ("from", "to"),
    "GET /api/breakdown": ("by", "from", "to", "limit", "daily", "cursor"),
}


def _cursor(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


USERS = [
    *("alice", "alice", "nobody", "", " ", "a,b", "x" * 256, "x" * 257, "x" * 100_000, "😀" * 256, "#" * 256),
    *(
        "#" * 342,
        "\0",
        "\ud800",
        "{{LIBRECHAT_USER_ID}}",
        "%00",
        "' OR '1'='1",
        "alice&userId=bob",
        "__proto__",
    ),
]
DATES = [
    *("2026-11-23", "2026-11-22", "2026-11-24", "2026-11-01", "2025-11-23", "2025-11-22", "2026-02-28"),
    *(
        "2026-02-29",
        "2026-13-01",
        "2026-11-31",
        "2026-00-10",
        "20261123",
        "2026-W48-1",
        "2026-11-23T00:00:00Z",
    ),
    *(
        "0001-01-01",
        "1999-12-31",
        "2000-01-01",
        "2999-12-31",
        "3000-01-01",
        "9999-12-31",
        "10000-01-01",
        "-1",
    ),
    *(
        "",
        " 2026-11-23",
        "2026-11-23\n",
        "２０２６-11-23",
        "yesterday",
        "2026-11-23,2026-11-24",
        "\ud800",
        "2" * 9999,
    ),
]
LABELS = [
    "Marketing",
    "marketing",
    "nobody",
    "",
    " ",
    "x" * 256,
    "x" * 257,
    "#" * 256,
    "😀" * 256,
    "\0",
    "\ud800",
]
DIMENSIONS = [
    "team",
    "user",
    "key",
    "tag",
    "model",
    "provider",
    "",
    "Team",
    "teams",
    "team,tag",
    "\ud800",
    "__proto__",
]
WHOLE_NUMBERS = [
    *(
        "1",
        "10",
        "0",
        "11",
        "1000",
        "1001",
        "007",
        "",
        "-1",
        "+1",
        " 1",
        "1.0",
        "1e1",
        "0x1",
        "٣",
        "9" * 5000,
    ),
    *("0x1", "٣", "9" * 5000, "true", "null", "1,2", "\ud800"),
]
FLAGS = ["false", "true", "True", "1", "yes", "", "true,true", "null", "\0"]
CURSORS = [
    *("", "x", "e30=", "WzEsIDJd", "ÿ", "\ud800", "=", "====", "W10=", "/+/+", "-_-_", "A" * 100_000),
    *map(_cursor, ([0, None], [0, "alice"], [15, "alice"], [16, None], [10**30, None], [-1, None], [0, ""])),
    *map(_cursor, ([True, None], [0.0, None], [0, 1], [0], [0, None, 1], {"0": 1, "1": 2}, "ab", None, 7)),
    *map(
        _cursor, ([0, "x" * 1023], [0, "x" * 1024], [0, "\ud800"], [0, "#" * 341], [0, "#" * 342], [0, "\0"])
    ),
    base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    base64.urlsafe_b64encode(b'[0,"' + b"\xff" + b'"]').decode(),
    base64.urlsafe_b64encode(b"[" + b"9" * 5000 + b",null]").decode(),
    *map(_cursor, (0, 1, 1000, 10**30, -1, 0.0, True, [0], "0", {})),
    *map(_cursor, ("2026-11-22", "2026-11-30", "2026-02-30", "", ["2026-11-22"])),
    _cursor([0, "alice"])[:-2],
    _cursor([0, "alice"]) + "\n",
]
POOLS = {
    "userId": USERS,
    "from": DATES,
    "to": DATES,
    "day": DATES,
    "fresh": FLAGS,
    "cursor": CURSORS,
    "teamId": LABELS,
    "keyAlias": LABELS,
    "tag": LABELS,
    "model": LABELS,
    "provider": LABELS,
    "limit": WHOLE_NUMBERS,
    "daily": WHOLE_NUMBERS,
    "by": DIMENSIONS,
}
OTHER = ["userid", "USERID", "offset", "__proto__", "", "next", "x" * 1000]


def test_a_question_is_answered_or_what_is_wrong_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch, counted: Counter[str]
) -> None:
    freeze(monkeypatch, app)
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON - timedelta(days=3))
    builder = entry_builder(shard_count=1)
    monkeypatch.setattr(app, "store", store)
    monkeypatch.setattr(app, "calendar", lambda now: builder.calendar)
    for number in range(4):
        ts = timestamp(NOON - timedelta(days=number))
        put(store, event(eventId=str(number), ts=ts, teamId="Marketing", tags=["Marketing"]), builder=builder)
    roll_up(store, NOON, builder)
    random = Random(0)
    for _ in range(QUERIES * ROUNDS):
        route, query = _question(random)
        request: dict[str, Any] = {"routeKey": route, "queryStringParameters": query}
        if not query and random.random() < 0.5:
            request.pop("queryStringParameters")
        response = app.handler(request, CONTEXT)
        answer = json.loads(response["body"], parse_constant=pytest.fail)
        named = [detail["field"] for detail in answer["error"]["details"]] if "error" in answer else []
        bad = _bad(route, query)
        assert (response["statusCode"], set(named)) == ((422, bad) if bad else (200, set())), (route, query)
        if not bad:
            is_list = route == "GET /api/breakdown" or ("day" in query and route == "GET /api/summaries")
            assert ("items" in answer) == is_list
        counted.update([str(response["statusCode"]), *named])
        counted["questions"] += 1
    assert counted["questions"] >= 2_000
    assert counted.keys() >= {"200", "422", *POOLS}


def _question(random: Random) -> tuple[str, dict[str, str]]:
    [route] = random.choices(list(ROUTES), (6, 1, 3))
    usual: tuple[tuple[str, ...], ...] = (("by",), ("by", "from", "to"), ("by", "cursor"), ())
    if route != "GET /api/breakdown":
        usual = (("userId",), ("day",), ("day", "cursor"), ("userId", "cursor"), ("from", "to"), ())
        usual += tuple((name,) for name in OF_ONE)
    names = list(random.choice(usual))
    names += random.sample([*POOLS, *POOLS, *OTHER], random.choice((0, 1, 2, 4)))
    # Many of the values are valid: otherwise nearly every query would be rejected.
    return route, {
        name: POOLS[name][0]
        if name in POOLS and random.random() < 0.4
        else random.choice(POOLS.get(name, USERS))
        for name in names
    }


def _bad(route: str, query: dict[str, str]) -> set[str]:
    """The invalid parameters, by docs/api.md."""
    given = {name: text for name, text in query.items() if name in ROUTES[route]}
    checks: dict[str, Callable[[str], bool]] = {
        "userId": _is_user,
        "from": _is_date,
        "to": _is_date,
        "day": _is_date,
        "fresh": _is_flag,
        **dict.fromkeys(OF_ONE, _is_label),
        "model": lambda text: _is_label(text, 321),  # provider/model
        "provider": lambda text: _is_label(text, 64),
        "limit": lambda text: _is_whole(text, 1, 1000),
        "daily": lambda text: _is_whole(text, 0, 10),
        "by": _is_dimension,
    }
    if bad := {name for name, check in checks.items() if name in given and not check(given[name])}:
        return bad
    of_what = [name for name in ("userId", "day", *OF_ONE) if name in given]
    if route == "GET /api/summaries" and len(of_what) != 1:
        return {"userId"}
    if route == "GET /api/breakdown" and "by" not in given:
        return {"by"}
    if "day" in given:
        return set() if _is_place(given.get("cursor", "")) else {"cursor"}
    last = date.fromisoformat(given["to"]) if "to" in given else TODAY
    first = date.fromisoformat(given["from"]) if "from" in given else last - timedelta(days=29)
    if not first <= last <= first + timedelta(days=365):
        return {"from"}
    is_cursor = {"userId": _is_day_cursor, "by": _is_number}.get(of_what[0] if of_what else "by")
    return set() if is_cursor is None or is_cursor(given.get("cursor", "")) else {"cursor"}


def _is_user(text: str) -> bool:
    return 1 <= len(text) <= 256 and _fits(text)


def _fits(text: str) -> bool:
    is_text = not any("\ud800" <= character <= "\udfff" for character in text)
    return is_text and len(text.encode()) + 2 * (text.count("#") + text.count("%")) < 1024


def _is_date(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}", text)) and bool(
            date(*map(int, text.split("-")))
        )
    except ValueError:
        return False


def _is_label(text: str, most: int = 256) -> bool:
    return 1 <= len(text) <= most and "\ud800" not in text


def _is_dimension(text: str) -> bool:
    return text in ("user", "team", "key", "tag", "model", "provider")


def _is_whole(text: str, least: int, most: int) -> bool:
    is_short = 0 < len(text) < 10 and set(text) <= set("0123456789")
    return is_short and least <= int(text) <= most


def _is_flag(text: str) -> bool:
    return text in ("true", "false")


def _is_place(cursor: str) -> bool:
    """Tell whether a page of a day could have returned this cursor: `[shard, user or null]`."""
    content = _content(cursor) if cursor else [0, None]
    if not isinstance(content, list) or len(content) != 2:
        return False
    shard, user_id = content
    is_user = user_id is None or (isinstance(user_id, str) and user_id != "" and _fits(user_id))
    return isinstance(shard, int) and not isinstance(shard, bool) and shard >= 0 and is_user


def _is_day_cursor(cursor: str) -> bool:
    """Tell whether a page of a user's days could have returned this cursor: a day."""
    content = _content(cursor) if cursor else "2026-11-23"
    return isinstance(content, str) and _is_date(content)


def _is_number(cursor: str) -> bool:
    """Tell whether a page of values could have returned this cursor: a number."""
    content = _content(cursor) if cursor else 0
    return type(content) is int and content >= 0


def _content(cursor: str) -> Any:
    """Decode a cursor, JSON in base64 for URLs; None if it is invalid."""
    if not re.fullmatch("[A-Za-z0-9_-]*={0,2}", cursor) or "\n" in cursor:
        return None
    try:
        return json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, binascii.Error, RecursionError):
        return None
