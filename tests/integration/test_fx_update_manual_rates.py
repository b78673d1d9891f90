"""Fx rates that an operator stores or corrects through the rates function."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from impact.billing import Terms
from impact.ecb import BadRates
from impact.fx_rates import FxRate
from impact.fx_update import BadReason, NotATargetDay, RateKnown
from impact.ledger_store import LedgerStore
from impact.state_store import StateStore
from impact.store import Store
from impact.usage_reader import UsageReader
from tests.events import NOON, entry_builder, event
from tests.integration.conftest import Handler
from tests.integration.steps import put, roll_up
from tests.integration.test_fx_update import rates, stored
from tests.rates import publish


def test_a_rate_entered_by_hand(store: Store, rates_handler: Handler) -> None:
    publish(store, FxRate("2026-11-19", Decimal("1.11")))
    by_hand = {"date": "2026-11-20", "usd": "1.1172"}
    assert rates_handler(by_hand) == {"stored": 1, "from": "2026-11-20", "to": "2026-11-20"}
    assert stored(store, "2026-11-20") == {
        "kind": "rate",
        "key": "2026-11-20",
        "usd": Decimal("1.1172"),
        "source": "operator",
        "recordedAt": "2026-11-23T12:00:00.000000Z",
    }
    with pytest.raises(RateKnown, match=r"2026-11-20 has that rate already: 1\.1172"):
        rates_handler(by_hand | {"usd": "1.11720", "reason": "again", "confirm": True})


def test_a_rate_of_a_date_that_has_none_may_have_a_reason(store: Store, rates_handler: Handler) -> None:
    publish(store, FxRate("2026-11-19", Decimal("1.11")))
    assert rates_handler({"date": "2026-11-20", "usd": "1.1172", "reason": "the ECB had none"})["stored"] == 1
    assert stored(store, "2026-11-20")["reason"] == "the ECB had none"


KNOWN = [FxRate("2026-11-18", Decimal("1.1")), FxRate("2026-11-20", Decimal("1.5"))]


@pytest.mark.parametrize(
    ("day", "usd", "why"),
    [
        ("2026-11-23", "15.0", "2026-11-23: 15.0 is more than 20% away from 1.5 on 2026-11-20"),
        ("2026-11-23", "1.81", "2026-11-23: 1.81 is more than 20% away from 1.5 on 2026-11-20"),
        ("2026-11-19", "1.15", "2026-11-19: 1.15 is more than 20% away from 1.5 on 2026-11-20"),
        ("2026-11-19", "1.45", "2026-11-19: 1.45 is more than 20% away from 1.1 on 2026-11-18"),
        ("2026-11-17", "1.10", "2026-11-17: 1.10 has none before it to be compared with"),
    ],
)
@pytest.mark.parametrize("confirm", [{}, {"confirm": False}, {"confirm": "true"}, {"confirm": 1}])
def test_an_odd_rate_is_stored_only_when_confirmed(
    store: Store, rates_handler: Handler, day: str, usd: str, why: str, confirm: dict[str, object]
) -> None:
    publish(store, *KNOWN)
    before = rates(store)
    by_hand = {"date": day, "usd": usd}
    confirmable = f'{why}. If this is right, send it again with "confirm": true.'
    assert rates_handler(by_hand | confirm) == {"stored": 0, "confirm": confirmable}
    assert rates(store) == before
    assert rates_handler(by_hand | {"confirm": True}) == {"stored": 1, "from": day, "to": day}
    assert rates(store) == before | {day: Decimal(usd)}


@pytest.mark.parametrize(("day", "usd"), [("2026-11-23", "1.8"), ("2026-11-19", "1.32")])
def test_a_rate_just_20_percent_away_is_not_odd(
    store: Store, rates_handler: Handler, day: str, usd: str
) -> None:
    publish(store, *KNOWN)
    assert rates_handler({"date": day, "usd": usd})["stored"] == 1


CORRECTION = {"date": "2026-11-20", "usd": "1.1172", "reason": "typed 11.172 for 1.1172"}


@pytest.fixture
def mistyped(store: Store, rates_handler: Handler) -> None:
    """11.172 was entered for 1.1172, and confirmed."""
    publish(store, FxRate("2026-11-19", Decimal("1.1148")))
    assert rates_handler({"date": "2026-11-20", "usd": "11.172", "confirm": True})["stored"] == 1


@pytest.mark.usefixtures("mistyped")
def test_a_wrong_rate_is_corrected_by_a_new_entry(store: Store, rates_handler: Handler) -> None:
    wrong = stored(store, "2026-11-20")
    assert rates_handler(CORRECTION) == {
        "stored": 0,
        "confirm": "2026-11-20 has 11.172 (operator), which 1.1172 would replace."
        ' If this is right, send it again with "confirm": true.',
        "replaces": "11.172",
        "changes": [],
    }
    assert rates(store)["2026-11-20"] == Decimal("11.172")
    assert rates_handler(CORRECTION | {"confirm": True}) == {
        "stored": 1,
        "from": "2026-11-20",
        "to": "2026-11-20",
        "replaces": "11.172",
        "changes": [],
    }
    assert rates(store) == {"2026-11-19": Decimal("1.1148"), "2026-11-20": Decimal("1.1172")}
    assert store.state.fx_rate_of("2026-11-23") == FxRate("2026-11-20", Decimal("1.1172"))
    assert stored(store, "2026-11-20") == wrong
    assert stored(store, "2026-11-20#01") == {
        "kind": "rate",
        "key": "2026-11-20#01",
        "usd": Decimal("1.1172"),
        "source": "operator",
        "reason": "typed 11.172 for 1.1172",
        "replaces": Decimal("11.172"),
        "recordedAt": "2026-11-23T12:00:00.000000Z",
    }


@pytest.mark.usefixtures("mistyped")
@pytest.mark.parametrize("confirm", [False, "true", 1, None])
def test_only_true_confirms_a_correction(store: Store, rates_handler: Handler, confirm: object) -> None:
    assert rates_handler(CORRECTION | {"confirm": confirm})["stored"] == 0
    assert rates(store)["2026-11-20"] == Decimal("11.172")


@pytest.mark.usefixtures("mistyped")
def test_the_last_correction_holds_however_many_there_are(store: Store, rates_handler: Handler) -> None:
    for number in range(1, 100):
        rate = FxRate("2026-11-20", Decimal(f"1.{number:02d}1"))
        assert store.state.put_fx_correction(
            rate, number, replaces=Decimal(1), source="operator", reason="a test", now=NOON
        )
    for usd in ("1.1172", "1.1173"):
        assert rates_handler(CORRECTION | {"usd": usd, "confirm": True})["stored"] == 1
        assert rates(store)["2026-11-20"] == Decimal(usd)
    assert stored(store, "2026-11-20#100")["replaces"] == Decimal("1.991")
    assert stored(store, "2026-11-20#101")["replaces"] == Decimal("1.1172")
    back = rates_handler(CORRECTION | {"usd": "11.172", "reason": "it was right", "confirm": True})
    assert (back["stored"], rates(store)["2026-11-20"]) == (1, Decimal("11.172"))


@pytest.mark.usefixtures("mistyped")
def test_a_correction_is_checked_like_any_other_rate(store: Store, rates_handler: Handler) -> None:
    response = rates_handler(CORRECTION | {"usd": "0.11172"})
    assert response["confirm"].startswith(
        "2026-11-20: 0.11172 is more than 20% away from 1.1148 on 2026-11-19."
        " 2026-11-20 has 11.172 (operator), which 0.11172 would replace. If this is right"
    )


@pytest.mark.usefixtures("mistyped")
@pytest.mark.parametrize("reason", [None, "", "  \n", 7, ["why"], "x" * 501, "\ud800"])
@pytest.mark.parametrize("confirm", [False, True])
def test_a_correction_has_to_say_why(
    store: Store, rates_handler: Handler, reason: object, confirm: bool
) -> None:
    with pytest.raises(BadReason, match=r'2026-11-20 has 11\.172 already: .* "reason"'):
        rates_handler(CORRECTION | {"reason": reason, "confirm": confirm})
    assert rates(store)["2026-11-20"] == Decimal("11.172")


@pytest.mark.parametrize("reason", ["", 7, "x" * 501, "\ud800"])
def test_a_reason_that_is_no_text_is_reported_with_a_first_entry_too(
    store: Store, rates_handler: Handler, reason: object
) -> None:
    with pytest.raises(BadReason, match='"reason"'):
        rates_handler({"date": "2026-11-20", "usd": "1.1172", "reason": reason, "confirm": True})
    assert rates(store) == {}


def test_a_rate_of_the_ecb_can_be_corrected(store: Store, rates_handler: Handler) -> None:
    rates_handler({})
    by_ecb = stored(store, "2026-11-20")
    assert by_ecb["source"].startswith("ECB, http://")
    response = rates_handler({"date": "2026-11-20", "usd": "1.1177", "reason": "the ECB says so since"})
    assert f"2026-11-20 has {by_ecb['usd']} ({by_ecb['source']}), which 1.1177" in response["confirm"]
    rates_handler({"date": "2026-11-20", "usd": "1.1177", "reason": "the ECB says so since", "confirm": True})
    assert (rates(store)["2026-11-20"], stored(store, "2026-11-20")) == (Decimal("1.1177"), by_ecb)


@pytest.mark.usefixtures("mistyped")
def test_of_two_corrections_at_once_one_learns_of_the_other(
    store: Store, rates_handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = StateStore.fx_rate_entries

    def read_before_another(self: StateStore, ecb_date: str) -> Any:
        found = entries(self, ecb_date)
        monkeypatch.setattr(StateStore, "fx_rate_entries", entries)
        rates_handler(CORRECTION | {"usd": "1.1173", "confirm": True})
        return found

    monkeypatch.setattr(StateStore, "fx_rate_entries", read_before_another)
    with pytest.raises(RateKnown, match="2026-11-20 was given another rate at this moment"):
        rates_handler(CORRECTION | {"confirm": True})
    assert rates(store)["2026-11-20"] == Decimal("1.1173")


def the_platforms(store: Store, day: str) -> Any:
    [found] = UsageReader(store, entry_builder().calendar, Terms()).platform(day, day)["days"]
    return found


@pytest.mark.usefixtures("mistyped")
def test_what_changes_is_shown_before_anything_is_stored(
    store: Store, rates_handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The days from Saturday to Monday are converted at Friday's rate, and no other."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON)
    publish(store, FxRate("2026-11-18", Decimal("1.11")), FxRate("2026-11-23", Decimal("1.12")))
    days = ["2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24"]
    later = NOON + timedelta(days=1)
    for number, day in enumerate(days):
        ts = f"{day}T11:00:00Z"
        used = [
            event(userId=f"user{n}", eventId=f"{day}-{n}", ts=ts, costUSD=Decimal(f"0.{number + 1}{n}7"))
            for n in range(7)
        ]
        put(store, *(used if day != "2026-11-22" else []), now=later)
    in_euros = event(ts="2026-11-21T12:00:00Z", eventId="euros", costUSD=None, costEUR=Decimal("0.5"))
    only_euros = event(ts="2026-11-22T12:00:00Z", eventId="euros", costUSD=None, costEUR=Decimal("0.5"))
    put(store, in_euros, only_euros, now=later)
    roll_up(store, later)
    now = {day: the_platforms(store, day) for day in ("2026-11-21", "2026-11-23")}
    changes = rates_handler(CORRECTION)["changes"]
    assert [(change["day"], change["costUSD"]) for change in changes] == [
        ("2026-11-21", "2.359"),  # 0.307 and 0.317 ... 0.367
        ("2026-11-23", "3.759"),
    ]
    assert [change["costEUR"] for change in changes] == [f"{day['costEUR']:f}" for day in now.values()]
    assert rates_handler(CORRECTION | {"confirm": True})["changes"] == changes
    assert the_platforms(store, "2026-11-21") == now["2026-11-21"]  # until it is recomputed
    for change in changes:
        store.state.mark_late(
            change["day"], range(entry_builder().calendar.shard_count(change["day"])), later
        )
    roll_up(store, later + timedelta(hours=1))
    for change in changes:
        assert f"{the_platforms(store, change['day'])['costEUR']:f}" == change["newCostEUR"]


@pytest.mark.parametrize(
    ("event", "error", "reason"),
    [
        ({"date": "2026-11-20"}, BadRates, "None is no rate"),
        ({"usd": "1.1172"}, BadRates, "None is no date"),
        ({"date": "yesterday", "usd": "1.1172"}, BadRates, "'yesterday' is no date"),
        ({"date": "20261120", "usd": "1.1172"}, BadRates, "'20261120' is no date"),
        ({"date": 20261120, "usd": "1.1172"}, BadRates, "20261120 is no date"),
        ({"date": None, "usd": None}, BadRates, "None is no date"),
        ({"date": "2026-11-24", "usd": "1.1172"}, BadRates, "2026-11-24 is in the future"),
        ({"date": "2026-11-21", "usd": "1.1172"}, NotATargetDay, "TARGET is closed on 2026-11-21"),
        ({"date": "2026-11-20", "usd": 1.1172}, BadRates, r"1\.1172 is no rate"),
        ({"date": "2026-11-20", "usd": "1,1172"}, BadRates, "'1,1172' is no rate"),
        ({"date": "2026-11-20", "usd": "0"}, BadRates, "'0' is no rate"),
        ({"date": "2026-11-20", "usd": "-1"}, BadRates, "'-1' is no rate"),
        ({"date": "2026-11-20", "usd": "NaN"}, BadRates, "'NaN' is no rate"),
    ],
)
def test_a_bad_rate_by_hand(
    store: Store, rates_handler: Handler, event: Any, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        rates_handler(event)
    assert rates(store) == {}
