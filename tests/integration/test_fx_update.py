"""The rates function on DynamoDB, with a server of the ECB's files: the last good rates always stay."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from impact import ecb
from impact.billing import Terms
from impact.dynamodb import item_from_wire, to_wire
from impact.ecb import DAILY, LAST_90_DAYS, BadRates
from impact.fx_rates import FxRate
from impact.fx_update import BadReason, FxUpdate, NotATargetDay, RateKnown, store_manual_rate, update_fx_rates
from impact.ledger_store import LedgerStore
from impact.state_store import StateStore
from impact.store import Store
from impact.usage_reader import UsageReader
from local.fake_ecb import Server, daily_file, history_file, published, recorded, serving
from rates import app
from tests.events import NOON, entry_builder, event, freeze
from tests.integration.test_recompute import put, roll_up
from tests.lambda_context import CONTEXT
from tests.rates import publish

NOW = datetime(2026, 10, 30, 18, tzinfo=UTC)
"""A Friday evening, of which the records have the rate: 1.1172."""
FRIDAY, THURSDAY = "2026-10-30", "2026-10-29"
PACKAGED_UNTIL = "2026-10-09"
RETENTION = timedelta(days=400)


@pytest.fixture(autouse=True)
def old_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A packaged history that ends three weeks before NOW."""
    monkeypatch.setattr(
        ecb, "packaged", lambda first, last: published(max(first, "2025-01-01"), min(last, PACKAGED_UNTIL))
    )


@pytest.fixture
def server() -> Iterator[Server]:
    """The ECB on Friday evening."""
    with serving() as running:
        running.publish(published("2026-08-03", FRIDAY))
        yield running


Run = Callable[..., FxUpdate]
Handler = Callable[[Any], Any]


@pytest.fixture
def run(store: Store, server: Server) -> Run:
    return lambda now=NOW: update_fx_rates(store, server.url, RETENTION, now)


@pytest.fixture
def seeded(store: Store) -> None:
    """All rates up to Thursday are known."""
    items: list[Any] = [
        {"PutRequest": {"Item": to_wire({"kind": "rate", "key": day, "usd": usd})}}
        for day, usd in published("2025-09-24", THURSDAY).items()
    ]
    for start in range(0, len(items), 25):
        store.client.batch_write_item(RequestItems={store.state.name: items[start : start + 25]})


def rates(store: Store) -> dict[str, Decimal]:
    return dict(store.state.fx_rates("0", "9999-12-31").usd)


def stored(store: Store, day: str) -> Any:
    key = {"kind": {"S": "rate"}, "key": {"S": day}}
    return item_from_wire(store.client.get_item(TableName=store.state.name, Key=key)["Item"])


def test_a_first_deployment_seeds_and_fills_the_gap(store: Store, server: Server, run: Run) -> None:
    updated = run()
    assert updated.problems == []
    known = rates(store)
    assert known == published("2025-09-24", FRIDAY)  # 400 days and the rate before
    assert sorted(updated.stored) == sorted(known)
    assert stored(store, "2026-10-09")["source"] == ecb.packaged_source()
    assert stored(store, "2026-10-12")["source"] == f"ECB, {server.url}"
    assert stored(store, FRIDAY) == {
        "kind": "rate",
        "key": FRIDAY,
        "usd": Decimal("1.1172"),
        "source": f"ECB, {server.url}",
        "recordedAt": "2026-10-30T18:00:00.000000Z",
    }


def test_a_longer_retention_seeds_more(store: Store, server: Server, run: Run) -> None:
    run()
    assert update_fx_rates(store, server.url, timedelta(days=600), NOW).stored
    assert min(rates(store)) == "2025-03-07"


def test_a_short_retention_seeds_no_less(store: Store, server: Server) -> None:
    update_fx_rates(store, server.url, timedelta(days=3), NOW)
    assert rates(store) == published("2025-09-24", FRIDAY)


def test_a_first_deployment_without_a_network_has_the_seeds_and_fails(
    store: Store, server: Server, run: Run
) -> None:
    server.files.clear()
    [daily, history, missing] = run().problems
    assert DAILY in daily
    assert LAST_90_DAYS in history
    assert missing.startswith("no rate known of 2026-10-12, 2026-10-13, ")
    assert missing.endswith(", 2026-10-29")
    assert rates(store) == published("2025-09-24", PACKAGED_UNTIL)


