"""`impact name` on the deployed stack: a name stands beside its id wherever that is shown."""

import csv
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from arro3.io import read_parquet

from local.stack import Stack
from tests.e2e.api import Api, an_event, count, day
from tests.e2e.command import impact, impact_in_a_terminal

AGO = 195
"""The day of these tests: so many days ago."""
DAY = day(AGO)
RANGE = ("--since", DAY, "--until", DAY)
USER, TEAM, KEY = (f"-{kind} #1 {uuid4().hex}" for kind in ("user", "team", "key"))
"""Ids that a command line would take for options."""
NAME, SHOWN = "=1+1 \x1b[31m<b>שלום</b>", r"=1+1 \x1b[31m<b>שלום</b>"
CENTRE = "@4711"


@pytest.fixture(scope="module", autouse=True)
def named(stack: Stack, api: Api) -> Iterator[None]:
    """Two users of a day, one of which has a name; the event has a team and a key that have names, too."""
    labels = {"teamId": TEAM, "keyAlias": KEY}
    assert api.post([an_event(USER, AGO, **labels), an_event(f"{USER}2", AGO)]).body["created"] == 2
    count(stack, DAY)
    for kind, id_, name in (("user", USER, NAME), ("team", TEAM, "Marketing"), ("key", KEY, "LibreChat")):
        ran = impact(stack, "name", kind, "--cost-centre", CENTRE, "--", id_, name)
        assert (ran.code, ran.error, "\x1b" in ran.out) == (0, "", False), ran
    yield
    for kind, id_ in (("user", USER), ("team", TEAM), ("key", KEY)):
        assert impact(stack, "name", "remove", kind, "--", id_).code == 0


def told(stack: Stack, *arguments: str) -> str:
    ran = impact(stack, *arguments)
    assert ran.code == 0, ran
    return ran.out


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def of_user(found: list[dict[str, Any]], field: str = "userId") -> dict[str, Any]:
    [row] = [row for row in found if row[field].removeprefix("'") == USER]
    return row


@pytest.mark.parametrize("command", ["usage", "events", "explain"])
def test_a_heading_names_the_user(stack: Stack, command: str) -> None:
    which = RANGE if command == "usage" else ("--day", DAY)
    shown = impact_in_a_terminal(stack, command, *which, "--", USER)
    assert shown.out.startswith(f"{SHOWN} ({USER}), cost centre {CENTRE}, {DAY}")
    whole = exact(told(stack, command, *which, "--json", "--", USER))
    assert (whole["userId"], whole["name"], whole["costCentre"]) == (USER, NAME, CENTRE)
    nobody = exact(told(stack, command, *which, "--json", "--", f"{USER}2"))
    assert "name" not in nobody


def test_a_table_has_a_column_of_names(stack: Stack) -> None:
    for arguments in (("day", DAY), ("top", "users", *RANGE)):
        head, *lines = [line for line in told(stack, *arguments).splitlines() if line.strip()]
        head = head if head.startswith("user") else lines.pop(0)
        assert head.split()[:2] == ["user", "name"]
        [line] = [line for line in lines if line.startswith(f"{USER} ")]
        [other] = [line for line in lines if line.startswith(f"{USER}2 ")]
        assert SHOWN[:20] in line
        assert other.removeprefix(f"{USER}2 ").split()[0] == "-"
        assert "\x1b" not in line


def test_programs_get_the_apis_fields(stack: Stack, api: Api) -> None:
    usage = api.get("/api/summaries", userId=USER, **{"from": DAY, "to": DAY}).body
    assert (usage["name"], usage["costCentre"]) == (NAME, CENTRE)
    [item] = [item for item in api.get("/api/summaries", day=DAY).body["items"] if item["userId"] == USER]
    assert (item["name"], item["costCentre"]) == (NAME, CENTRE)
    csvs = {
        "usage": rows(told(stack, "usage", *RANGE, "--csv", "--", USER)),
        "day": rows(told(stack, "day", DAY, "--csv")),
        "export": rows(told(stack, "export", "csv", *RANGE)),
    }
    for found in csvs.values():
        row = of_user(found)
        assert (row["name"], row["costCentre"]) == (f"'{NAME}", f"'{CENTRE}")  # defused
    assert [row["name"] for row in csvs["export"] if row["userId"] == f"'{USER}2"] == [""]
    [line] = map(exact, told(stack, "usage", *RANGE, "--jsonl", "--", USER).splitlines())
    assert line == of_user([exact(line) for line in told(stack, "export", "jsonl", *RANGE).splitlines()])
    top = of_user(exact(told(stack, "top", "users", *RANGE, "--json"))["items"], "value")
    assert (top["name"], top["costCentre"]) == (NAME, CENTRE)


