"""Make the OpenAPI 3.1 document from the functions' own fields, limits and parameters."""

import ast
import inspect
import tomllib
from dataclasses import fields
from decimal import Decimal
from textwrap import dedent
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from impact.billing import CORRECTED, Terms
from impact.breakdown import DIMENSIONS, VALUES_MAX, WHOLE
from impact.breakdown_reader import COSTS
from impact.calendar import AHEAD, RETENTION_RESERVE
from impact.daily_totals import DAYS_MAX
from impact.naming import COST_CENTRE_MAX, NAME_MAX
from impact.summary import MODELS_MAX, RANGES, Figures, Sums, Tally
from impact.usage_reader import PAGE_USERS
from local import PROJECT
from local.openapi.examples import EVENT, MINIMAL, responses
from request_events.event import RequestEvent
from request_events.limits import BODY_BYTES_MAX, DIGITS_MAX, EVENT_BYTES_MAX, EVENTS_MAX
from summaries.parameters import DIMENSION_OF, MY_DIMENSIONS, PARAMETERS

Schema = dict[str, Any]

POST = "POST /api/request-event"
SUMMARIES = "GET /api/summaries"
TOTALS = "GET /api/totals"
BREAKDOWN = "GET /api/breakdown"
MY_SUMMARIES = "GET /api/me/summaries"
MY_BREAKDOWN = "GET /api/me/breakdown"

ABOUT = f"""\
What AI chat costs, per user and day, in money and in nature: a ledger of requests, and exact daily summaries.

- Numbers are JSON numbers, exact and never rounded, of at most {DIGITS_MAX} digits: read them as decimals.
- Days begin in the reporting time zone of the stack, UTC unless it says otherwise.
- Errors of the service have the shape `Error`; those of API Gateway before it have the shape `Message`.
- A route or a method that is not described here is a 404, but for the pages (docs/page.md) and MCP
  (docs/mcp.md).
"""
SENDING = f"""\
One event, or an array of up to {EVENTS_MAX}; up to {BODY_BYTES_MAX} bytes of JSON, without a
Content-Encoding. In an array each event is taken or rejected by itself: one that is not valid never costs
another one.

The same event sent again is a duplicate, told by its `eventId`: the first one stays. A 2xx means that every
event that it does not name as rejected is stored. After a 429, a 5xx or no answer, send the same again.

Beside what the schema says: `ts` may be {AHEAD.seconds // 60} minutes ahead of the service's clock, and as
old as the stack keeps events (`RetentionDays`), less {RETENTION_RESERVE.days} days; a text holds no lone
surrogates; an event takes at most {EVENT_BYTES_MAX} bytes in the ledger. Fields that the schema does not \
name are
dropped and never stored.
"""
READING = f"""\
With `userId`: that user's days with use, in order, and their sum. Where more days follow than fit an answer,
`next` is the `cursor` of the next page; `total` is of all days on each page. With `teamId`, `keyAlias`,
`tag`, `model` or `provider`: the days on which it has requests, in order, and their sum. With `day`: every
user of that day, {PAGE_USERS} a page, or fewer where no more fit; `next` is the `cursor` of the next page,
`null` on the last one.
Without use there is an empty list and zeros.

`from` and `to` are included, at most {DAYS_MAX} days. Ask for each page with the same parameters.
"""
COMPARING = f"""\
What each value of a dimension did, dearest first, `limit` a page, or fewer where no more fit;
`next` is the `cursor` of the next page, `null` on the last one. Ask for each page with the same parameters.
`from` and `to` are included, at most {DAYS_MAX} days.

The {VALUES_MAX:,} dearest values of a day and shard stand by themselves. All others are summed in the
*rest*, the last item. Sums of {", ".join(WHOLE[:-1])} and {WHOLE[-1]} equal those of
`/api/totals` to the last digit. Those of tags need not: a request counts for each of its tags.
"""
MINE = f"""\
The caller's own days with use, in order, and their sum: as `/api/summaries` with `userId`, which is the
token's. A `userId` in the query is ignored. `from` and `to` are included, at most {DAYS_MAX} days.
"""
MY_PARTS = f"""\
What the caller did with each model, or of each provider, dearest first. The sums equal those of
`/api/me/summaries` to the last digit. `from` and `to` are included, at most {DAYS_MAX} days.
"""
WHEN = {
    201: "The event is stored.",
    400: "The body is not JSON, or not UTF-8.",
    401: "No token.",
    403: "A token that is not valid for this route.",
    413: f"Over {BODY_BYTES_MAX} bytes, or over {EVENTS_MAX} events.",
    415: "A Content-Encoding.",
    422: "Not valid: `details` names each field, or parameter.",
    429: "Too many requests at once: wait and send it again.",
    503: "Storage did not take everything: send it again after `Retry-After` seconds. For an array, `retry` "
    "names those to send again, beside `created`, `duplicates` and `rejected`.",
}
WHEN_200 = {
    POST: "One event: it was there already. An array: what became of it.",
    SUMMARIES: "The days of a user, team, key or tag, or the day's users.",
    TOTALS: "The platform's days with use, and their sum.",
    BREAKDOWN: "What each value of the dimension did.",
    MY_SUMMARIES: "The caller's days, and their sum.",
    MY_BREAKDOWN: "What the caller did with each model, or of each provider.",
}

