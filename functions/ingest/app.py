"""POST /api/request-event: validate events and put each into the ledger, exactly once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from impact import config
from impact.calendar import day_before
from impact.dynamodb import Store, connect
from impact.exchange import RatesInMemory, in_euros
from impact.footprint import Footprints
from impact.http import Event, HttpError, Response, respond
from impact.intake import Fate, Intake, Taken
from impact.ledger import Entry, Ledger, Refused, validated
from impact.observability import count_by, logger, metrics
from impact.rates import REACH, Rates
from impact.settings import CalendarInMemory, SettingsRefused, established
from impact.types import FieldErrors, Item
from ingest.body import read_body
from request_events.event import FIELDS

WRITERS = 32
ANSWER_SECONDS = 3.0
"""What is kept of the function's time limit to answer in; more than one attempt of a put takes."""
RETRY_AFTER = {"retry-after": "2"}

SERVICE = {"impact-service": config.service_id()}
"""Says in each answer which service this is, whatever its URL: events for one never go to another."""

RATES_SECONDS = 1.0
"""How long a start waits for the exchange rates."""

store = Store.from_environment(connect(read_timeout=2, attempts=3, connections=WRITERS))
calendar = CalendarInMemory(lambda now: established(store, config.settings, now))
intake = Intake(store, writers=ThreadPoolExecutor(WRITERS, "ingest-writer"))
footprints = Footprints(config.electricity_zones(), config.operator_country())
if footprints.unknown_zones():
    logger.error("no such electricity zone: its requests are unrated", zones=footprints.unknown_zones())


def _load_rates() -> Rates:
    """Read the rates of all days whose events may still come."""
    now = datetime.now(UTC)
    days = calendar(now)
    return store.rates(day_before(days.oldest_day(now), REACH), days.day_of(now))


rates = RatesInMemory(
    _load_rates,
    intake.writers,
    lambda error: logger.error("exchange rates could not be read", cause=type(error).__name__),
)
rates.wait(RATES_SECONDS)


@dataclass(frozen=True)
class Rejection:
    """An event that was refused: where it stood in the array, and why."""

    index: int
    event_id: str | None
    errors: FieldErrors


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: Event, context: LambdaContext) -> Response:
    """Answer one POST of an event or an array of events (HTTP API, payload 2.0)."""
    now = datetime.now(UTC)
    deadline = monotonic() + context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS
    try:
        response = _take(read_body(event), now, deadline)
    except HttpError as error:
        metrics.add_metric("RequestsRefused", MetricUnit.Count, 1)
        logger.warning("request refused", status=error.status, code=error.body["error"]["code"])
        response = error.response()
    return response | {"headers": response["headers"] | SERVICE}


def _take(body: Any, now: datetime, deadline: float) -> Response:
    try:
        ledger = Ledger(calendar(now))
    except (
        BotoCoreError,
        ClientError,
        SettingsRefused,
    ) as error:  # no event has a place until they are known
        logger.error("the settings of days are not known", cause=type(error).__name__)
        return _none_taken(body)
    take = _take_array if isinstance(body, list) else _take_one
    return take(body, ledger, now, deadline)


def _none_taken(body: Any) -> Response:
    """Answer that what could be valid is to be sent again, and refuse what is not in any case."""
    raws = body if isinstance(body, list) else [body]
    rejections = [rejection for index, raw in enumerate(raws) if (rejection := _rejection(index, raw))]
    refused = {rejection.index for rejection in rejections}
    fates = [Fate.RETRY] * (len(raws) - len(refused))
    _count([], Taken(fates, Counter()), [rejection.errors for rejection in rejections])
    if not isinstance(body, list):
        if rejections:
            raise HttpError(422, "invalid", "The event is not valid.", rejections[0].errors)
        return respond(503, _unavailable(), RETRY_AFTER)
    retry = [{"index": n, "eventId": _event_id(raw)} for n, raw in enumerate(raws) if n not in refused]
    answer = {"created": 0, "duplicates": 0, "rejected": [_told(each) for each in rejections]}
    if retry:
        return respond(503, _unavailable() | answer | {"retry": retry}, RETRY_AFTER)
    return respond(200, answer)


