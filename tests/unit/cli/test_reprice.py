"""`impact reprice` and `impact corrections` on tables: what is shown, asked, corrected and listed."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import simplejson
from botocore.exceptions import EndpointConnectionError

from impact.billing import Terms
from impact.fx_rates import FxRate
from impact.ledger_store import LedgerStore
from impact.price_book import Price, Rates
from impact.recompute import recompute
from impact.store import Store
from impact_cli import deployed_stack, workers
from impact_cli.main import main
from impact_cli.verbs import reprice as verb
from tests.events import NOON, freeze
from tests.integration.steps import BUILDER, TODAY, now_event, put, roll_up, summary
from tests.integration.test_corrections import CLOSED, RIGHT, WRONG

CALENDAR = BUILDER.calendar
LATER = CLOSED + timedelta(hours=1)
MILLION = {"tokens_in": 1_000_000, "tokens_out": 0, "costUSD": None, "model": "gpt-6"}
USED = [
    now_event(eventId="A", **MILLION),
    now_event(eventId="B", userId="\x1b[2Jbob", teamId="=1+1", **MILLION),
    now_event(eventId="C", userId="carol", teamId="=1+1", costUSD=Decimal("0.50")),
]
REASON = ("--reason", "typed 2.50 for 1.25")
RANGE = ("--since", TODAY)
BY = "arn:aws:sts::123456789012:user/moto"


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Run = Callable[..., Ran]


def add_price(store: Store, rates: Rates, pattern: str = "openai/gpt-6") -> None:
    price = Price("", pattern, "2026-11-01", rates, source="contract 17")
    assert store.prices.append(store.prices.book().revision + 1, [price], by="a test", now=NOON)


@pytest.fixture(autouse=True)
def final_day(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A final day, whose price turns out to be wrong."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON)
    store.state.put_fx_rate(FxRate("2026-11-20", Decimal("1.25")), source="a test", now=NOON)
    put(store, *USED)
    add_price(store, WRONG)
    roll_up(store, CLOSED)
    add_price(store, RIGHT)


@pytest.fixture
def run(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Runs a command. `typed` is what is typed at a terminal; without it there is none."""
    monkeypatch.setattr(deployed_stack, "store_of", lambda *_, **__: store)
    monkeypatch.setattr(deployed_stack, "calendar_of", lambda *_: CALENDAR)
    monkeypatch.setattr(deployed_stack, "caller_of", lambda *_: "arn:aws:sts::123456789012:user/moto")
    monkeypatch.setenv("IMPACT_CONFIG", str(tmp_path / "config.toml"))

    def run_at(*arguments: str, typed: str | None = None, now: datetime = LATER) -> Ran:
        def recompute_day(session: Any, stack: str, day: str) -> Any:
            for shard in range(CALENDAR.shard_count(day)):
                recompute(store, CALENDAR, Terms(), day, shard, as_of=now)
            return workers.DayRecomputed(day, 4, 4, 3, 3, 3, ())

        monkeypatch.setattr(workers, "recompute_day", recompute_day)
        freeze(monkeypatch, verb, now)
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n") if typed is None else Terminal(typed))
        capsys.readouterr()
        return Ran(main(list(arguments)), *capsys.readouterr())

    return run_at


PREVIEW = """\
month    EUR before  EUR after  difference
2026-11    4.000000   2.000000   -2.000000

team  EUR before  EUR after  difference
=1+1    2.000000   1.000000   -1.000000
-       2.000000   1.000000   -1.000000

user        EUR before  EUR after  difference
\\x1b[2Jbob    2.000000   1.000000   -1.000000
alice         2.000000   1.000000   -1.000000

"""
BEFORE = [Decimal(number) for number in ("2.5", "2", "0")]
AFTER = [Decimal(number) for number in ("1.25", "1", "0")]


def of_alice(store: Store) -> list[Any]:
    return figures_of(summary(store))


def figures_of(row: dict[str, Any]) -> list[Any]:
    return [row["costUSD"], row["costEUR"], row["unpriced"]]


def test_a_dry_run_shows_what_would_change_and_needs_no_reason(store: Store, run: Run) -> None:
    ran = run("reprice", *RANGE, "--dry-run", "--yes")
    assert ran == Ran(
        0,
        PREVIEW,
        f"To be corrected: 1 day ({TODAY}). What the requests whose cost changes cost:\n"
        "Nothing was changed, because of --dry-run.\n",
    )
    assert (of_alice(store), store.prices.corrections()) == (BEFORE, [])


