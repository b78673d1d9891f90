"""Days in euros: the rate of each, a rate that comes late, and terms that change."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from impact.billing import Terms
from impact.calendar import days_between, timestamp
from impact.fx_rates import FxRate
from impact.fx_update import store_manual_rate
from impact.keys import shard_of
from impact.ledger_store import LedgerStore
from impact.recompute import recompute
from impact.rollup_planner import plan
from impact.state_store import StateStore
from impact.store import Store
from impact.usage_reader import UsageReader
from tests.events import NOON, entry_builder, event
from tests.integration.steps import put, roll_up, summary
from tests.rates import APRIL_2026, BEFORE_NOON, publish
from tests.unit.test_billing import is_rounded

BUILDER = entry_builder()
TODAY = "2026-11-23"
SHARD = shard_of("alice", 4)

RATE_USED = """
2026-04-01 2026-03-31 1.1498
2026-04-02 2026-04-01 1.1605
2026-04-03 2026-04-02 1.1525
2026-04-04 2026-04-02 1.1525
2026-04-05 2026-04-02 1.1525
2026-04-06 2026-04-02 1.1525
2026-04-07 2026-04-02 1.1525
2026-04-08 2026-04-07 1.1557
2026-04-09 2026-04-08 1.1706
2026-04-10 2026-04-09 1.1685
2026-04-11 2026-04-10 1.1711
2026-04-12 2026-04-10 1.1711
2026-04-13 2026-04-10 1.1711
2026-04-14 2026-04-13 1.1684
2026-04-15 2026-04-14 1.1793
2026-04-16 2026-04-15 1.178
2026-04-17 2026-04-16 1.1782
2026-04-18 2026-04-17 1.1797
2026-04-19 2026-04-17 1.1797
2026-04-20 2026-04-17 1.1797
2026-04-21 2026-04-20 1.176
2026-04-22 2026-04-21 1.1767
2026-04-23 2026-04-22 1.1733
2026-04-24 2026-04-23 1.1694
2026-04-25 2026-04-24 1.1712
2026-04-26 2026-04-24 1.1712
2026-04-27 2026-04-24 1.1712
2026-04-28 2026-04-27 1.1749
2026-04-29 2026-04-28 1.168
2026-04-30 2026-04-29 1.1706
"""
"""Day, ECB date and rate, by hand from the ECB's list; the same table stands in docs/billing.md."""


def at_noon(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC)


def use(store: Store, day: str, cost: str = "0.1", **fields: object) -> None:
    """Let alice make a request at noon of a day."""
    now = at_noon(day)
    put(store, event(ts=timestamp(now), eventId=day, costUSD=Decimal(cost), **fields), now=now)


@pytest.fixture
def since_april(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: at_noon("2026-04-01"))


@pytest.mark.usefixtures("since_april")
def test_a_month_of_rates_each_as_it_was_published(store: Store) -> None:
    """The rate of 15 April comes a day late: the 16th waits for it; all others are converted on their day."""
    late = "2026-04-15"
    rates = {rate.date: rate for rate in APRIL_2026}
    publish(store, *(rates[date] for date in rates if date < "2026-04-01"))
    days = list(days_between("2026-04-01", "2026-04-30"))
    unconverted = []
    for number, day in enumerate(days):
        use(store, day, cost=f"0.{number + 1:02d}00000000000000007")
        roll_up(store, at_noon(day) + timedelta(hours=1))
        if summary(store, day=day)["unconverted"]:
            unconverted.append(day)
        published = [day] if day != late else []
        published += [late] if day == "2026-04-16" else []
        publish(store, *(rates[date] for date in published if date in rates))
    assert unconverted == ["2026-04-16"]
    roll_up(store, at_noon("2026-05-05"))
    used = []
    for number, day in enumerate(days):
        found = summary(store, day=day)
        used.append(f"{day} {found['fxDate']} {found['fxRate']}")
        dollars = Fraction(f"0.{number + 1:02d}00000000000000007")
        assert is_rounded(found["costEUR"], dollars / Fraction(found["fxRate"]))
        assert (found["costUSD"], found["unconverted"], found["final"]) == (
            Decimal(dollars.numerator) / dollars.denominator,
            0,
            True,
        )
    assert used == RATE_USED.strip().splitlines()