def test_exports_of_other_formats_have_names(stack: Stack, tmp_path: Path) -> None:
    focus = [row for row in rows(told(stack, "export", "focus", *RANGE)) if row["x_UserId"] == f"'{USER}"]
    assert focus
    assert {(row["x_UserName"], row["x_CostCentre"]) for row in focus} == {(f"'{NAME}", f"'{CENTRE}")}
    told(stack, "export", "parquet", *RANGE, "-o", str(tmp_path / "parquet"))
    [path] = (tmp_path / "parquet").rglob("*.parquet")
    table = read_parquet(path).read_all()
    found = dict(zip(table["userId"].to_pylist(), table["name"].to_pylist(), strict=True))
    assert (found[USER], found[f"{USER}2"]) == (NAME, None)
    told(stack, "export", "person", "-o", str(tmp_path / "person"), "--", USER)
    held = json.loads((tmp_path / "person" / "data.json").read_text())
    assert (held["name"], held["costCentre"]) == (NAME, CENTRE)
    page = (tmp_path / "person" / "index.html").read_text()
    assert "&lt;b&gt;שלום" in page
    assert "<b>" not in page


def test_events_have_the_names_of_user_team_and_key(stack: Stack) -> None:
    names = {"userName": NAME, "teamName": "Marketing", "keyName": "LibreChat"}
    names |= {f"{kind}CostCentre": CENTRE for kind in ("user", "team", "key")}
    lines = [exact(line) for line in told(stack, "export", "jsonl", "--events", *RANGE).splitlines()]
    assert names.items() <= of_user(lines).items()
    assert not [line for line in lines if line["userId"] == f"{USER}2" and "userName" in line]
    row = of_user(rows(told(stack, "export", "csv", "--events", *RANGE)))
    order = list(row)
    assert order[order.index("teamId") + 1] == "teamName"
    assert (row["userName"], row["teamName"], row["keyCostCentre"]) == (f"'{NAME}", "Marketing", f"'{CENTRE}")
    [event] = exact(told(stack, "events", "--day", DAY, "--json", "--", USER))["events"]
    assert names.items() <= event.items()


def test_names_are_listed_and_imported(stack: Stack) -> None:
    ids = {row["id"]: row for row in exact(told(stack, "name", "list", "--json"))}
    assert {USER, TEAM, KEY} <= ids.keys()
    assert (ids[USER]["name"], ids[USER]["costCentre"]) == (NAME, CENTRE)
    new = f"new-{uuid4().hex}"
    file = f'kind,id,name,cost_centre\nuser,{new},"New, one",\nteam,{TEAM},Marketing,{CENTRE}\n'
    dry = impact(stack, "name", "import", "-", "--dry-run", stdin=file)
    assert (dry.code, dry.out) == (0, "It would be: 1 new, 0 changed, 1 the same.\n")
    assert impact(stack, "name", "import", "-", stdin=file).out == "Stored: 1 new, 0 changed, 1 the same.\n"
    assert exact(told(stack, "usage", *RANGE, "--json", new))["name"] == "New, one"
    erased = impact(stack, "erase", "--yes", new)
    assert erased.out.startswith(f"'{new}': 0 events of 0 days, 0 daily summaries and the name 'New, one'.\n")
    assert "name" not in exact(told(stack, "usage", *RANGE, "--json", new))
    assert new not in told(stack, "name", "list", "--json")