def test_without_a_terminal_and_without_yes_nothing_is_changed(store: Store, run: Run) -> None:
    ran = run("reprice", *RANGE, *REASON)
    assert (ran.code, ran.out) == (1, PREVIEW)
    assert ran.err.endswith("Nothing was changed: without a terminal, confirm with --yes.\n")
    assert (of_alice(store), store.prices.corrections(), store.state.marked()) == (BEFORE, [], set())


@pytest.mark.parametrize("typed", ["n\n", "\n", "", "sure\n"])
def test_at_a_terminal_it_asks_and_takes_only_a_yes(store: Store, run: Run, typed: str) -> None:
    ran = run("reprice", *RANGE, *REASON, typed=typed)
    assert ran.code == 1
    assert ran.err.endswith(f"Correct 1 day ({TODAY})? [y/N] Nothing was changed.\n")
    assert store.prices.corrections() == []


def test_after_a_yes_the_day_is_corrected_and_recomputed(store: Store, run: Run) -> None:
    ran = run("reprice", *RANGE, *REASON, typed="y\n")
    assert (ran.code, ran.out) == (0, PREVIEW)
    assert ran.err.endswith(
        "Correction 1 is recorded. If this is stopped, the hourly rollup finishes it.\n"
        "day         EUR before   EUR now  final\n"
        f"{TODAY}    4.400000  2.400000    yes\n"
    )
    assert of_alice(store) == AFTER
    assert figures_of(summary(store)["before"])[:2] == BEFORE[:2]
    assert (store.prices.unfinished(), store.state.marked()) == ([], set())
    [correction] = store.prices.corrections()
    assert (correction.reason, correction.recorded_by, correction.revision) == (REASON[1], BY, 2)
    again = run("reprice", *RANGE, *REASON, "--yes")
    assert again == Ran(
        0,
        "",
        f"Without another price in the newest revision of the book: 1 day ({TODAY}).\n"
        "There is nothing to correct.\n",
    )


def test_json_is_exact_and_has_everybody(store: Store, run: Run) -> None:
    ran = run("reprice", *RANGE, "--dry-run", "--json")
    document = simplejson.loads(ran.out, use_decimal=True)
    change = {"costEURBefore": 2, "costEUR": 1}
    assert document == {
        "days": {"due": [TODAY]},
        "months": [{"month": "2026-11", "costEURBefore": 4, "costEUR": 2}],
        "teams": [{"teamId": "=1+1"} | change, {"teamId": None} | change],
        "users": [{"userId": "\x1b[2Jbob"} | change, {"userId": "alice"} | change],
    }


def test_a_day_without_a_request_whose_cost_changes_is_left_alone(store: Store, run: Run) -> None:
    run("reprice", *RANGE, *REASON, "--yes")
    add_price(store, RIGHT, pattern="anthropic/*")
    ran = run("reprice", *RANGE, *REASON, "--yes")
    assert ran == Ran(
        0,
        "",
        "With another price in the newest revision, but no request whose cost changes:"
        f" 1 day ({TODAY}).\n"
        "There is nothing to correct.\n",
    )
    assert len(store.prices.corrections()) == 1


def test_long_tables_end_with_the_sum_of_the_others(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "SHOWN", 1)
    lines = run("reprice", *RANGE, "--dry-run").out.splitlines()
    assert lines[-2].split() == ["(1", "others)", "2.000000", "1.000000", "-1.000000"]


def test_dollars_without_a_rate_are_named(store: Store, run: Run) -> None:
    store.client.delete_item(
        TableName=store.state.name, Key={"kind": {"S": "rate"}, "key": {"S": "2026-11-20"}}
    )
    ran = run("reprice", *RANGE, "--dry-run")
    assert f"Dollars of 1 day ({TODAY}) wait for their fx rate: they are in no column." in ran.err


def test_a_day_that_cannot_be_recomputed_now_is_left_to_the_rollup(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "_recompute", lambda session, stack, days: days)
    ran = run("reprice", *RANGE, *REASON, "--yes")
    assert ran.code == 1
    assert ran.err.endswith(
        f"{TODAY}    4.400000  4.400000  not yet\n"
        f"1 day ({TODAY}) could not be recomputed now: the hourly rollup does it.\n"
    )
    roll_up(store, LATER)
    assert of_alice(store) == AFTER


