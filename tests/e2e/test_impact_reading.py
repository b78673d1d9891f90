"""`impact` shows what it costs, on a terminal and in a pipe: usage, top, day, events, explain, tail, send."""

import csv
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any
from uuid import uuid4

import pytest

from impact.decimals import EXACT
from impact.fx_rates import fx_date_of
from impact_cli.records import DAY_COLUMNS, SUMMARY_COLUMNS
from local.stack import Stack
from tests.e2e.api import Api, a_user, an_event, count, day, fx_rates
from tests.e2e.command import IMPACT, Ran, environment_of, impact, impact_in_a_terminal, running, shell

OF, CROWDED = 150, 151
"""Days of these tests: so many days ago."""
USER = f"-rf `id` {uuid4().hex}"
"""An id that a shell, a terminal and a command line would each take for something else."""
CROWD = 120
DAY, RANGE = day(OF), ("--since", day(OF), "--until", day(OF))
USD = "1.1172"
RED = "\x1b[31mred"
"""A model whose name is for a terminal."""
TEAM, OTHER_TEAM = "=1+1", {"teamId": "(none)", "keyAlias": "prod", "tags": ["a"]}
DETAILS = ("--json", "--jsonl", "--csv")


@pytest.fixture(scope="module", autouse=True)
def used(stack: Stack, api: Api) -> Iterator[None]:
    """A day with a rate and three models, and a day with many users."""
    events = [
        an_event(USER, OF, costEUR=None, costUSD=2.5, eventId="a", teamId=TEAM, tags=["a", "b"]),
        an_event(
            USER, OF, costUSD=1, eventId="b", model="claude-sonnet-4-5", provider="anthropic", **OTHER_TEAM
        ),
        an_event(USER, OF, costEUR=None, eventId="c", model=RED, provider="x", status="failure"),
    ]
    crowd = [an_event(f"{USER}-{number:03d}", CROWDED) for number in range(CROWD)]
    with fx_rates(stack, DAY, usd=USD):
        assert api.post([*events, *crowd]).body["created"] == len(events) + CROWD
        for ago in (OF, CROWDED):
            count(stack, day(ago))
        yield


def pipe(stack: Stack, *arguments: str) -> str:
    """Run a command in a pipe that must succeed. Return the data: there is nothing else."""
    ran = impact(stack, *arguments)
    told = (ran.out + ran.error).replace(RED, "")
    assert (ran.code, ran.error, "\x1b" in told) == (0, "", False), ran
    return ran.out


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def test_usage_in_a_terminal_and_in_a_pipe_is_the_same_table(stack: Stack) -> None:
    shown = impact_in_a_terminal(stack, "usage", *RANGE, "--", USER)
    table = pipe(stack, "usage", *RANGE, "--", USER)
    assert (shown.code, shown.out) == (0, table)
    head, _, _, row, total, *_ = table.splitlines()
    assert head == f"{USER}, {DAY} to {DAY}"
    assert row.split()[:5] == [DAY, "3", "1", "3,600", "1,020"]
    assert total.split()[:2] == ["sum", "3"]
    assert "Unpriced: 1 request without a known cost." in table
    assert "Amounts are rounded here" in table


@pytest.mark.parametrize("whose", [[USER], []], ids=["user", "platform"])
def test_usage_for_programs_is_the_apis_to_the_last_digit(stack: Stack, api: Api, whose: list[str]) -> None:
    path, query = ("/api/summaries", {"userId": USER}) if whose else ("/api/totals", {})
    told = api.get(path, **query, **{"from": DAY, "to": DAY}).exact
    told.pop("next", None)
    as_json, as_lines, as_csv = (pipe(stack, "usage", *RANGE, form, "--", *whose) for form in DETAILS)
    assert exact(as_json) == told
    assert [exact(line) for line in as_lines.splitlines()] == told["days"]
    [header, row] = csv.reader(as_csv.splitlines())
    assert tuple(header) == (SUMMARY_COLUMNS if whose else DAY_COLUMNS)
    cells, [of] = dict(zip(header, row, strict=True)), told["days"]
    assert Decimal(cells["billedEUR"]) == of["billedEUR"]
    assert Decimal(cells["co2eKg.high"]) == of["co2eKg"]["high"]
    assert cells.get("userId", f"'{USER}") == f"'{USER}"  # defused: a spreadsheet would run it


