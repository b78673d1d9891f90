"""Values that no field of LiteLLM's payload should have."""

import enum
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

SECRET = "alice@example.org"
"""Stands in everything that raises: none of it may be logged."""


def refuse(*_: object, **__: object) -> Any:
    raise RuntimeError(SECRET)


DUNDERS = ("str", "repr", "eq", "ne", "bool", "len", "format", "contains", "iter", "getitem", "float", "int")
RAISING = {f"__{name}__": refuse for name in DUNDERS} | {"__hash__": object.__hash__}
HOSTILE: dict[str, type] = {
    base.__name__: type(f"Hostile{base.__name__}", (base,), dict(RAISING))
    for base in (object, str, int, float, dict, list)
}
HOSTILE["dict"].get = HOSTILE["dict"].items = refuse  # type: ignore[attr-defined]


class Provider(str, enum.Enum):  # noqa: UP042  # as LiteLLM has it
    OPENAI = "openai"


class Number(enum.IntEnum):
    SEVEN = 7


class Unbounded:
    """Answers every question with another one of its kind, as mocks do."""

    def __getattr__(self, name: str) -> "Unbounded":
        return self

    def __call__(self, *_: object) -> "Unbounded":
        return self


def nested(depth: int, kind: str) -> Any:
    value: Any = 1e-06
    for _ in range(depth):
        value = {"cost": value} if kind == "dict" else [value]
    return value


MILLION = 1_000_000

HUGE: list[Any] = [
    "x" * 5 * MILLION,
    " " * 5 * MILLION,
    "ü" * MILLION,
    "\ud800" * MILLION,
    "{{" * MILLION,
    "openai/" * MILLION,
    [0] * MILLION,
    ["tag" * 1000] * MILLION,
    {f"name {number}": 0 for number in range(MILLION // 5)},
    {f"{number}-cost": 0.0 for number in range(MILLION // 5)},
    {f"{number:27}": "a header as long as the ones that matter" for number in range(MILLION // 5)},
    nested(50_000, "list"),
    nested(50_000, "dict"),
    10**5000,
    -(10**5000),
    b"x" * MILLION,
]
SMALL: list[Any] = [
    *(
        None,
        True,
        False,
        ...,
        object,
        refuse,
        1j,
        set(),
        range(10),
        iter([1]),
        memoryview(b"x"),
        b"",
        b"bytes",
    ),
    *(0, 1, -1, 10**12, 10**12 + 1, 10**255, 10**256, 1764000000, 1577836799, Number.SEVEN),
    *(7.5, -0.0, 1e-30, 1e300, 5e-324, 1.7e12, 253402300799.5, float("nan"), float("inf"), float("-inf")),
    *(Decimal("NaN"), Decimal("0.1"), datetime(2026, 11, 24, tzinfo=UTC)),
    *("", " ", "\n", "\0", "\ud800", "a\udfffb", "\u202e", "\x85", "{{", "}}{{", "{{LIBRECHAT_USER_ID}}"),
    *("failure", "success", "1e5", "NaN", "x" * 257, Provider.OPENAI),
    *(256 * character for character in ("x", "\0", "ü", "漢", "\U0001f600", "#", "%", '"', "\\")),
    *((), (1, 2), [], [None], [[]], ["", " ", "t", 5, "t" * 999], ["User-Agent: x"] * 300 + ["late"]),
    *({}, {"": ""}, {None: None}, {1: 2}, {"mode": "chat", "cost": [[0]]}),
    *(SimpleNamespace(user_id="x"), Unbounded()),
    *(HOSTILE["object"](), HOSTILE["str"]("text"), HOSTILE["int"](5), HOSTILE["float"](5.0)),
    *(HOSTILE["list"]([1]), HOSTILE["dict"](user_id="x")),
]
"""`...` stands for a field that is not there."""