TO_THE_SUMMARY = {
    "operationId": "readSummaries",
    "description": "The days of the user of the event; with `fresh` the event is counted already.",
    "parameters": {"userId": "$request.body#/userId", "fresh": "true"},
}


def document() -> Schema:
    """Describe every route."""
    given = responses()
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Impact Service", "version": project["version"], "description": ABOUT},
        "servers": [
            {"url": "http://localhost:3090", "description": "make local"},
            {
                "url": "https://{api}.execute-api.{region}.amazonaws.com",
                "description": "ApiUrl, in the outputs of the stack",
                "variables": {"api": {"default": "abcdefghij"}, "region": {"default": "eu-central-1"}},
            },
        ],
        "paths": {
            "/api/request-event": {"post": _post(given[POST])},
            "/api/summaries": {"get": _get(SUMMARIES, "readSummaries", READING, given[SUMMARIES])},
            "/api/totals": {
                "get": _get(TOTALS, "readTotals", "The platform, a row for each day with use.", given[TOTALS])
            },
            "/api/breakdown": {"get": _get(BREAKDOWN, "readBreakdown", COMPARING, given[BREAKDOWN])},
            "/api/me/summaries": {"get": _get(MY_SUMMARIES, "readMySummaries", MINE, given[MY_SUMMARIES])},
            "/api/me/breakdown": {
                "get": _get(MY_BREAKDOWN, "readMyBreakdown", MY_PARTS, given[MY_BREAKDOWN])
            },
        },
        "components": {
            "securitySchemes": {
                "ingest": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An ingest token of the stack.",
                },
                "read": {"type": "http", "scheme": "bearer", "description": "A read token of the stack."},
                "person": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A person's: of a link (`impact link`), or of the identity provider.",
                },
            },
            "schemas": _schemas(),
        },
    }


def _post(given: dict[int, Any]) -> Schema:
    an_event = _ref("RequestEvent")
    body = {"oneOf": [an_event, {"type": "array", "items": an_event, "minItems": 1, "maxItems": EVENTS_MAX}]}
    examples = {"event": EVENT, "leastEvent": MINIMAL, "array": [EVENT, MINIMAL]}
    responses = _responses(POST, given)
    return {
        "operationId": "postEvents",
        "summary": "Send events",
        "description": SENDING,
        "security": [{"ingest": []}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": body, "examples": _values(examples)}},
        },
        "responses": responses | {"201": responses["201"] | {"links": {"summary": TO_THE_SUMMARY}}},
    }


def _get(route: str, operation_id: str, about: str, given: dict[int, Any]) -> Schema:
    parameters = [
        {
            "name": name,
            "in": "query",
            "description": parameter.meaning,
            **({"required": True} if name == "by" else {}),
            "schema": dict(parameter.schema),
        }
        for name, parameter in PARAMETERS[route].items()
    ]
    return {
        "operationId": operation_id,
        "summary": WHEN_200[route],
        "description": about,
        "security": [{"person" if route in (MY_SUMMARIES, MY_BREAKDOWN) else "read": []}],
        "parameters": parameters,
        "responses": _responses(route, given),
    }


