"""POST /api/request-event: validate events and store each in the ledger, exactly once."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from operator import attrgetter
from time import monotonic
from typing import Any, TypeVar

from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from impact import config
from impact.calendar import Calendar, day_before
from impact.day_settings import CachedCalendar, InvalidSettings, ensure_calendar
from impact.dynamodb import connect
from impact.footprint import Footprints
from impact.fx_conversion import CachedFxRates, euro_fields
from impact.fx_rates import FX_LOOKBACK_DAYS, FxRates
from impact.http import Event, HttpError, Response
from impact.ledger_entry import EntryBuilder, EventRejected, LedgerEntry, validate
from impact.ledger_writer import LedgerWriter, WriteOutcome, WriteResult
from impact.observability import emit, emit_by, logger, metrics
from impact.store import Store
from impact.types import FieldErrors, Item
from ingest.body import read_body
from ingest.responses import EventResult, array_response, single_response
from request_events.event import FIELDS

T = TypeVar("T")

WRITERS = 32
RESERVE_SECONDS = 3.0  # of the function's time limit, to answer in: more than one attempt of a put takes

SERVICE = {"impact-service": config.service_id()}
"""Names the service in each response, whatever its URL: a sender keeps the events of each service apart."""

RATES_SECONDS = 1.0  # how long a cold start waits for the fx rates

store = Store.from_environment(connect(read_timeout=2, attempts=3, connections=WRITERS))
calendar = CachedCalendar(lambda now: ensure_calendar(store, config.settings, now))
writer = LedgerWriter(store, ThreadPoolExecutor(WRITERS, "ingest-writer"))
footprints = Footprints(config.electricity_zones(), config.operator_country())
if footprints.unknown_zones():
    logger.error("unknown electricity zones: their requests are unrated", zones=footprints.unknown_zones())


def _load_rates() -> FxRates:
    """Read the rates of all days that may still receive events."""
    now = datetime.now(UTC)
    days = calendar(now)
    return store.state.fx_rates(day_before(days.oldest_day(now), FX_LOOKBACK_DAYS), days.day_of(now))


rates = CachedFxRates(
    _load_rates,
    writer.executor,
    lambda error: logger.error("fx rates could not be read", cause=type(error).__name__),
)
rates.wait(RATES_SECONDS)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: Event, context: LambdaContext) -> Response:
    """Answer one POST of an event or an array of events (HTTP API, payload 2.0)."""
    now = datetime.now(UTC)
    deadline = monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    try:
        response = _ingest(read_body(event), now, deadline)
    except HttpError as error:
        emit("RequestsRefused", 1)
        logger.warning("request rejected", status=error.status, code=error.body["error"]["code"])
        response = error.response()
    return response | {"headers": response["headers"] | SERVICE}


def _ingest(body: Any, now: datetime, deadline: float) -> Response:
    raws = body if isinstance(body, list) else [body]
    try:
        days = calendar(now)
    except (BotoCoreError, ClientError, InvalidSettings) as error:
        logger.error("the settings of days could not be read", cause=type(error).__name__)
        results = _without_settings(raws)
    else:
        results = _store(raws, days, now, deadline)
    return array_response(results) if isinstance(body, list) else single_response(results[0])


def _store(raws: list[Any], days: Calendar, now: datetime, deadline: float) -> list[EventResult]:
    builder = EntryBuilder(days)
    entries, rejected = _check(raws, lambda raw: _entry(raw, builder, now))
    written = writer.write(list(entries.values()), days, now, deadline)
    _emit_metrics(list(entries.values()), written, rejected)
    accepted = [
        EventResult(index, entry.event_id, outcome)
        for (index, entry), outcome in zip(entries.items(), written.outcomes, strict=True)
    ]
    return sorted(accepted + rejected, key=attrgetter("index"))


def _without_settings(raws: list[Any]) -> list[EventResult]:
    """No event can be stored. A valid one has to be sent again; an invalid one is rejected."""
    events, rejected = _check(raws, validate)
    _emit_metrics([], WriteResult([WriteOutcome.RETRY] * len(events), Counter()), rejected)
    retry = [EventResult(index, event.eventId, WriteOutcome.RETRY) for index, event in events.items()]
    return sorted(retry + rejected, key=attrgetter("index"))


def _check(raws: list[Any], check: Callable[[Any], T]) -> tuple[dict[int, T], list[EventResult]]:
    """Return the results of `check` for valid events, by index, and the rejected events."""
    valid: dict[int, T] = {}
    rejected: list[EventResult] = []
    for index, raw in enumerate(raws):
        try:
            valid[index] = check(raw)
        except EventRejected as error:
            rejected.append(EventResult(index, _event_id(raw), errors=error.errors))
    return valid, rejected


def _entry(raw: Any, builder: EntryBuilder, now: datetime) -> LedgerEntry:
    """Validate an event, and add its footprint and what it cost in euros, where they are known."""
    entry = builder.build(raw, now)
    return entry.with_fields(_footprint(entry.item)).with_fields(euro_fields(entry.item, rates()))


def _footprint(item: Item) -> Item:
    try:
        return footprints.of(item)
    except Exception:  # an estimate must never cost an event
        logger.exception("a footprint could not be estimated")
        emit("FootprintErrors", 1)
        return {}


def _event_id(raw: Any) -> str | None:
    event_id = raw.get("eventId") if isinstance(raw, dict) else None
    return event_id if isinstance(event_id, str) else None


def _emit_metrics(entries: list[LedgerEntry], written: WriteResult, rejected: list[EventResult]) -> None:
    counts = {
        "Accepted": written.outcomes.count(WriteOutcome.CREATED),
        "Duplicate": written.outcomes.count(WriteOutcome.DUPLICATE),
        "Retry": written.outcomes.count(WriteOutcome.RETRY),
        "Rejected": len(rejected),
        "Unpriced": sum(entry.unpriced for entry in entries),
        "Unrated": sum(entry.unrated for entry in entries),
        "UnknownFields": sum(entry.unknown_fields for entry in entries),
    }
    for name, value in counts.items():
        emit(name, value)
    errors = [result.errors or [] for result in rejected]
    emit_by("Rejected", "field", Counter(map(_wrong_field, errors)))
    if rejected:
        logger.warning("events rejected", fields=sorted({e["field"] for each in errors for e in each}))
    if written.failures:
        logger.error("storage failed", causes=dict(written.failures))


def _wrong_field(errors: FieldErrors) -> str:
    """Name the first wrong field, by a name of the contract: a sender must not make up metrics."""
    name = errors[0]["field"].partition(".")[0]
    return name if name in FIELDS else "event"