def test_fresh_usage_counts_what_no_rollup_has_counted(stack: Stack, api: Api) -> None:
    user = a_user()
    api.post(an_event(user))
    assert pipe(stack, "usage", user).endswith(": no requests.\n")
    told = exact(pipe(stack, "usage", user, "--fresh", "--json"))
    assert (told["total"]["requests"], told["days"][0]["final"]) == (1, False)
    assert f"Not final: {day()}." in impact_in_a_terminal(stack, "usage", user, "--fresh").out
    assert impact(stack, "usage", "--fresh").code == 2


def test_no_color_is_obeyed(stack: Stack) -> None:
    for verb in (["usage"], ["top", "models"], ["day", DAY], ["nope"]):
        shown = impact_in_a_terminal(stack, *verb, environment={"NO_COLOR": "1"})
        assert not re.search(r"\x1b\[[0-9;]*m", shown.out)


def test_top_models(stack: Stack) -> None:
    shown = impact_in_a_terminal(stack, "top", "models", *RANGE)
    assert "Reading what models did ..." in shown.out  # progress, which a pipe does not have
    table = pipe(stack, "top", "models", *RANGE)
    assert shown.out.endswith(table)
    assert "share" in table
    assert [line.split()[0] for line in table.splitlines()[3:6]] == [
        "openai/gpt-4o",
        "anthropic/claude-sonnet-4-5",
        '"x/\\u001b[31mred"',
    ]
    assert "1 more: --limit 3" in pipe(stack, "top", "models", *RANGE, "--limit", "2")


def test_top_teams_and_the_days_of_one(stack: Stack) -> None:
    table = pipe(stack, "top", "teams", *RANGE)
    lines = table.splitlines()[3:6]
    assert [line.split()[0] for line in lines] == [TEAM, '"(none)"', "(none)"]
    assert lines[0].count("█") > lines[1].count("█") >= lines[2].count("█") == 0
    assert max(map(len, table.splitlines()[:6])) <= 80
    assert "Requests with several tags count for each of them." in pipe(stack, "top", "tags", *RANGE)
    of = ("usage", "--team", TEAM, *RANGE)
    head, _, _, row, *_ = pipe(stack, *of).splitlines()
    assert (head, row.split()[:2]) == (f"Team {TEAM}, {DAY} to {DAY}", [DAY, "1"])
    assert next(csv.DictReader(pipe(stack, *of, "--csv").splitlines()))["teamId"] == f"'{TEAM}"
    assert impact(stack, "usage", USER, "--team", TEAM).code == 2


@pytest.mark.parametrize("by", ["user", "team", "key", "tag", "model", "provider"])
def test_what_values_did_adds_up_to_the_platform(stack: Stack, api: Api, by: str) -> None:
    top = ("top", f"{by}s", *RANGE)
    told = exact(pipe(stack, *top, "--json"))
    assert told == api.get("/api/breakdown", by=by, **{"from": DAY, "to": DAY}).exact
    items = told["items"]
    [total] = api.get("/api/totals", **{"from": DAY, "to": DAY}).exact["days"]
    if by != "tag":
        with localcontext(EXACT):
            for name in ("requests", "costUSD", "costEUR", "billedEUR"):
                assert sum(item[name] for item in items) == total[name]
    assert [exact(line) for line in pipe(stack, *top, "--jsonl").splitlines()] == items
    rows = csv.DictReader(pipe(stack, *top, "--csv").splitlines())
    assert [row["value"].removeprefix("'") for row in rows] == [item["value"] or "" for item in items]
    lines = pipe(stack, "export", "jsonl", "--by", by, *RANGE).splitlines()
    assert [exact(line)["billedEUR"] for line in lines] == [item["billedEUR"] for item in items]
    for field, dimension in (("teamId", "team"), ("keyAlias", "key"), ("tag", "tag")):
        for item in items if dimension == by else ():
            if item["value"] is not None:
                of = api.get("/api/summaries", **{field: item["value"], "from": DAY, "to": DAY}).exact
                assert of["total"]["billedEUR"] == item["billedEUR"]