def test_a_seeding_that_broke_off_goes_on_next_time(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = StateStore.put_fx_rate

    def breaks_off(self: StateStore, rate: FxRate, **given: Any) -> bool:
        if rate.date == "2026-06-01":
            raise ClientError({"Error": {"Code": "InternalServerError", "Message": ""}}, "PutItem")
        return put(self, rate, **given)

    with monkeypatch.context() as broken:
        broken.setattr(StateStore, "put_fx_rate", breaks_off)
        with pytest.raises(ClientError):
            run()
    assert min(rates(store)) == "2026-06-02"
    assert run().problems == []
    assert rates(store) == published("2025-09-24", FRIDAY)


@pytest.mark.usefixtures("seeded")
def test_on_most_days_the_daily_file_is_all_it_takes(store: Store, server: Server, run: Run) -> None:
    assert run() == FxUpdate(stored=[FRIDAY])
    assert server.asked == [DAILY]
    assert rates(store)[FRIDAY] == Decimal("1.1172")


@pytest.mark.usefixtures("seeded")
def test_running_again_changes_nothing(store: Store, run: Run) -> None:
    run()
    before = stored(store, FRIDAY)
    assert run(NOW + timedelta(hours=1)) == FxUpdate()
    assert stored(store, FRIDAY) == before


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("days", [1, 2, 3])
def test_over_the_weekend_there_is_nothing_to_do(run: Run, days: int) -> None:
    """Until Monday evening, too: Monday is converted at Friday's rate."""
    run()
    assert run(NOW + timedelta(days=days, hours=-3)) == FxUpdate()


@pytest.mark.usefixtures("seeded")
def test_a_gap_is_filled_oldest_first(store: Store, server: Server, run: Run) -> None:
    server.publish(later := published("2026-08-17", "2026-11-13"))
    updated = run(NOW + timedelta(days=14))
    assert updated.problems == []
    assert updated.stored == sorted(updated.stored) == [day for day in later if day > THURSDAY]
    assert server.asked == [DAILY, LAST_90_DAYS]


@pytest.mark.usefixtures("seeded")
def test_a_late_file_fails_until_it_comes(store: Store, server: Server, run: Run) -> None:
    server.publish(published("2026-08-03", THURSDAY))
    assert run().problems == []  # Friday itself is converted at Thursday's rate
    assert run(NOW + timedelta(hours=6)).problems == ["no rate known of 2026-10-30"]
    server.publish(published("2026-08-03", FRIDAY))
    assert run(NOW + timedelta(hours=7)) == FxUpdate(stored=[FRIDAY])


@pytest.mark.usefixtures("seeded")
def test_a_gap_that_stays_goes_on_failing(store: Store, server: Server, run: Run) -> None:
    """The ECB left out a date: what is converted at it waits for an operator."""
    assert run().problems == []
    later = published("2026-08-03", "2026-11-04")
    del later["2026-11-02"]
    server.publish(later)
    now = NOW + timedelta(days=6)
    assert run(now).problems == ["no rate known of 2026-11-02"]
    assert run(now + timedelta(hours=1)).problems == ["no rate known of 2026-11-02"]
    assert store_manual_rate(store, "2026-11-02", "1.12", now).stored
    assert run(now + timedelta(hours=2)) == FxUpdate()


def daily(usd: object) -> dict[str, bytes | int | None]:
    return {DAILY: daily_file(FRIDAY, usd)}


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({DAILY: 404}, "404"),
        ({DAILY: 500}, "500"),
        ({DAILY: None}, "timed out"),
        ({DAILY: b""}, "not XML"),
        ({DAILY: b"<html><body>Down for maintenance<br></body></html>"}, "not XML"),
        ({DAILY: b'<!DOCTYPE x [<!ENTITY usd "1.2">]><x>&usd;</x>'}, "DTDForbidden"),
        ({DAILY: b"x" * (ecb.MAX_BYTES + 1)}, "bytes"),
        (daily("0"), "'0' is no rate"),
        (daily("-1.1172"), "'-1.1172' is no rate"),
        (daily("NaN"), "'NaN' is no rate"),
        (daily("1e999"), "'1e999' is no rate"),
        (daily("1,1172"), "'1,1172' is no rate"),
        (daily("N/A"), "'N/A' is no rate"),
        ({DAILY: daily_file(FRIDAY, "1").replace(b"USD", b"US$")}, "2026-10-30 has 0 rates of USD"),
        ({DAILY: daily_file("2026-11-02", "1.1172")}, "2026-11-02 is in the future"),
        (daily("1.3357"), "2026-10-30: 1.3357 is more than 20% away from 1.113 on 2026-10-29"),
        (daily("0.8903"), "2026-10-30: 0.8903 is more than 20% away from 1.113 on 2026-10-29"),
        (daily("111.72"), "2026-10-30: 111.72 is more than 20% away"),
    ],
)
def test_a_fault_leaves_the_last_good_rates(
    store: Store,
    server: Server,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, bytes | int | None],
    reason: str,
) -> None:
    monkeypatch.setattr(ecb, "TIMEOUT", 0.2)
    before = rates(store)
    server.files |= files
    updated = run()
    [problem] = updated.problems
    assert reason in problem
    assert updated.stored == []
    assert rates(store) == before
    server.publish(published("2026-08-03", FRIDAY))
    assert run() == FxUpdate(stored=[FRIDAY])


