"""`impact explain` on tables: what it reads of a user's day, and what it says of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from impact.billing import Terms
from impact.fx_rates import FxRate
from impact.recompute import recompute
from impact.store import Store
from impact_cli import deployed_stack
from impact_cli.explanation import explain
from impact_cli.main import main
from impact_cli.user_day import UserDay, read_user_day
from impact_cli.verbs import explain as explain_verb
from tests.events import NOON, event, freeze
from tests.integration.steps import BUILDER, TODAY, delete_events, put
from tests.rates import BEFORE_NOON, publish

TERMS = Terms(Decimal(10), Decimal(2), Decimal("0.7"), "a study")
CALENDAR = BUILDER.calendar


def rolled_up(store: Store, terms: Terms = TERMS) -> None:
    recompute(store, CALENDAR, terms, TODAY, CALENDAR.shard_of("alice", TODAY), as_of=NOON)


def differing(read: UserDay) -> set[str]:
    assert read.summary is not None
    return set(explain(read.events, read.summary, read.rate, read.terms, read.entries).differences)


def test_a_corrected_rate_differs_until_the_day_is_recomputed(store: Store) -> None:
    publish(store)
    put(store, event(eventId="1"), event(eventId="2", model="m"), event(userId="alice2"))
    rolled_up(store)
    read = read_user_day(store, CALENDAR, "alice", TODAY, NOON)
    assert [one["eventId"] for one in read.events] == ["1", "2"]
    assert differing(read) == set()
    store.state.put_fx_correction(
        FxRate(BEFORE_NOON.date, Decimal("1.1272")),
        1,
        replaces=BEFORE_NOON.usd,
        source="operator",
        reason="a slip",
        now=NOON,
    )
    read = read_user_day(store, CALENDAR, "alice", TODAY, NOON)
    assert read.rate_entry is not None
    assert (read.rate_entry["reason"], read.rate_entry["replaces"]) == ("a slip", BEFORE_NOON.usd)
    assert differing(read) == {
        *("costEUR", "fxRate", "markupEUR", "restorationFeeEUR", "billedEUR", "models"),
    }
    rolled_up(store)
    assert differing(read_user_day(store, CALENDAR, "alice", TODAY, NOON)) == set()


def test_the_terms_are_those_that_the_summary_has(store: Store) -> None:
    publish(store)
    put(store, event(eventId="1"))
    rolled_up(store)
    read = read_user_day(store, CALENDAR, "alice", TODAY, NOON)
    assert read.terms == TERMS.as_fields()
    assert differing(read) == set()


def test_a_late_event_is_named_until_it_is_counted(store: Store) -> None:
    publish(store)
    put(store, event(eventId="1"))
    rolled_up(store)
    put(store, event(eventId="2", tokens_in=0))
    assert {"requests", "tokens_out", "models"} <= differing(
        read_user_day(store, CALENDAR, "alice", TODAY, NOON)
    )
    rolled_up(store)
    assert differing(read_user_day(store, CALENDAR, "alice", TODAY, NOON)) == set()


def test_a_day_of_which_events_may_have_expired_cannot_be_checked(store: Store) -> None:
    expired = CALENDAR.countable_until(TODAY)
    before = expired - timedelta(seconds=1)
    assert not read_user_day(store, CALENDAR, "alice", TODAY, before).may_have_expired
    assert read_user_day(store, CALENDAR, "alice", TODAY, expired).may_have_expired


# --- the command ---


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def impact(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Runs `impact explain alice --day 2026-11-23` at a time; returns exit code and output."""
    monkeypatch.setattr(deployed_stack, "store_of", lambda session, stack: store)
    monkeypatch.setattr(deployed_stack, "calendar_of", lambda session, stack, store: CALENDAR)
    monkeypatch.setenv("IMPACT_CONFIG", str(tmp_path / "config.toml"))
    publish(store)

    def run(*options: str, now: datetime = NOON) -> tuple[int, str]:
        freeze(monkeypatch, explain_verb, now)
        code = main(["explain", "alice", "--day", TODAY, *options])
        return code, capsys.readouterr().out

    return run


def test_it_shows_the_steps_and_that_the_summary_has_the_same(store: Store, impact: Run) -> None:
    put(store, event(eventId="1", costUSD=Decimal("1.1172")))
    rolled_up(store)
    code, shown = impact()
    assert "1.1172 USD / 1.1172, the ECB's rate of 2026-11-20" in shown
    assert "The stored summary has the same figures, to the last digit. It is not final." in shown
    assert code == 0


def test_it_names_what_differs(store: Store, impact: Run) -> None:
    put(store, event(eventId="1", costUSD=Decimal("1.1172")))
    rolled_up(store)
    put(store, event(eventId="2", costUSD=Decimal("1.1172")))
    code, shown = impact()
    assert "  requests: stored 1, from the ledger 2\n" in shown
    assert "  costEUR: stored 1, from the ledger 2\n" in shown
    assert code == 1


def test_a_summary_whose_events_expired_is_not_called_wrong(store: Store, impact: Run) -> None:
    put(store, event(eventId="1"), event(eventId="2"))
    rolled_up(store)
    delete_events(store, "alice", "1")
    assert impact()[0] == 1
    expired = CALENDAR.countable_until(TODAY)
    code, shown = impact(now=expired)
    assert "some of this day may be gone" in shown
    assert "differs" not in shown
    assert "Billed" not in shown
    assert code == 0
    assert '"mayHaveExpired": true' in impact("--json", now=expired)[1]