@pytest.mark.usefixtures("ledger_since_noon")
def test_a_rate_that_comes_late_converts_final_days_too(store: Store) -> None:
    use(store, TODAY, "1.1172")
    closed = BUILDER.calendar.closes_at(TODAY) + timedelta(hours=1)
    roll_up(store, NOON)
    roll_up(store, closed)
    before = summary(store)
    assert (before["final"], before["unconverted"], before["costEUR"]) == (True, Decimal("1.1172"), 0)
    assert "fxRate" not in before
    # Days that wait are left alone: the planner queues those that have a rate.
    assert all(day > TODAY for day, _ in plan(store, BUILDER.calendar, closed + timedelta(days=3)).targets)
    publish(store)
    due = plan(store, BUILDER.calendar, closed + timedelta(days=3))
    assert (TODAY, SHARD) in due.targets
    roll_up(store, closed + timedelta(days=3))
    after = summary(store)
    assert (after["costEUR"], after["unconverted"], after["fxDate"]) == (1, 0, "2026-11-20")
    assert after["final"]
    assert {k: v for k, v in after.items() if k in ("requests", "costUSD", "firstTs")} == {
        k: v for k, v in before.items() if k in ("requests", "costUSD", "firstTs")
    }
    assert roll_up(store, closed + timedelta(days=3, hours=1)) == 4  # the open day; the converted one is done


@pytest.mark.usefixtures("ledger_since_noon")
def test_a_final_day_billed_at_a_mistyped_rate_is_right_once_it_is_corrected_and_recomputed(
    store: Store,
) -> None:
    publish(store, FxRate("2026-11-19", Decimal("1.1148")))
    assert store_manual_rate(store, "2026-11-20", "11.172", NOON, confirm=True).stored
    terms = Terms(markup_percent=Decimal("12.5"), restoration_fee_percent=Decimal(3))
    for number, cost in enumerate(("0.10000000000000007", "7.3", "0.000000842")):
        put(store, event(eventId=str(number), costUSD=Decimal(cost)))
    dollars = Fraction("7.40000084200000007")
    closed = BUILDER.calendar.closes_at(TODAY)
    recompute(store, BUILDER.calendar, terms, TODAY, SHARD, as_of=closed)
    wrong = summary(store)
    assert is_rounded(wrong["costEUR"], dollars / Fraction("11.172"))
    assert (wrong["final"], wrong["fxRate"]) == (True, Decimal("11.172"))

    corrected = store_manual_rate(
        store, "2026-11-20", "1.1172", closed, reason="typed 11.172 for 1.1172", confirm=True
    )
    assert summary(store) == wrong  # nothing is recomputed by itself
    recompute(store, BUILDER.calendar, Terms(), TODAY, SHARD, as_of=closed + timedelta(days=2))
    right = summary(store)
    assert is_rounded(right["costEUR"], dollars / Fraction("1.1172"))
    assert is_rounded(right["billedEUR"], Fraction(right["costEUR"]) * Fraction("1.155"))
    assert (right["final"], right["fxRate"], right["fxDate"]) == (True, Decimal("1.1172"), "2026-11-20")
    assert {name for name in right if right[name] != wrong[name]} == {
        *("costEUR", "markupEUR", "restorationFeeEUR", "billedEUR", "fxRate", "models", "asOf", "revision")
    }
    [change] = corrected.changes
    assert (change.day, change.usd) == (TODAY, Decimal("7.40000084200000007"))
    assert (change.eur, change.new_eur) == (wrong["costEUR"], right["costEUR"])


@pytest.mark.usefixtures("ledger_since_noon")
def test_a_final_day_keeps_the_terms_that_it_was_billed_at(store: Store) -> None:
    publish(store)
    use(store, TODAY, "1.1172")
    closed = BUILDER.calendar.closes_at(TODAY)
    old, new = Terms(markup_percent=Decimal(10)), Terms(markup_percent=Decimal(50))
    recompute(store, BUILDER.calendar, old, TODAY, SHARD, as_of=NOON)
    recompute(store, BUILDER.calendar, new, TODAY, SHARD, as_of=NOON + timedelta(hours=1))
    assert summary(store)["markupEUR"] == Decimal("0.5")  # an open day follows the stack
    recompute(store, BUILDER.calendar, old, TODAY, SHARD, as_of=closed)
    recompute(store, BUILDER.calendar, new, TODAY, SHARD, as_of=closed + timedelta(hours=1))
    assert (summary(store)["markupEUR"], summary(store)["billedEUR"]) == (Decimal("0.1"), Decimal("1.1"))


@pytest.mark.usefixtures("ledger_since_noon")
def test_the_platform_is_converted_by_one_division_too(store: Store) -> None:
    publish(store)
    costs = {f"user{n}": Decimal(f"0.{n + 1}0000000000000003") for n in range(9)}
    put(store, *(event(userId=user, costUSD=cost) for user, cost in costs.items()))
    roll_up(store)
    reader = UsageReader(store, BUILDER.calendar, Terms())
    [day] = reader.platform(TODAY, TODAY)["days"]
    exact = sum(map(Fraction, costs.values()), Fraction(0)) / Fraction(BEFORE_NOON.usd)
    assert is_rounded(day["costEUR"], exact)
    assert (day["unconverted"], day["fxRate"], day["fxDate"]) == (0, BEFORE_NOON.usd, BEFORE_NOON.date)
    assert day["billedEUR"] == day["costEUR"]