@pytest.mark.usefixtures("seeded")
def test_a_server_that_is_down_leaves_the_last_good_rates(store: Store, run: Run) -> None:
    before = rates(store)
    [problem] = update_fx_rates(store, "http://127.0.0.1:1/stats/eurofxref", RETENTION, NOW).problems
    assert "refused" in problem
    assert rates(store) == before


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("usd", ["1.3356", "0.8904"])
def test_a_jump_of_just_20_percent_is_accepted(store: Store, server: Server, run: Run, usd: str) -> None:
    server.files |= daily(usd)
    assert run() == FxUpdate(stored=[FRIDAY])


@pytest.mark.usefixtures("seeded")
def test_a_real_jump_is_accepted_once_an_operator_enters_it(store: Store, server: Server, run: Run) -> None:
    server.publish(
        published("2026-08-03", THURSDAY) | {FRIDAY: Decimal("1.5"), "2026-11-02": Decimal("1.51")}
    )
    monday = NOW + timedelta(days=3)
    updated = run(monday)
    assert updated.stored == []
    assert [reason.partition(" ")[0] for reason in updated.rejected] == ["2026-10-30:", "2026-11-02:"]
    assert updated.faults == ["no rate known of 2026-10-30"]
    assert not store_manual_rate(store, FRIDAY, "1.5", monday).stored
    assert store_manual_rate(store, FRIDAY, "1.5", monday, confirm=True).stored
    assert run(monday) == FxUpdate(stored=["2026-11-02"])
    assert (stored(store, FRIDAY)["source"], rates(store)[FRIDAY]) == ("operator", Decimal("1.5"))


@pytest.mark.usefixtures("seeded")
def test_a_wrong_rate_in_a_gap_keeps_out_no_other(store: Store, server: Server, run: Run) -> None:
    server.publish(published("2026-08-03", "2026-11-03") | {"2026-11-02": Decimal("11.172")})
    updated = run(NOW + timedelta(days=4))
    assert updated.stored == [FRIDAY, "2026-11-03"]
    assert updated.rejected == ["2026-11-02: 11.172 is more than 20% away from 1.1172 on 2026-10-30"]


@pytest.mark.usefixtures("seeded")
def test_a_rate_in_a_gap_is_compared_with_the_one_after_it_too(
    store: Store, server: Server, run: Run
) -> None:
    tuesday = NOW + timedelta(days=4)
    assert store_manual_rate(store, "2026-11-02", "11.172", tuesday, confirm=True).stored
    server.publish(published("2026-08-03", FRIDAY))
    assert run(tuesday).rejected == ["2026-10-30: 1.1172 is more than 20% away from 11.172 on 2026-11-02"]
    assert store_manual_rate(store, "2026-11-02", "1.1172", tuesday, reason="a slip", confirm=True).stored
    assert run(tuesday) == FxUpdate(stored=[FRIDAY])


@pytest.mark.usefixtures("seeded")
def test_a_rate_that_is_stored_stays(store: Store, server: Server, run: Run) -> None:
    run()
    server.files |= daily("1.1173")
    assert run() == FxUpdate(rejected=["2026-10-30: 1.1173, but 1.1172 is stored and stays"])
    assert rates(store)[FRIDAY] == Decimal("1.1172")


