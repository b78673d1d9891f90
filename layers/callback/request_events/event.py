"""RequestEvent: one AI request. Defined here once, for the callback and for the service."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from request_events import limits

_EXACT = Context(prec=limits.DIGITS_MAX, traps=[Inexact])
_DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"
_RFC_3339 = re.compile(rf"{_DATE}[Tt ]{_CLOCK}:[0-5]\d(\.\d{{1,12}})?([Zz]|[+-]{_CLOCK})?", flags=re.ASCII)


def _identifier(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if limits.is_unfilled(text):
        raise ValueError("is a template that was not filled in ({{...}})")
    return text


def _instant(value: object) -> datetime:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("must be an RFC 3339 time, such as 2026-11-23T07:23:28.164Z")
    parsed = datetime.fromisoformat(value.upper())
    try:
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time of the years 1 to 9999") from None


def _decimal(value: object) -> Decimal:
    """A JSON number as written: an int, or a Decimal from `parse_float=Decimal`, never a float."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError("must be a finite number")
    return number


def _whole(value: object) -> object:
    """12 for 12.0, which JSON Schema takes for an integer too."""
    # Compared first: arithmetic rounds, and fails at an exponent of a million.
    if isinstance(value, Decimal) and value.is_finite() and value.copy_abs() <= limits.TOKENS_MAX:
        whole = value.to_integral_value()
        return int(whole) if whole == value else value
    return value


def _bounded(limit: int) -> Callable[[Decimal], Decimal]:
    def check(number: Decimal) -> Decimal:
        if number < 0:
            raise ValueError("must not be negative")
        if number > limit:
            raise ValueError(f"must be at most {limit}")
        return _storable(number)

    return check


def _storable(number: Decimal) -> Decimal:
    """The number in its only form (`1.5` for `1.50`). Raises ValueError where DynamoDB would round it."""
    try:
        plain = _EXACT.normalize(number) or Decimal(0)
    except Inexact:
        plain = None
    if plain is None or plain.as_tuple().exponent < -limits.DIGITS_MAX:  # type: ignore[operator]
        raise ValueError(f"must have at most {limits.DIGITS_MAX} digits")
    return plain


_Identifier = AfterValidator(_identifier)
_says_something: Any = {"pattern": r"\S", "not": {"pattern": limits.UNFILLED}}


def _number(limit: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", "minimum": 0, "maximum": limit})


UserId = Annotated[
    str, Field(min_length=1, max_length=limits.USER_ID_MAX, json_schema_extra=_says_something), _Identifier
]
EventId = Annotated[
    str, Field(min_length=1, max_length=limits.EVENT_ID_MAX, json_schema_extra=_says_something), _Identifier
]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "pattern": f"^{_RFC_3339.pattern}$"}),
]
Tokens = Annotated[int, Field(ge=0, le=limits.TOKENS_MAX), BeforeValidator(_whole)]
Money = Annotated[
    Decimal, BeforeValidator(_decimal), AfterValidator(_bounded(limits.COST_MAX)), _number(limits.COST_MAX)
]
Seconds = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    AfterValidator(_bounded(limits.SECONDS_MAX)),
    _number(limits.SECONDS_MAX),
]
Label = Annotated[str, Field(max_length=limits.LABEL_MAX)]
Tag = Annotated[str, Field(min_length=1, max_length=limits.LABEL_MAX)]


class RequestEvent(BaseModel):
    """One AI request: who, when, which model, how many tokens, at what cost, in how many seconds.

    Validate JSON whose floats were read as `Decimal`. `null` in an optional field is the same as leaving it
    out; unknown fields are dropped. Raises `pydantic.ValidationError`.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    userId: UserId
    """Who asked; `unknown` where nobody could be told."""
    ts: Instant
    """Start of the try that is reported (RFC 3339); without an offset it is UTC."""
    model: Annotated[str, Field(min_length=1, max_length=limits.MODEL_MAX)]
    """The provider's name of the model, without a prefix."""
    provider: Annotated[str, Field(min_length=1, max_length=limits.PROVIDER_MAX)]
    """`openai`, `anthropic`, `groq`, `ollama` ...; `unknown` where it could not be told."""
    tokens_in: Tokens
    """Prompt tokens, cached ones included."""
    tokens_out: Tokens
    """Completion tokens."""
    latency: Seconds
    """Seconds from the start of the try to its end."""

    costEUR: Money | None = None
    """Cost in euros, by a sender that knows it."""
    costUSD: Money | None = None
    """Cost in US dollars. Without any cost the event counts as unpriced, which is not the same as free."""
    eventId: EventId | None = None
    """Idempotency key. Without one the service takes a digest of the event's content."""
    status: Annotated[
        Literal["success", "failure"],
        BeforeValidator(lambda v: "success" if v is None else v),
        WithJsonSchema({"enum": ["success", "failure", None]}),
    ] = "success"
    callType: Label | None = None
    modelGroup: Label | None = None
    teamId: Label | None = None
    keyAlias: Label | None = None
    conversationId: Label | None = None
    errorCode: Label | None = None
    """Also of a success: that of a client which hung up."""
    tokens_cached: Tokens | None = None
    """Those of tokens_in that were read from a cache."""
    tokens_cache_write: Tokens | None = None
    """Those of tokens_in that were written to a cache."""
    tokens_reasoning: Tokens | None = None
    """Those of tokens_out that were spent on reasoning."""
    timeToFirstToken: Seconds | None = None
    """Seconds; of streams."""
    stream: bool | None = None
    cacheHit: bool | None = None
    """Whether the answer came from a cache of the proxy, and no provider was asked."""
    tags: Annotated[list[Tag], Field(max_length=limits.TAGS_MAX)] | None = None
    serviceTier: Annotated[str, Field(max_length=limits.TIER_MAX)] | None = None
    """What the provider served and charged: `default`, `priority`, `batch` ..."""
    costInputUSD: Money | None = None
    costOutputUSD: Money | None = None
    costToolsUSD: Money | None = None
    """Parts of costUSD, where the sender knows them: prompt, completion, the provider's own tools."""
    source: Annotated[str, Field(max_length=limits.SOURCE_MAX)] | None = None
    """Who reported it: `litellm/1.106.2`."""
    estimated: bool | None = None
    """Whether the tokens are the sender's guess (a stream that was stopped), not the provider's count."""

    def fields(self) -> dict[str, Any]:
        """The fields that the event has, by the contract's names."""
        return {name: value for name, value in self if value is not None}


FIELDS = frozenset(RequestEvent.model_fields)
