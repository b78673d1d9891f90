"""Updates of the fx rates, from a server of the ECB's files: the last good rates always stay."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from impact import ecb
from impact.dynamodb import item_from_wire, to_wire
from impact.ecb import DAILY, LAST_90_DAYS
from impact.fx_rates import FxRate
from impact.fx_update import FxUpdate, store_manual_rate, update_fx_rates
from impact.state_store import StateStore
from impact.store import Store
from local.fake_ecb import Server, daily_file, history_file, published, recorded, serving

pytestmark = pytest.mark.usefixtures("old_package")
PACKAGED_UNTIL = "2026-10-09"
NOW = datetime(2026, 10, 30, 18, tzinfo=UTC)
"""A Friday evening, of which the records have the rate: 1.1172."""
FRIDAY, THURSDAY = "2026-10-30", "2026-10-29"
RETENTION = timedelta(days=400)


@pytest.fixture
def server() -> Iterator[Server]:
    """The ECB on Friday evening."""
    with serving() as running:
        running.publish(published("2026-08-03", FRIDAY))
        yield running


Run = Callable[..., FxUpdate]


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
def test_a_wrong_rate_in_a_gap_rejects_no_other(store: Store, server: Server, run: Run) -> None:
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
def test_a_gap_that_cannot_be_filled_rejects_no_good_rate(store: Store, server: Server, run: Run) -> None:
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


def test_the_records_are_the_ecbs() -> None:
    assert recorded()[FRIDAY] == Decimal("1.1172")
    assert ecb.parse(history_file(recorded()), NOW.date() + timedelta(days=3650)) == recorded()
