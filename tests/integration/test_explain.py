"""`impact explain` on tables: what it reads of a user's day, and what it says of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson

from impact import keys
from impact.billing import Terms
from impact.calendar import timestamp
from impact.fx_rates import FxRate
from impact.price_book import Revision
from impact.price_store import Correction
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
from tests.unit.cli.test_book_cost import price

TERMS = Terms(Decimal(10), Decimal(2), Decimal("0.7"), "a study")
CALENDAR = BUILDER.calendar


CLOSED = NOON + timedelta(days=1)
PRICE = price("openai/gpt-4o", input="2.5", cached="1.25", output=10, only="all", source="contract 17")


def rolled_up(store: Store, terms: Terms = TERMS, now: datetime = NOON) -> None:
    recompute(store, CALENDAR, terms, TODAY, CALENDAR.shard_of("alice", TODAY), as_of=now)


def append(store: Store, number: int, prices: list[dict[str, Any]]) -> None:
    assert store.prices.append(number, Revision.of(number, prices, "", "").prices, by="ops", now=NOON)


def correct(store: Store, revision: int) -> None:
    correction = Correction(1, revision, (TODAY,), "a price came late", timestamp(CLOSED), "ops", {})
    assert store.prices.put_correction(correction)
    assert store.prices.correct_revision(TODAY, 1, correction)


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


def test_the_prices_are_those_that_the_day_is_counted_with(store: Store) -> None:
    publish(store)
    put(store, event(eventId="1"))
    append(store, 1, [PRICE])
    rolled_up(store)
    read = read_user_day(store, CALENDAR, "alice", TODAY, NOON)
    assert ([price.id for price in read.entries.now], read.entries.at_first) == (["1.1"], None)
    assert differing(read) == set()
    append(store, 2, [price("openai/gpt-4o", input=2, output=2, only="all")])  # an open day follows the book
    assert "costUSD" in differing(read_user_day(store, CALENDAR, "alice", TODAY, NOON))
    rolled_up(store)
    assert differing(read_user_day(store, CALENDAR, "alice", TODAY, NOON)) == set()


def test_a_final_day_keeps_its_prices_until_it_is_corrected(store: Store) -> None:
    publish(store)
    put(store, event(eventId="1"))
    append(store, 1, [PRICE])
    rolled_up(store, now=CLOSED)
    append(store, 2, [price("openai/gpt-4o", input=2, output=2, only="all")])
    read = read_user_day(store, CALENDAR, "alice", TODAY, CLOSED)
    assert [price.id for price in read.entries.now] == ["1.1"]
    assert differing(read) == set()
    correct(store, 2)
    rolled_up(store, now=CLOSED)
    read = read_user_day(store, CALENDAR, "alice", TODAY, CLOSED)
    assert read.entries.at_first is not None
    assert ([price.id for price in read.entries.now], len(read.entries.at_first)) == (["1.1", "2.1"], 1)
    assert read.summary is not None
    assert read.summary["before"]["prices"] == ["1.1"]
    assert differing(read) == set()


def test_a_day_that_was_final_before_there_were_prices_has_none(store: Store) -> None:
    publish(store)
    put(store, event(eventId="1"))
    rolled_up(store, now=CLOSED)
    store.client.delete_item(
        TableName=store.state.name, Key={"kind": {"S": keys.DAY_PRICES}, "key": {"S": TODAY}}
    )
    append(store, 1, [PRICE])
    read = read_user_day(store, CALENDAR, "alice", TODAY, CLOSED)
    assert read.entries.now == []
    assert differing(read) == set()


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


def test_it_shows_multiplications_that_a_person_can_follow(store: Store, impact: Run) -> None:
    much = {"tokens_in": 123_456_789, "tokens_cached": 23_456_789, "tokens_out": 3_000_000}
    put(
        store,
        event(eventId="1", costUSD=5, **much),
        event(eventId="2", costUSD=None, cacheHit=True),
        event(eventId="3", status="failure", costUSD=0, tokens_in=0, tokens_out=0),
        event(eventId="4", model="\x1b[31mred"),
    )
    append(store, 1, [PRICE, price("openai/\x1b*", input=1, output=1, source="\x1b[2J" + "x" * 200)])
    rolled_up(store, now=CLOSED)
    code, shown = impact(now=CLOSED)
    assert (
        """
openai/gpt-4o
  Price 1.1 is for openai/gpt-4o, all requests, from 2026-11-22, in USD;
    contract 17
  2 of 3 requests have it; 1 came from the proxy's cache and used nothing
  Not by the book, because failed without tokens: 3
  input            100,000,000 x 2.5 USD / 1,000,000 = 250 USD
  cached           23,456,789 x 1.25 USD / 1,000,000 = 29.32098625 USD
  output           3,000,000 x 10 USD / 1,000,000 = 30 USD
  by the book      250 + 29.32098625 + 30 = 309.32098625 USD
  dollars          of 1 request = 0 USD
  all dollars      0 USD + 309.32098625 USD = 309.32098625 USD
  in euros         309.32098625 USD / 1.1172, the ECB's rate of 2026-11-20
                   = 276.87163108664518438954529180093089868 EUR
"""
        in shown
    )
    assert "  0 of 1 requests have it\n  Not by the book, because a cost was reported: 4\n" in shown
    assert "\x1b" not in shown
    _, steps = shown.split("Fx rate")
    assert max(map(len, steps.splitlines())) <= 80
    assert code == 0


def test_a_corrected_day_shows_both_calculations(store: Store, impact: Run) -> None:
    put(store, event(eventId="1", costUSD=Decimal("1.1172")))
    rolled_up(store, now=CLOSED)
    append(store, 1, [price("openai/gpt-4o", perRequest="2.2344", only="all")])
    correct(store, 1)
    rolled_up(store, now=CLOSED)
    code, shown = impact(now=CLOSED)
    assert "The day was corrected since: 2.24 EUR instead of\n1.12 EUR." in shown
    now, first = shown.split("The day was corrected")
    assert "1 x 2.2344 USD = 2.2344 USD" in now
    assert "of 1 request = 1.1172 USD" in first
    assert "to the last digit. It is final." in first
    assert code == 0
    document = simplejson.loads(impact("--json", now=CLOSED)[1])
    [priced] = document["prices"]
    assert (priced["id"], priced["events"], priced["only"]) == ("1.1", ["1"], "all")
    assert (document["before"]["prices"], document["before"]["steps"][-1]["result"]) == ([], 1.12)


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
