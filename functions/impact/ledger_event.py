"""An event as the rollup reads it: the fields that sums need, decoded straight from DynamoDB's JSON.

Objects of one class a field, made by msgspec in C, are read several times as fast as dicts of dicts: decoding
is most of a rollup's time. Attributes keep DynamoDB's type as their last name: `event.tokens_in.N`.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from impact.types import WireItem


class _Text(msgspec.Struct, gc=False):
    S: str


class _Whole(msgspec.Struct, gc=False):
    N: int


class _Number(msgspec.Struct, gc=False):
    N: Decimal


class _Flag(msgspec.Struct, gc=False):
    BOOL: bool


class _Bounds(msgspec.Struct, gc=False):
    low: _Number
    high: _Number


class _Range(msgspec.Struct, gc=False):
    M: _Bounds


class _Texts(msgspec.Struct, gc=False):
    L: list[_Text]


class LedgerEvent(msgspec.Struct, gc=False):
    """The fields of RequestEvent that sums need, and what ingest has added to them."""

    userId: _Text
    ts: _Text
    provider: _Text
    model: _Text
    status: _Text
    latency: _Number
    tokens_in: _Whole
    tokens_out: _Whole
    tokens_cached: _Whole | None = None
    tokens_cache_write: _Whole | None = None
    tokens_reasoning: _Whole | None = None
    costEUR: _Number | None = None
    costUSD: _Number | None = None
    fxRate: _Number | None = None
    """With it, `costEUR` is ingest's own conversion of `costUSD`."""
    cacheHit: _Flag | None = None
    estimated: _Flag | None = None
    energyKWh: _Range | None = None
    co2eKg: _Range | None = None
    waterL: _Range | None = None
    teamId: _Text | None = None
    keyAlias: _Text | None = None
    tags: _Texts | None = None


EVENT_FIELDS: tuple[str, ...] = LedgerEvent.__struct_fields__
"""The fields of an event that a rollup reads."""

_decoder = msgspec.json.Decoder(
    list[LedgerEvent], strict=False
)  # not strict: numbers are strings on the wire


def decode_events(items: msgspec.Raw | bytes) -> list[LedgerEvent]:
    """Decode a list of items. Raises msgspec.ValidationError for what is no event."""
    return _decoder.decode(items)


def events_of(items: Sequence[WireItem]) -> list[LedgerEvent]:
    """Take items that are decoded already. Raises msgspec.ValidationError for what is no event."""
    return msgspec.convert(items, list[LedgerEvent], strict=False)