@pytest.mark.usefixtures("seeded")
def test_a_gap_that_cannot_be_filled_keeps_out_no_good_rate(store: Store, server: Server, run: Run) -> None:
    server.files = {DAILY: daily_file("2026-11-03", "1.12"), LAST_90_DAYS: 500}
    updated = run(NOW + timedelta(days=5))
    assert updated.stored == ["2026-11-03"]
    [history, missing] = updated.problems
    assert LAST_90_DAYS in history
    assert missing == "no rate known of 2026-10-30, 2026-11-02"
    server.publish(published("2026-08-03", "2026-11-02") | {"2026-11-03": Decimal("1.12")})
    assert run(NOW + timedelta(days=5)) == FxUpdate(stored=[FRIDAY, "2026-11-02"])


@pytest.mark.usefixtures("seeded")
def test_the_file_of_90_days_makes_up_for_a_bad_daily_one(store: Store, server: Server, run: Run) -> None:
    server.files |= {DAILY: b"<rates/>"}
    updated = run(NOW + timedelta(days=1))
    assert updated == FxUpdate(stored=[FRIDAY], faults=[f"{DAILY}: no dates in it"])


def test_a_rate_that_can_be_compared_with_none_is_rejected(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecb, "packaged", lambda first, last: {})
    assert "has none before it to be compared with" in run().rejected[0]
    assert rates(store) == {}


def test_runs_at_the_same_time_agree(store: Store, run: Run) -> None:
    with ThreadPoolExecutor(4) as runs:
        results = list(runs.map(lambda number: run(NOW + timedelta(microseconds=number)), range(4)))
    assert not any(result.problems for result in results)
    known = rates(store)
    assert known == published("2025-09-24", FRIDAY)
    stored = [day for result in results for day in result.stored]
    assert set(stored) == known.keys()
    assert len(stored) == len(known)


# The function


@pytest.fixture
def handler(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handler]:
    """The function on Monday 2026-11-23 at noon, when the last rate is Friday's."""
    freeze(monkeypatch, app)
    with serving() as server:
        server.publish(published("2026-08-24", "2026-11-20"))
        monkeypatch.setattr(app, "store", store)
        monkeypatch.setattr(app, "rates_url", server.url)
        yield lambda event: app.handler(event, CONTEXT)


SCHEDULED = {"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"}


@pytest.mark.parametrize("event", [{}, SCHEDULED])
def test_the_schedule_updates(handler: Handler, event: Any) -> None:
    first = handler(event)
    assert (first["from"], first["to"]) == ("2025-10-17", "2026-11-20")
    assert first["stored"] == len(published("2025-10-17", "2026-11-20"))
    assert handler(event) == {"stored": 0}


def metric(printed: str, name: str) -> Any:
    lines = [json.loads(line) for line in printed.splitlines() if '"_aws"' in line]
    return [line[name] for line in lines if name in line]


def test_what_is_wrong_fails_the_run_after_storing_the_rest(
    store: Store, handler: Handler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as server:
        monkeypatch.setattr(app, "rates_url", server.url)
        server.publish(published("2026-08-24", "2026-11-19") | {"2026-11-20": Decimal("1.9")})
        with pytest.raises(app.RatesIncomplete, match=r"2026-11-20: 1\.9 is more than 20% .* no rate known"):
            handler({})
    assert max(rates(store)) == "2026-11-19"
    printed = capsys.readouterr().out
    assert metric(printed, "RatesStored") == [[float(len(rates(store)))]]
    assert metric(printed, "RatesKeptOut") == [[1.0]]
    odd = {"date": "2026-11-20", "usd": "1.9"}
    assert handler(odd)["stored"] == 0
    assert handler(odd | {"confirm": True})["stored"] == 1


def test_a_rate_entered_by_hand(store: Store, handler: Handler) -> None:
    publish(store, FxRate("2026-11-19", Decimal("1.11")))
    by_hand = {"date": "2026-11-20", "usd": "1.1172"}
    assert handler(by_hand) == {"stored": 1, "from": "2026-11-20", "to": "2026-11-20"}
    assert stored(store, "2026-11-20") == {
        "kind": "rate",
        "key": "2026-11-20",
        "usd": Decimal("1.1172"),
        "source": "operator",
        "recordedAt": "2026-11-23T12:00:00.000000Z",
    }
    with pytest.raises(RateKnown, match=r"2026-11-20 has that rate already: 1\.1172"):
        handler(by_hand | {"usd": "1.11720", "reason": "again", "confirm": True})


def test_a_rate_of_a_date_that_has_none_may_have_a_reason(store: Store, handler: Handler) -> None:
    publish(store, FxRate("2026-11-19", Decimal("1.11")))
    assert handler({"date": "2026-11-20", "usd": "1.1172", "reason": "the ECB had none"})["stored"] == 1
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
    store: Store, handler: Handler, day: str, usd: str, why: str, confirm: dict[str, object]
) -> None:
    publish(store, *KNOWN)
    before = rates(store)
    by_hand = {"date": day, "usd": usd}
    confirmable = f'{why}. If this is right, send it again with "confirm": true.'
    assert handler(by_hand | confirm) == {"stored": 0, "confirm": confirmable}
    assert rates(store) == before
    assert handler(by_hand | {"confirm": True}) == {"stored": 1, "from": day, "to": day}
    assert rates(store) == before | {day: Decimal(usd)}