def test_a_day_comes_in_pages_on_a_terminal(stack: Stack, api: Api) -> None:
    of = day(CROWDED)
    shown = impact_in_a_terminal(stack, "day", of).out
    assert [len(page.splitlines()) for page in shown.split("\n\n")] == [
        51,
        51,
        22,
    ]  # names, rows; at last the sum
    assert shown.count("EUR billed") == 3
    ran = impact(stack, "day", of)
    assert ran.error.startswith(f"{of}: {CROWD} users.")
    assert sorted(ran.out.splitlines()) == sorted(
        line for line in shown.splitlines() if not line.startswith(of)
    )
    first = api.get("/api/summaries", day=of).exact["items"]
    told = exact(pipe(stack, "day", of, "--json"))
    assert (told["day"], len(told["items"]), told["items"][: len(first)]) == (of, CROWD, first)
    assert [exact(line) for line in pipe(stack, "day", of, "--jsonl").splitlines()] == told["items"]
    rows = list(csv.DictReader(pipe(stack, "day", of, "--csv").splitlines()))
    assert [row["userId"] for row in rows] == [f"'{item['userId']}" for item in told["items"]]
    assert pipe(stack, "day", "2001-01-01") == "2001-01-01: no requests.\n"


def test_a_reader_that_has_enough_is_no_error(stack: Stack) -> None:
    first = shell(stack, 'impact day "$1" --jsonl | head -1', day(CROWDED))
    assert (first.code, first.error, len(first.out.splitlines())) == (0, "", 1)
    for verb in ("--help", "--version", f"day {day(CROWDED)}", f"export csv --since {day(CROWDED)}"):
        nobody = shell(stack, f"(sleep 0.2; impact {verb}) | true")  # it begins when nobody reads any more
        assert nobody == Ran(0, "", ""), verb


def test_the_requests_behind_a_sum(stack: Stack) -> None:
    arguments = ("events", "--day", DAY)
    shown = impact_in_a_terminal(stack, *arguments, "--", USER)
    assert (shown.code, shown.out) == (0, pipe(stack, *arguments, "--", USER))
    assert r"x/\x1b[31mred" in shown.out
    told = exact(pipe(stack, *arguments, "--json", "--", USER))
    assert [event["eventId"] for event in told["events"]] == ["a", "b", "c"]
    assert (told["events"][0]["costUSD"], "costUSD" in told["events"][2]) == (Decimal("2.5"), False)
    lines = pipe(stack, *arguments, "--jsonl", "--", USER).splitlines()
    assert [exact(line) for line in lines] == told["events"]
    rows = csv.DictReader(pipe(stack, *arguments, "--csv", "--", USER).splitlines())
    assert [(row["costUSD"], row["model"] == RED) for row in rows] == [
        ("2.5", False),
        ("1", False),
        ("", True),
    ]
    for form in DETAILS:
        assert RED not in impact_in_a_terminal(stack, *arguments, form, "--", USER).out
    assert "no requests in the ledger" in pipe(stack, *arguments, a_user())