def test_errors_of_a_worker_are_said_and_the_next_day_is_tried(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[Any] = [EndpointConnectionError(endpoint_url="lambda"), ("no\x1b such day",), ()]

    def recompute_day(session: Any, stack: str, day: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return workers.DayRecomputed(day, 4, 4, 0, 0, 0, answer)

    monkeypatch.setattr(workers, "recompute_day", recompute_day)
    assert verb._recompute(None, "impact", ["d1", "d2", "d3"]) == ["d1", "d2"]
    assert capsys.readouterr().err.startswith("d1: Could not connect to the endpoint URL")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*REASON,), "Missing option '--since'."),
        ((*RANGE,), "Missing option '--reason': it is kept with the correction."),
        ((*RANGE, "--reason", " \n"), "Give 1 to 500 characters."),
        ((*RANGE, "--reason", ""), "Give 1 to 500 characters."),
        ((*RANGE, "--dry-run", "--reason", "x" * 501), "Give 1 to 500 characters."),
        ((*RANGE, "--reason", os.fsdecode(b"\xff")), "It is not UTF-8."),
        ((*RANGE, *REASON, "--until", "2026-11-22"), f"{TODAY} is after 2026-11-22."),
        (("--since", "2026-11-25", *REASON), "2026-11-25 is in the future."),
        (("--since", "2026-12", *REASON), "2026-12-01 is in the future."),
        (("--since", "soon", *REASON), "'soon' is not a day"),
        ((*RANGE, *REASON, "openai/gpt-6"), "Got unexpected extra argument"),
    ],
)
def test_wrong_usage_changes_nothing(
    store: Store, run: Run, arguments: tuple[str, ...], message: str
) -> None:
    ran = run("reprice", *arguments, "--yes")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert store.prices.corrections() == []


def test_more_days_than_one_correction_holds_are_refused(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "DAYS_MAX", 0)
    ran = run("reprice", *RANGE, *REASON, "--yes")
    assert (ran.code, ran.err.splitlines()[-1]) == (1, "Error: 1 days are more than 0 at once: give --until.")
    assert store.prices.corrections() == []


# --- corrections ---


def test_no_corrections(run: Run) -> None:
    assert run("corrections") == Ran(0, "No final day was corrected.\n", "")
    assert run("corrections", "--json").out == "[]\n"
    assert run("corrections", "--jsonl").out == ""
    assert len(run("corrections", "--csv").out.splitlines()) == 1


def test_corrections_are_listed_with_what_was_before_and_is_now(store: Store, run: Run) -> None:
    run("reprice", *RANGE, "--reason", "=1+1 \x1b[2J", "--yes")
    add_price(store, Rates(input=Decimal("0.625"), output=Decimal(10)))
    run("reprice", *RANGE, "--reason", "cheaper", "--yes")
    at = "2026-11-24 04:01"
    assert run("corrections").out == (
        "no.  recorded at       days        by         reason        EUR before  EUR today\n"
        f"1    {at}  {TODAY}  user/moto  =1+1 \\x1b[2J    4.400000   1.400000\n"
        f"2    {at}  {TODAY}  user/moto  cheaper         2.400000   1.400000\n"
    )
    first, second = simplejson.loads(run("corrections", "--json").out, use_decimal=True)
    assert (first["number"], first["reason"], first["finished"]) == (1, "=1+1 \x1b[2J", True)
    assert (first["days"], first["revision"], first["recordedBy"]) == ([TODAY], 2, BY)
    assert first["before"][TODAY]["costUSD"] == Decimal("5.5")
    assert second["before"][TODAY]["costUSD"] == 3
    lines = [json.loads(line) for line in run("corrections", "--jsonl").out.splitlines()]
    assert [(row["number"], row["costUSDBefore"], row["costUSD"]) for row in lines] == [
        (1, 5.5, 1.75),
        (2, 3, 1.75),
    ]
    rows = list(csv.DictReader(io.StringIO(run("corrections", "--csv").out)))
    assert [(row["reason"], row["day"], row["costEURBefore"]) for row in rows] == [
        ("'=1+1 \x1b[2J", TODAY, "4.4"),
        ("cheaper", TODAY, "2.4"),
    ]


def test_a_correction_that_is_not_finished_says_so(store: Store, run: Run) -> None:
    from impact.corrections import append_correction
    from impact_cli.repricing import totals_of

    append_correction(store, 2, totals_of(store, CALENDAR, [TODAY]), reason="r", by="a", now=LATER)
    assert run("corrections").out.splitlines()[1].endswith("  r (not finished yet)    4.400000   4.400000")
    assert json.loads(run("corrections", "--json").out)[0]["finished"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("alice",), "Got unexpected extra argument (alice)"),
        (("--since", TODAY), "No such option: --since"),
        (("--form", "x"), "No such option: --form"),
        (("--stack",), "Option '--stack' requires an argument."),
        (("--csv=x",), "Option '--csv' does not take a value."),
    ],
)
def test_wrong_usage_of_corrections(run: Run, arguments: tuple[str, ...], message: str) -> None:
    ran = run("corrections", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