@pytest.mark.parametrize(("day", "usd"), [("2026-11-23", "1.8"), ("2026-11-19", "1.32")])
def test_a_rate_just_20_percent_away_is_not_odd(store: Store, handler: Handler, day: str, usd: str) -> None:
    publish(store, *KNOWN)
    assert handler({"date": day, "usd": usd})["stored"] == 1


CORRECTION = {"date": "2026-11-20", "usd": "1.1172", "reason": "typed 11.172 for 1.1172"}


@pytest.fixture
def mistyped(store: Store, handler: Handler) -> None:
    """11.172 was entered for 1.1172, and confirmed."""
    publish(store, FxRate("2026-11-19", Decimal("1.1148")))
    assert handler({"date": "2026-11-20", "usd": "11.172", "confirm": True})["stored"] == 1


@pytest.mark.usefixtures("mistyped")
def test_a_wrong_rate_is_corrected_by_a_new_entry(store: Store, handler: Handler) -> None:
    wrong = stored(store, "2026-11-20")
    assert handler(CORRECTION) == {
        "stored": 0,
        "confirm": "2026-11-20 has 11.172 (operator), which 1.1172 would replace."
        ' If this is right, send it again with "confirm": true.',
        "replaces": "11.172",
        "changes": [],
    }
    assert rates(store)["2026-11-20"] == Decimal("11.172")
    assert handler(CORRECTION | {"confirm": True}) == {
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
def test_only_true_confirms_a_correction(store: Store, handler: Handler, confirm: object) -> None:
    assert handler(CORRECTION | {"confirm": confirm})["stored"] == 0
    assert rates(store)["2026-11-20"] == Decimal("11.172")


@pytest.mark.usefixtures("mistyped")
def test_the_last_correction_holds_however_many_there_are(store: Store, handler: Handler) -> None:
    for number in range(1, 100):
        rate = FxRate("2026-11-20", Decimal(f"1.{number:02d}1"))
        assert store.state.put_fx_correction(
            rate, number, replaces=Decimal(1), source="operator", reason="a test", now=NOON
        )
    for usd in ("1.1172", "1.1173"):
        assert handler(CORRECTION | {"usd": usd, "confirm": True})["stored"] == 1
        assert rates(store)["2026-11-20"] == Decimal(usd)
    assert stored(store, "2026-11-20#100")["replaces"] == Decimal("1.991")
    assert stored(store, "2026-11-20#101")["replaces"] == Decimal("1.1172")
    back = handler(CORRECTION | {"usd": "11.172", "reason": "it was right", "confirm": True})
    assert (back["stored"], rates(store)["2026-11-20"]) == (1, Decimal("11.172"))


@pytest.mark.usefixtures("mistyped")
def test_a_correction_is_checked_like_any_other_rate(store: Store, handler: Handler) -> None:
    answer = handler(CORRECTION | {"usd": "0.11172"})
    assert answer["confirm"].startswith(
        "2026-11-20: 0.11172 is more than 20% away from 1.1148 on 2026-11-19."
        " 2026-11-20 has 11.172 (operator), which 0.11172 would replace. If this is right"
    )


@pytest.mark.usefixtures("mistyped")
@pytest.mark.parametrize("reason", [None, "", "  \n", 7, ["why"], "x" * 501, "\ud800"])
@pytest.mark.parametrize("confirm", [False, True])
def test_a_correction_has_to_say_why(store: Store, handler: Handler, reason: object, confirm: bool) -> None:
    with pytest.raises(BadReason, match=r'2026-11-20 has 11\.172 already: .* "reason"'):
        handler(CORRECTION | {"reason": reason, "confirm": confirm})
    assert rates(store)["2026-11-20"] == Decimal("11.172")


@pytest.mark.parametrize("reason", ["", 7, "x" * 501, "\ud800"])
def test_a_reason_that_is_no_text_is_reported_with_a_first_entry_too(
    store: Store, handler: Handler, reason: object
) -> None:
    with pytest.raises(BadReason, match='"reason"'):
        handler({"date": "2026-11-20", "usd": "1.1172", "reason": reason, "confirm": True})
    assert rates(store) == {}


def test_a_rate_of_the_ecb_can_be_corrected(store: Store, handler: Handler) -> None:
    handler({})
    by_ecb = stored(store, "2026-11-20")
    assert by_ecb["source"].startswith("ECB, http://")
    answer = handler({"date": "2026-11-20", "usd": "1.1177", "reason": "the ECB says so since"})
    assert f"2026-11-20 has {by_ecb['usd']} ({by_ecb['source']}), which 1.1177" in answer["confirm"]
    handler({"date": "2026-11-20", "usd": "1.1177", "reason": "the ECB says so since", "confirm": True})
    assert (rates(store)["2026-11-20"], stored(store, "2026-11-20")) == (Decimal("1.1177"), by_ecb)


@pytest.mark.usefixtures("mistyped")
def test_of_two_corrections_at_once_one_learns_of_the_other(
    store: Store, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = StateStore.fx_rate_entries

    def read_before_another(self: StateStore, ecb_date: str) -> Any:
        found = entries(self, ecb_date)
        monkeypatch.setattr(StateStore, "fx_rate_entries", entries)
        handler(CORRECTION | {"usd": "1.1173", "confirm": True})
        return found

    monkeypatch.setattr(StateStore, "fx_rate_entries", read_before_another)
    with pytest.raises(RateKnown, match="2026-11-20 was given another rate at this moment"):
        handler(CORRECTION | {"confirm": True})
    assert rates(store)["2026-11-20"] == Decimal("1.1173")


@pytest.mark.usefixtures("seeded")
def test_after_a_correction_the_ecbs_next_rates_are_accepted_again(
    store: Store, server: Server, run: Run
) -> None:
    assert store_manual_rate(store, FRIDAY, "11.172", NOW, confirm=True).stored
    server.publish(published("2026-08-03", "2026-11-02"))
    tuesday = NOW + timedelta(days=4)
    assert run(tuesday).rejected == [
        "2026-11-02: 1.1172 is more than 20% away from 11.172 on 2026-10-30",
    ]
    assert "2026-11-02" not in rates(store)
    assert store_manual_rate(store, FRIDAY, "1.1172", tuesday, reason="a slip", confirm=True).stored
    assert run(tuesday) == FxUpdate(stored=["2026-11-02"])
    assert run(tuesday) == FxUpdate()


# What a correction changes


def the_platforms(store: Store, day: str) -> Any:
    [found] = UsageReader(store, entry_builder().calendar, Terms()).platform(day, day)["days"]
    return found


@pytest.mark.usefixtures("mistyped")
def test_what_changes_is_shown_before_anything_is_stored(
    store: Store, handler: Handler, monkeypatch: pytest.MonkeyPatch
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
    changes = handler(CORRECTION)["changes"]
    assert [(change["day"], change["costUSD"]) for change in changes] == [
        ("2026-11-21", "2.359"),  # 0.307 and 0.317 ... 0.367
        ("2026-11-23", "3.759"),
    ]
    assert [change["costEUR"] for change in changes] == [f"{day['costEUR']:f}" for day in now.values()]
    assert handler(CORRECTION | {"confirm": True})["changes"] == changes
    assert the_platforms(store, "2026-11-21") == now["2026-11-21"]  # until it is counted again
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
    store: Store, handler: Handler, event: Any, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        handler(event)
    assert rates(store) == {}


def test_the_records_are_the_ecbs() -> None:
    assert recorded()[FRIDAY] == Decimal("1.1172")
    assert ecb.parse(history_file(recorded()), NOW.date() + timedelta(days=3650)) == recorded()