def _rejection(index: int, raw: Any) -> Rejection | None:
    try:
        validated(raw)
    except Refused as refused:
        return Rejection(index, _event_id(raw), refused.errors)
    return None


def _told(rejection: Rejection) -> dict[str, Any]:
    return {"index": rejection.index, "eventId": rejection.event_id, "errors": rejection.errors}


def _entry(raw: Any, ledger: Ledger, now: datetime) -> Entry:
    """Validate an event, and add what it cost in euros and its footprint, where they are known."""
    entry = ledger.entry(raw, now)
    return entry.with_fields(_footprint(entry.item)).with_fields(in_euros(entry.item, rates()))


def _footprint(item: Item) -> Item:
    try:
        return footprints.of(item)
    except Exception:  # an estimate must never cost an event
        logger.exception("a footprint could not be computed")
        metrics.add_metric("FootprintErrors", MetricUnit.Count, 1)
        return {}


def _take_one(raw: Any, ledger: Ledger, now: datetime, deadline: float) -> Response:
    try:
        entry = _entry(raw, ledger, now)
    except Refused as refused:
        _count([], None, [refused.errors])
        raise HttpError(422, "invalid", "The event is not valid.", refused.errors) from None
    taken = intake.take([entry], ledger.calendar, now, deadline)
    _count([entry], taken, [])
    fate = taken.fates[0]
    if fate is Fate.RETRY:
        return respond(503, _unavailable(), RETRY_AFTER)
    status = 201 if fate is Fate.CREATED else 200
    return respond(status, {"eventId": entry.event_id, "status": fate.value})


def _take_array(raws: list[Any], ledger: Ledger, now: datetime, deadline: float) -> Response:
    entries: dict[int, Entry] = {}
    rejections: list[Rejection] = []
    for index, raw in enumerate(raws):
        try:
            entries[index] = _entry(raw, ledger, now)
        except Refused as refused:
            rejections.append(Rejection(index, _event_id(raw), refused.errors))
    taken = intake.take(list(entries.values()), ledger.calendar, now, deadline)
    _count(list(entries.values()), taken, [rejection.errors for rejection in rejections])
    answer: dict[str, Any] = {
        "created": taken.fates.count(Fate.CREATED),
        "duplicates": taken.fates.count(Fate.DUPLICATE),
        "rejected": [_told(rejection) for rejection in rejections],
    }
    retry = [
        {"index": index, "eventId": entry.event_id}
        for (index, entry), fate in zip(entries.items(), taken.fates, strict=True)
        if fate is Fate.RETRY
    ]
    if retry:
        return respond(503, _unavailable() | answer | {"retry": retry}, RETRY_AFTER)
    return respond(200, answer)


def _event_id(raw: Any) -> str | None:
    event_id = raw.get("eventId") if isinstance(raw, dict) else None
    return event_id if isinstance(event_id, str) else None


def _unavailable() -> dict[str, Any]:
    return HttpError(503, "storage", "Not all events could be stored. Send them again.").body


def _count(entries: list[Entry], taken: Taken | None, refusals: list[FieldErrors]) -> None:
    fates = taken.fates if taken else []
    counts = {
        "Accepted": fates.count(Fate.CREATED),
        "Duplicate": fates.count(Fate.DUPLICATE),
        "Retry": fates.count(Fate.RETRY),
        "Rejected": len(refusals),
        "Unpriced": sum(entry.unpriced for entry in entries),
        "Unrated": sum(entry.unrated for entry in entries),
        "UnknownFields": sum(entry.unknown_fields for entry in entries),
    }
    for name, value in counts.items():
        metrics.add_metric(name, MetricUnit.Count, value)
    count_by("Rejected", "field", Counter(_wrong_field(errors) for errors in refusals))
    if refusals:
        logger.warning("events rejected", fields=sorted({e["field"] for errors in refusals for e in errors}))
    if taken and taken.failures:
        logger.error("storage failed", causes=dict(taken.failures))


def _wrong_field(errors: FieldErrors) -> str:
    """Name the first field that was wrong, by a name of the contract: a sender must not make up metrics."""
    name = errors[0]["field"].partition(".")[0]
    return name if name in FIELDS else "event"
