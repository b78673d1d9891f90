"""`impact reprice` and `impact corrections` on the deployed stack: a price for final days."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from impact.price_book import Price, Rates
from local import PROJECT
from local.stack import Stack
from tests.e2e.api import Api, an_event, count, day, fx_rates, late_marks, store_of
from tests.e2e.command import impact, impact_in_a_terminal

AGO = 205
"""The days of these tests: so many days ago, and the one after."""
DAYS = (day(AGO), day(AGO - 1))
RANGE = ("--since", DAYS[0], "--until", DAYS[1])
MODEL = f"unheard-of-{uuid4().hex}"
USER = f"-u $(id) \x1b[2J {uuid4().hex}"
TEAM = f"=team {uuid4().hex}"
REASON = "`id` contract 17 \x1b[2J"


@pytest.fixture(scope="module", autouse=True)
def final_days(stack: Stack, api: Api) -> Iterator[None]:
    """Two final days with requests without a cost, whose price is appended later."""
    with fx_rates(stack, *DAYS, usd="1.25"):
        unpriced = {"model": MODEL, "costEUR": None, "tokens_in": 1_000_000, "tokens_out": 0, "teamId": TEAM}
        events = [an_event(USER, ago, **unpriced) for ago in (AGO, AGO - 1)]
        events.append(an_event(USER, AGO, costEUR=0.5, teamId=TEAM))
        assert api.post(events).body["created"] == 3
        for of in DAYS:
            count(stack, of)
        assert shown(api) == [(DAYS[0], Decimal("0.5"), 1, True), (DAYS[1], 0, 1, True)]
        append(stack, Rates(input=Decimal("2.5"), output=Decimal(0)))
        yield


def append(stack: Stack, rates: Rates) -> None:
    prices = store_of(stack).prices
    price = Price("", f"openai/{MODEL}", DAYS[0], rates, source="contract 17")
    assert prices.append(prices.book().revision + 1, [price], by="a test", now=datetime.now(UTC))


def rows(api: Api) -> list[dict[str, Any]]:
    query = {"userId": USER, "from": DAYS[0], "to": DAYS[1]}
    found: list[dict[str, Any]] = api.get("/api/summaries", **query).exact["days"]
    return found


def shown(api: Api) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in ("day", "costEUR", "unpriced", "final")) for row in rows(api)]


def test_what_would_change_is_shown_and_nothing_is_changed(stack: Stack, api: Api) -> None:
    """By a dry run, without a terminal and without a yes."""
    before = rows(api)
    dry, refused = (
        impact(stack, "reprice", *RANGE, "--dry-run"),
        impact(stack, "reprice", *RANGE, "--reason", REASON),
    )
    asked = impact_in_a_terminal(stack, "reprice", *RANGE, "--reason", REASON, answers=["n"])
    assert (dry.code, refused.code, asked.code) == (0, 1, 1)
    assert dry.error.endswith("Nothing was changed, because of --dry-run.\n")
    assert refused.error.endswith("Nothing was changed: without a terminal, confirm with --yes.\n")
    assert asked.out.endswith(f"Correct 2 days ({DAYS[0]} to {DAYS[1]})? [y/N] n\nNothing was changed.\n")
    for out in (dry.out, refused.out, asked.out):
        for of in (TEAM[:30], USER.replace("\x1b", r"\x1b")[:30]):
            assert of in out
        assert "0.000000   4.000000   +4.000000" in out
        assert "\x1b[2J" not in out
    exact = json.loads(impact(stack, "reprice", *RANGE, "--dry-run", "--json").out, parse_float=Decimal)
    assert exact["days"]["due"] == list(DAYS)
    assert exact["users"] == [{"userId": USER, "costEURBefore": 0, "costEUR": 4}]
    assert exact["teams"] == [{"teamId": TEAM, "costEURBefore": 0, "costEUR": 4}]
    assert rows(api) == before
    assert [mark for of in DAYS for mark in late_marks(stack, of)] == []
    assert REASON not in impact(stack, "corrections", "--json").out


def test_final_days_are_corrected_in_a_pipe_then_at_a_terminal(stack: Stack, api: Api) -> None:
    one_day = ("--since", DAYS[0], "--until", DAYS[0])
    piped = impact(stack, "reprice", *one_day, "--reason", REASON, "--yes")
    assert (piped.code, "is recorded. If this is stopped, the hourly rollup" in piped.error) == (0, True)
    typed = impact_in_a_terminal(stack, "reprice", *RANGE, "--reason", REASON, answers=["y"])
    assert (typed.code, "\x1b[2J" in typed.out) == (0, False)
    assert "Without another price in the newest revision" in typed.out
    assert f"{DAYS[1]}    " in typed.out.splitlines()[-1]
    assert typed.out.splitlines()[-1].endswith("yes")
    assert shown(api) == [(DAYS[0], Decimal("2.5"), 0, True), (DAYS[1], 2, 0, True)]
    first, second = rows(api)
    assert (first["before"]["costEUR"], first["before"]["unpriced"]) == (Decimal("0.5"), 1)
    assert (second["before"]["costEUR"], second["repriced"]) == (0, 1)
    assert late_marks(stack, DAYS[0]) == late_marks(stack, DAYS[1]) == []
    again = impact(stack, "reprice", *RANGE, "--reason", REASON, "--yes")
    assert (again.code, again.out, again.error.endswith("There is nothing to correct.\n")) == (0, "", True)

    found = [c for c in json.loads(impact(stack, "corrections", "--json").out) if c["reason"] == REASON]
    assert [(c["days"], c["finished"]) for c in found] == [([DAYS[0]], True), ([DAYS[1]], True)]
    assert found[0]["recordedBy"].startswith("arn:aws:")
    assert found[0]["before"][DAYS[0]]["unpriced"] >= 1
    text = impact(stack, "corrections", "--csv").out
    listed = [row for row in csv.DictReader(io.StringIO(text)) if row["reason"] == REASON]
    assert [row["day"] for row in listed] == list(DAYS)
    assert [Decimal(r["costEUR"]) - Decimal(r["costEURBefore"]) for r in listed] == [2, 2]
    table, at_terminal = impact(stack, "corrections"), impact_in_a_terminal(stack, "corrections")
    assert (table.code, table.error, at_terminal.out) == (0, "", table.out)
    assert [line.split()[3] for line in table.out.splitlines() if "contract 17" in line] == list(DAYS)
    assert "\x1b" not in table.out


def test_a_correction_whose_command_is_stopped_is_finished_by_the_rollup(stack: Stack, api: Api) -> None:
    """As if it was killed after it had recorded the correction."""
    from impact.corrections import append_correction

    append(stack, Rates(input=Decimal(5), output=Decimal(0)))
    store = store_of(stack)
    totals = [{"day": of} for of in DAYS]
    append_correction(
        store, store.prices.book().revision, totals, reason="killed", by="a test", now=datetime.now(UTC)
    )
    assert "killed (not finished yet)" in impact(stack, "corrections").out
    stack.rollup()
    assert shown(api) == [(DAYS[0], Decimal("4.5"), 0, True), (DAYS[1], 4, 0, True)]
    assert rows(api)[1]["before"]["costEUR"] == 0  # as it was final first
    assert "not finished" not in impact(stack, "corrections").out


@pytest.fixture
def reader(stack: Stack) -> Iterator[dict[str, str]]:
    """The credentials of a user with the rights that docs/prices.md lists, and no others."""
    page = (PROJECT / "docs/prices.md").read_text().partition("The command needs the rights")[2]
    actions = re.findall(r"`(\w+:\w+)`", page.partition("\n\n")[0])
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam, user = stack.client("iam"), {"UserName": "accountant"}
    iam.create_user(**user)
    iam.put_user_policy(**user, PolicyName="reprice", PolicyDocument=policy)
    key = iam.create_access_key(**user)["AccessKey"]
    yield {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    iam.delete_access_key(**user, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(**user, PolicyName="reprice")
    iam.delete_user(**user)


def test_it_needs_no_other_rights_than_the_page_says(stack: Stack, api: Api, reader: dict[str, str]) -> None:
    append(stack, Rates(input=Decimal("7.5"), output=Decimal(0)))
    done = impact(stack, "reprice", *RANGE, "--reason", "rights", "--yes", environment=reader)
    assert (done.code, shown(api)[1]) == (0, (DAYS[1], 6, 0, True)), done
    listed = json.loads(impact(stack, "corrections", "--json", environment=reader).out)
    assert listed[-1]["recordedBy"].endswith(":user/accountant")


SINCE, WHY = ("--since", DAYS[0]), ("--reason", "x")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("reprice", *WHY), 2, "Missing option '--since'"),
        (("reprice", *SINCE, "--reason", "  "), 2, "Give 1 to 500 characters."),
        (("reprice", *SINCE, "--reason", "x" * 501), 2, "Give 1 to 500 characters."),
        (("reprice", "--since", DAYS[1], "--until", DAYS[0], *WHY), 2, f"{DAYS[1]} is after {DAYS[0]}."),
        (("reprice", "--since", "2999-01-01", *WHY), 2, "2999-01-01 is in the future."),
        (("reprice", *SINCE, *WHY, "--stack", "nowhere"), 1, "There is no stack nowhere in us-east-1."),
        (("corrections", DAYS[0]), 2, "Got unexpected extra argument"),
        (("corrections", "--since", DAYS[0]), 2, "No such option: --since"),
        (("corrections", "--yes"), 2, "No such option: --yes"),
        (("corrections", "--stack"), 2, "Option '--stack' requires an argument."),
        (("corrections", "--stack", "nowhere"), 1, "There is no stack nowhere in us-east-1."),
    ],
)
def test_wrong_input_is_named_in_a_line(
    stack: Stack, command: tuple[str, ...], code: int, words: str
) -> None:
    options = ("--yes",) if command[0] == "reprice" else ()
    ran = impact(stack, *command, *options)
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.error.splitlines()[-1]
    assert "Traceback" not in ran.error