def _responses(route: str, given: dict[int, Any]) -> Schema:
    """Describe each status of the examples, and those of API Gateway."""
    schemas = {
        (POST, 200): {"oneOf": [_ref("Stored"), _ref("Taken")]},
        (POST, 201): _ref("Stored"),
        (POST, 413): {"oneOf": [_ref("Error"), _ref("Message")]},
        (POST, 503): {"oneOf": [_ref("Unavailable"), _ref("Message")]},
        (SUMMARIES, 200): {"oneOf": [_ref("UserDays"), _ref("ValueDays"), _ref("DayPage")]},
        (TOTALS, 200): _ref("PlatformDays"),
        (BREAKDOWN, 200): _ref("Breakdown"),
        (MY_SUMMARIES, 200): _ref("UserDays"),
        (MY_BREAKDOWN, 200): _ref("MyBreakdown"),
    }
    gateway = {401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests"}
    responses: Schema = {}
    for status in sorted({*given, *gateway}):
        examples = {name: example["body"] for name, example in given.get(status, {}).items()}
        if status in gateway:
            examples = {"gateway": {"message": gateway[status]}}
        schema = schemas.get((route, status), _ref("Message" if status in gateway else "Error"))
        responses[str(status)] = {
            "description": WHEN_200[route] if status == 200 else WHEN[status],
            **_headers(given.get(status, {})),
            "content": {"application/json": {"schema": schema, "examples": _values(examples)}},
        }
    return responses


def _headers(given: dict[str, Any]) -> Schema:
    names = sorted({name for example in given.values() for name in example["headers"]})
    described = {
        "retry-after": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
        "impact-service": {
            "description": "Which service this is: the same under each of its URLs.",
            "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        },
    }
    return {"headers": {name.title(): described[name] for name in names}} if names else {}


def _schemas() -> Schema:
    of_prices = {
        "prices": _list({"type": "string"})
        | {"description": "Ids of the price book's entries that costs are by; absent where there are none."}
    }
    of_value, model = _properties(Sums), _properties(Figures)
    sums = of_value | of_prices
    of_value = {name: schema for name, schema in of_value.items() if name not in ("firstTs", "lastTs")}
    least = set(Tally(requests=1, unrated=1).as_fields()) - {"models"}
    billed = {*least, "markupEUR", "restorationFeeEUR", "billedEUR"}
    models = {
        "description": f"By `provider/model`, {MODELS_MAX} at most; the rest is under `other/other`.",
        "additionalProperties": _object(model, least & model.keys()),
    }
    exchange = {
        "fxRate": {
            "type": "number",
            "description": "US dollars for one euro; absent where nothing was converted.",
        },
        "fxDate": {"type": "string", "format": "date", "description": "The ECB's date of that rate."},
    }
    stamp = {
        "asOf": {"type": "string", "format": "date-time", "description": "When it was computed."},
        "final": {"type": "boolean", "description": "Whether only a late event can change it."},
    }
    day, count = {"type": "string", "format": "date"}, {"type": "integer", "minimum": 0}
    of_user = {"models": {"type": "object", **models}}
    named = {
        "name": _text("What the operator calls the id; absent where it has no name.", NAME_MAX),
        "costCentre": _text("Who pays, as the operator wrote it beside the name.", COST_CENTRE_MAX),
    }
    summary = {
        "userId": {"type": "string"},
        **named,
        "day": day,
        **sums,
        **of_user,
        **exchange,
        "terms": _ref("Terms"),
        "before": _before(sums, model),
        **stamp,
    }
    platform_day = {"day": day, "users": count, **sums, **exchange, **stamp}
    a_range = {"from": day, "to": day}
    created = {"created": count, "duplicates": count, "rejected": _list(_ref("Rejected"))}
    error = {
        "code": {"type": "string", "description": "For programs."},
        "message": {"type": "string"},
        "details": _list(_ref("FieldError")),
    }
    failed = {"error": _object(error)}
    which = {"index": count, "eventId": {"type": "string"}}
    return {
        "RequestEvent": _event(),
        "Stored": _object({"eventId": {"type": "string"}, "status": {"enum": ["created", "duplicate"]}}),
        "Taken": _object(created),
        "Rejected": _object(
            {"index": count, "eventId": {"type": ["string", "null"]}, "errors": _list(_ref("FieldError"))}
        ),
        "Unavailable": _object(failed | created | {"retry": _list(_object(which))}, {"error"}),
        "Error": _object(failed),
        "FieldError": _object({"field": {"type": "string"}, "message": {"type": "string"}}),
        "Message": _object({"message": {"type": "string"}}) | {"description": "As API Gateway words it."},
        "UserDays": _object(
            {
                "userId": {"type": "string"},
                **named,
                **a_range,
                "days": _list(_ref("DailySummary")),
                "total": _object(sums | of_user, least | {"models"}),
                "next": {"type": "string", "description": "Cursor of the next page, where days follow."},
                "notFresh": _list(day)
                | {"description": "With `fresh`: days for which there was no time. They are as stored."},
            },
            {"userId", *a_range, "days", "total"},
        ),
        "DayPage": _object(
            {"day": day, "items": _list(_ref("DailySummary")), "next": {"type": ["string", "null"]}}
        ),
        "DailySummary": _object(summary, {"userId", "day", "requests", *stamp}),
        "PlatformDays": _object(
            a_range | {"days": _list(_ref("PlatformDay")), "total": _object(sums, least)}
        ),
        "PlatformDay": _object(platform_day, {"day", "users", *least, *stamp}),
        "Breakdown": _object(
            {
                "by": {"enum": list(DIMENSIONS)},
                **a_range,
                "items": _list(_ref("Value")),
                "final": stamp["final"],
                "next": {"type": ["string", "null"]},
            }
        ),
        "Value": _object(
            {
                "value": {
                    "type": ["string", "null"],
                    "description": "`null`: requests that have none; or the rest.",
                },
                **named,
                "rest": {
                    "const": True,
                    "description": "Of the last item, and only where there is one: the values that did not "
                    "stand by themselves. Some of what the others did may be in it.",
                },
                **of_value,
                "days": _list(_object({"day": day, **{cost: of_value[cost] for cost in COSTS}}))
                | {"description": "With `daily`, of the dearest values: what they cost on each day."},
            },
            {"value", *billed},
        ),
        "MyBreakdown": _object(
            {
                "by": {"enum": list(MY_DIMENSIONS)},
                **a_range,
                "items": _list(
                    _object(
                        {
                            "value": {"type": ["string", "null"], "description": "`null`: the rest."},
                            "rest": {
                                "const": True,
                                "description": "Of the last item, where a day had too many models to list.",
                            },
                            **model,
                        },
                        {"value", *(least & model.keys())},
                    )
                ),
                "final": stamp["final"],
                "next": {"type": "null"},
            }
        ),
        "ValueDays": _object(
            {
                **{name: {"type": "string"} for name in DIMENSION_OF},
                **named,
                **a_range,
                "days": _list(
                    _object({"day": day, **of_value, "final": stamp["final"]}, {"day", *billed, "final"})
                ),
                "total": _object(of_value, billed),
                "inRest": _list(day)
                | {"description": "Days that have a rest: some of what the value did may be in it, or all."},
            },
            {*a_range, "days", "total"},
        )
        | {"oneOf": [{"required": [name]} for name in DIMENSION_OF]},
        "Range": _object({"low": {"type": "number", "minimum": 0}, "high": {"type": "number", "minimum": 0}}),
        "Terms": _terms(),
    }


def _event() -> Schema:
    schema: Schema = RequestEvent.model_json_schema()
    about = _docstrings(RequestEvent)
    for name, field in schema["properties"].items():
        field.pop("title")
        if name in about:
            field["description"] = about[name]
        if field.get("default", "") is None:
            del field["default"]
    return schema | {
        "description": "One AI request. `null` in an optional field is the same as leaving it out."
    }


def _properties(of: type[Figures]) -> Schema:
    """Fields of sums: a footprint's low and high as a Range, others by their type."""
    hints = get_type_hints(of)
    about = _docstrings(Figures) | _docstrings(of)
    hidden = {"models", *(bound for bounds in RANGES.values() for bound in bounds)}
    shown = {f.name: _schema_of(hints[f.name]) for f in fields(of) if f.name not in hidden}
    for name in shown.keys() & about.keys():
        shown[name]["description"] = about[name]
    footprint = "What is known of it; absent where nothing could be rated."
    return shown | {name: _ref("Range") | {"description": footprint} for name in RANGES}


def _before(sums: Schema, model: Schema) -> Schema:
    """The fields of a corrected day that another price changes, as they were."""
    costs = {name: model[name] for name in ("costEUR", "costUSD", "unconverted")}
    models = {"type": "object", "additionalProperties": _object(costs, ())}
    fields = {name: sums[name] for name in CORRECTED} | {"models": models}
    return _object(fields, ()) | {
        "description": "What a corrected day was final with at first; absent where nothing changed."
    }


def _terms() -> Schema:
    every = Terms(Decimal(1), Decimal(1), Decimal(1), "source").as_fields()
    properties = {
        name: {"type": "string" if isinstance(value, str) else "number"} for name, value in every.items()
    }
    return _object(properties, Terms().as_fields()) | {
        "description": "What euros and square metres came from."
    }


def _schema_of(hint: Any) -> Schema:
    if get_origin(hint) is UnionType:
        [hint] = [member for member in get_args(hint) if member is not NoneType]
    if hint is str:  # all texts of sums are instants
        return {"type": "string", "format": "date-time"}
    return {"type": "integer" if hint is int else "number", "minimum": 0}


def _docstrings(cls: type) -> dict[str, str]:
    """The texts under the fields of a class."""
    [definition] = ast.parse(dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as words)):
                found[name] = inspect.cleandoc(words)
    return found


def _object(properties: Schema, required: Any = None) -> Schema:
    named = properties if required is None else [name for name in properties if name in required]
    return {"type": "object", "properties": properties, "required": list(named)}


def _text(about: str, longest: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest, "description": about}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _values(examples: dict[str, Any]) -> Schema:
    return {name: {"value": value} for name, value in examples.items()}