@pytest.mark.usefixtures("ledger_since_noon")
def test_shards_that_are_not_recomputed_yet_are_shown_as_unconverted(store: Store) -> None:
    users = {shard_of(f"user{n}", 4): f"user{n}" for n in range(20)}
    put(store, *(event(userId=user, costUSD=Decimal("1.1172")) for user in users.values()))
    roll_up(store)
    publish(store)
    recompute(store, BUILDER.calendar, Terms(), TODAY, 0, as_of=NOON + timedelta(minutes=1))
    reader = UsageReader(store, BUILDER.calendar, Terms())
    [day] = reader.platform(TODAY, TODAY)["days"]
    assert (day["costEUR"], day["unconverted"], day["costUSD"]) == (1, Decimal("3.3516"), Decimal("4.4688"))


@pytest.mark.usefixtures("ledger_since_noon")
def test_a_fresh_read_is_in_euros_as_the_rollups(store: Store) -> None:
    publish(store)
    use(store, TODAY, "0.7")
    terms = Terms(markup_percent=Decimal(7), restoration_kg_per_m2=Decimal("0.5"))
    reader = UsageReader(store, BUILDER.calendar, terms)
    fresh = reader.user("alice", TODAY, TODAY, fresh=True, now=NOON)["days"]
    recompute(store, BUILDER.calendar, terms, TODAY, SHARD, as_of=NOON)
    assert fresh == reader.user("alice", TODAY, TODAY, fresh=False, now=NOON)["days"]
    closed = BUILDER.calendar.closes_at(TODAY)
    recompute(store, BUILDER.calendar, terms, TODAY, SHARD, as_of=closed)
    put(store, event(eventId="late"), now=closed)
    other = replace(reader, terms=Terms(markup_percent=Decimal(90)))
    [late] = other.user("alice", TODAY, TODAY, fresh=True, now=closed + timedelta(hours=1))["days"]
    assert (late["requests"], late["terms"]["markupPercent"]) == (2, 7)


@pytest.mark.usefixtures("ledger_since_noon")
def test_a_late_event_that_comes_before_its_rate_is_converted_when_that_comes(store: Store) -> None:
    """Its day was final long ago, or before the stack was made: only the mark leads back to it."""
    day = "2026-11-10"
    put(store, event(ts=timestamp(at_noon(day)), costUSD=Decimal("1.1")), now=NOON)
    roll_up(store, NOON)
    assert summary(store, day=day)["unconverted"] == Decimal("1.1")
    assert store.state.marked() == {(day, SHARD)}
    publish(store, FxRate("2026-11-09", Decimal("1.1")))
    roll_up(store, NOON + timedelta(hours=1))
    assert (summary(store, day=day)["costEUR"], summary(store, day=day)["unconverted"]) == (1, 0)
    assert store.state.marked() == set()


@pytest.mark.usefixtures("ledger_since_noon")
def test_a_day_without_dollars_that_gets_some_late_waits_for_its_rate(store: Store) -> None:
    closed = BUILDER.calendar.closes_at(TODAY) + timedelta(hours=1)
    roll_up(store, closed)
    use_late = closed + timedelta(hours=1)
    put(store, event(costUSD=Decimal("1.1172")), now=use_late)
    roll_up(store, use_late)
    assert summary(store)["unconverted"] == Decimal("1.1172")
    publish(store)
    roll_up(store, use_late + timedelta(hours=1))
    assert (summary(store)["costEUR"], store.state.marked()) == (1, set())


@pytest.mark.usefixtures("ledger_since_noon")
def test_a_rollup_that_stalled_does_not_put_back_what_it_knew_before_the_rate(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It read the total and the rates, stalled while another rollup converted the day, and went on."""
    use(store, TODAY, "1.1172")
    closed = BUILDER.calendar.closes_at(TODAY)
    roll_up(store, closed)
    publish(store)
    read_pages, read_rate = LedgerStore.event_pages, StateStore.fx_rate_of

    def stalled(self: Store, *args: object, **kwargs: object) -> object:
        monkeypatch.setattr(LedgerStore, "event_pages", read_pages)
        monkeypatch.setattr(StateStore, "fx_rate_of", read_rate)
        recompute(store, BUILDER.calendar, Terms(), TODAY, SHARD, as_of=closed + timedelta(seconds=1))
        return read_pages(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(StateStore, "fx_rate_of", lambda self, day: None)
    monkeypatch.setattr(LedgerStore, "event_pages", stalled)
    recompute(store, BUILDER.calendar, Terms(), TODAY, SHARD, as_of=closed + timedelta(seconds=2))
    assert (summary(store)["costEUR"], summary(store)["unconverted"]) == (1, 0)