def test_a_figure_is_explained_and_checked(stack: Stack, api: Api) -> None:
    arguments = ("explain", "--day", DAY)
    shown = impact_in_a_terminal(stack, *arguments, "--", USER)
    assert (shown.code, shown.out) == (0, pipe(stack, *arguments, "--", USER))
    assert f"Fx rate: {USD} dollars for one euro, of {fx_date_of(DAY)}" in shown.out
    assert "The stored summary has the same figures, to the last digit. It is final." in shown.out
    [summary] = api.get("/api/summaries", userId=USER, **{"from": DAY, "to": DAY}).exact["days"]
    assert f"{summary['billedEUR']:f}" in shown.out
    told = exact(pipe(stack, *arguments, "--json", "--", USER))
    assert told["computed"]["billedEUR"] == summary["billedEUR"]
    assert (told["differences"], len(told["events"])) == ({}, 3)


def test_a_summary_that_was_tampered_with_is_found_and_mended(stack: Stack) -> None:
    name = "costEUR"
    summaries = stack.session.resource("dynamodb").Table(stack.daily_summaries_table)
    summaries.update_item(
        Key={"userId": USER, "day": DAY},
        UpdateExpression="SET #n = #n + :one",
        ExpressionAttributeNames={"#n": name},
        ExpressionAttributeValues={":one": 1},
    )
    found = impact(stack, "explain", "--day", DAY, "--", USER)
    assert (found.code, "The stored summary differs:" in found.out) == (1, True)
    assert re.findall(r"^  (\w+): stored \S+, from the ledger \S+$", found.out, re.MULTILINE) == [name]
    assert f"impact rollup {DAY}" in found.out
    told = impact(stack, "explain", "--day", DAY, "--json", "--", USER)
    assert (told.code, list(exact(told.out)["differences"])) == (1, [name])
    assert impact_in_a_terminal(stack, "rollup", DAY).code == 0
    assert impact(stack, "explain", "--day", DAY, "--", USER).code == 0


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_events_are_shown_as_they_arrive(stack: Stack, api: Api, terminal: bool) -> None:
    user, other = a_user(), a_user()
    with (
        running(stack, "tail", terminal=terminal) as all_,
        running(stack, "tail", "--jsonl", "--user", user, terminal=terminal) as of_one,
    ):
        for tail in (all_, of_one):
            tail.read_until("Waiting for events of impact. Ctrl-C ends this.\n")
        for whose in (other, user):
            api.post(an_event(whose, costEUR=None, costUSD=2.5))
        for whose in (other, user):
            all_.read_until(whose)
        all_.read_until("2.500000 USD\n")
        of_one.read_until("\n{")
        of_one.read_until("}\n")
        for tail in (all_, of_one):
            tail.process.send_signal(signal.SIGINT)
            assert tail.process.wait() == 0
        _, line = of_one.text.strip().splitlines()
        assert (exact(line)["userId"], exact(line)["costUSD"]) == (user, Decimal("2.5"))
        assert other not in of_one.text


def test_a_sample_event_is_sent(stack: Stack) -> None:
    user = f"-`id` {a_user()}"
    told = exact(pipe(stack, "send", "--user", user, "--json"))
    assert (told["response"]["status"], told["event"]["userId"]) == ("created", user)
    shown = impact_in_a_terminal(stack, "send", "--user", user)
    assert shown.code == 0
    [hint] = re.findall(r"Now: (impact usage .*)\n", shown.out)
    copied = shell(stack, f"{hint} --json".replace(" --fresh", " --fresh --json").removesuffix(" --json"))
    assert exact(copied.out)["total"]["requests"] == 2


def test_the_disk_is_full(stack: Stack) -> None:
    for verb in (
        ["day", day(CROWDED)],
        ["day", day(CROWDED), "--csv"],
        ["--help"],
        ["export", "csv", *RANGE],
    ):
        with open("/dev/full", "w") as full:
            ran = subprocess.run(
                [IMPACT, *verb],
                env=environment_of(stack),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        error = ran.stderr.splitlines()[-1]
        assert (ran.returncode, error) == (
            1,
            "Error: The output cannot be written or read: No space left on device.",
        )
