"""`impact top`, `usage` and `export` by dimension, on tables, through the API's own function."""

import csv
import io
import json
import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from impact import breakdown, pages
from impact.breakdown import DIMENSIONS, WHOLE
from impact.decimals import EXACT
from impact.naming import KEY, TEAM, USER, Name
from impact.store import Store
from impact_cli.main import main
from impact_cli.table import width
from impact_client import Impact
from impact_client.client import _exact
from summaries import app
from tests.events import NOON, freeze
from tests.integration.steps import BUILDER, TODAY, now_event, put, roll_up
from tests.lambda_context import CONTEXT
from tests.rates import BEFORE_NOON, publish

RANGE = ("--since", TODAY, "--until", TODAY)
HOSTILE = "\x1b[31m=1+1\u202e,\n"
TEAMS = {"Marketing": 9, "marketing": 5, "(none)": 4, "(others)": 3, HOSTILE: 2, None: 1}

Run = Callable[..., str]


@pytest.fixture(autouse=True)
def api(store: Store, ledger_since_noon: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command reads what the function answers, and today has some use."""
    freeze(monkeypatch, app)
    monkeypatch.setattr(app, "store", store)
    monkeypatch.setattr(app, "calendar", lambda now: BUILDER.calendar)
    monkeypatch.setenv("IMPACT_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setenv("IMPACT_SERVICE_URL", "https://api.example.com")
    monkeypatch.setenv("IMPACT_READ_TOKEN", "read")
    monkeypatch.setattr(Impact, "_read", read)
    publish(store, BEFORE_NOON)
    for number, (team, usd) in enumerate(TEAMS.items()):
        fields = {"teamId": team, "keyAlias": f"key-{number % 2}", "tags": ["a", "A"][: number % 3]}
        put(store, now_event(eventId=str(number), userId=f"user-{number}", costUSD=usd, **fields))
    roll_up(store)


def read(self: Impact, path: str, query: dict[str, str]) -> Any:
    event = {"routeKey": f"GET {path}", "queryStringParameters": dict(query)}
    response = app.handler(event, CONTEXT)
    assert response["statusCode"] == 200, response
    return json.loads(response["body"], parse_float=Decimal, object_hook=_exact)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str, code: int = 0) -> str:
        assert main(list(arguments)) == code
        told = capsys.readouterr()
        return told.err if code else told.out

    return command


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


# impact top


def test_the_teams_that_cost_most(run: Run) -> None:
    table = run("top", "teams", *RANGE)
    lines = table.splitlines()
    assert lines[0] == f"Teams of {TODAY} to {TODAY}, dearest first"
    assert [re.split(r" {2,}", line)[0] for line in lines[2:9]] == [
        *("team", "Marketing", "marketing", '"(none)"', '"(others)"'),
        *(r'"\u001b[31m=1+1\u202e,\n"', "(none)"),
    ]
    assert "(others):" not in table
    assert max(map(width, lines[:9])) <= 80
    assert "\x1b" not in table
    assert "█" not in table  # the longest value leaves no room for bars


@pytest.mark.parametrize("by", DIMENSIONS)
def test_the_sums_are_the_platform_s(run: Run, by: str) -> None:
    top = ("top", f"{by}s", *RANGE)
    told = exact(run(*top, "--json"))
    assert list(told) == ["by", "from", "to", "items", "final", "next"]
    assert (told["by"], told["final"], told["next"]) == (by, False, None)
    assert [exact(line) for line in run(*top, "--jsonl").splitlines()] == told["items"]
    rows = list(csv.DictReader(io.StringIO(run(*top, "--csv"))))
    assert [Decimal(row["billedEUR"]) for row in rows] == [item["billedEUR"] for item in told["items"]]
    assert [row["value"].replace("'", "") for row in rows] == [item["value"] or "" for item in told["items"]]
    if by in WHOLE:
        total = exact(run("usage", *RANGE, "--json"))["total"]
        with localcontext(EXACT):
            for name in ("requests", "tokens_in", "costUSD", "costEUR", "billedEUR"):
                assert sum(item[name] for item in told["items"]) == total[name]


def test_the_rest_is_said_and_stands_below_the_limit(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakdown, "VALUES_MAX", 1)
    put(store, *(now_event(eventId=f"more-{n}", teamId=f"team-{n}", costUSD=0) for n in range(5)))
    roll_up(store)
    table = run("top", "teams", *RANGE, "--limit", "2")
    lines = [line.split("  ")[0] for line in table.splitlines()]
    assert lines[3] == "Marketing"
    assert lines[5] == "(others)"
    assert "more: --limit" in table
    assert "(others): teams that are not kept one by one, because a day had too many." in table
    rows = list(csv.DictReader(io.StringIO(run("top", "teams", *RANGE, "--csv"))))
    assert [row["rest"] for row in rows] == [*[""] * (len(rows) - 1), "true"]
    usage = run("usage", "--team", "team-0", *RANGE)
    assert f"Perhaps not whole: {TODAY}." in usage


def test_names_stand_beside_ids(run: Run, store: Store) -> None:
    store.names.put(TEAM, "Marketing", Name("The \x1b[2J team", "4711"), NOON)
    store.names.put(USER, "user-0", Name("Alice Example"), NOON)
    store.names.put(KEY, "key-0", Name("LibreChat"), NOON)
    assert r"The \x1b[2J team" in run("top", "teams", *RANGE)
    assert "Alice Example" in run("top", "users", *RANGE)
    assert "LibreChat" in run("top", "keys", *RANGE)
    assert "name" not in run("top", "tags", *RANGE)
    head = run("usage", "--team", "Marketing", *RANGE).splitlines()[0]
    assert head == rf"Team The \x1b[2J team (Marketing), cost centre 4711, {TODAY} to {TODAY}"
    told = exact(run("usage", "--team", "Marketing", *RANGE, "--json"))
    assert (told["name"], told["costCentre"]) == ("The \x1b[2J team", "4711")


def test_several_pages_are_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run("top", "teams", *RANGE, "--json")
    monkeypatch.setattr(pages, "ROWS_BYTES", 1_000)
    assert run("top", "teams", *RANGE, "--json") == whole


def test_requests_with_several_tags_are_explained(run: Run) -> None:
    explained = "Requests with several tags count for each of them."
    assert explained in run("top", "tags", *RANGE)
    assert explained not in run("top", "teams", *RANGE)


def test_an_empty_team_or_key_is_none(run: Run, store: Store) -> None:
    put(store, now_event(eventId="empty", userId="user-9", teamId="", keyAlias="", costUSD=7))
    roll_up(store)
    for by, others in (("teams", 1), ("keys", 0)):
        [none] = [item for item in exact(run("top", by, *RANGE, "--json"))["items"] if not item["value"]]
        assert (none["value"], none["requests"], none["costUSD"]) == (None, 1 + others, 7 + others)
        [line] = [line for line in run("top", by, *RANGE).splitlines() if line.startswith("(none)")]
        assert line.split()[1] == str(1 + others)


def test_without_use_there_is_no_table(run: Run) -> None:
    assert run("top", "tags", "--since", "2026-11-01", "--until", "2026-11-02").endswith(": no requests.\n")


# impact usage


@pytest.mark.parametrize(
    "option", [("--team", "teamId", "Marketing"), ("--key", "keyAlias", "key-1"), ("--tag", "tag", "A")]
)
def test_the_days_of_one(run: Run, option: tuple[str, str, str]) -> None:
    name, field, value = option
    of = ("usage", name, value, *RANGE)
    told = exact(run(*of, "--json"))
    by = {"teamId": "teams", "keyAlias": "keys", "tag": "tags"}[field]
    [item] = [i for i in exact(run("top", by, *RANGE, "--json"))["items"] if i["value"] == value]
    [day] = told["days"]
    assert (told[field], day["day"], day["billedEUR"]) == (value, TODAY, item["billedEUR"])
    assert told["total"]["billedEUR"] == item["billedEUR"]
    assert [exact(line) for line in run(*of, "--jsonl").splitlines()] == [day | {field: value}]
    [row] = csv.DictReader(io.StringIO(run(*of, "--csv")))
    assert (row[field], row["day"], Decimal(row["costEUR"])) == (value, TODAY, day["costEUR"])
    head, _, names, first, total, *_ = run(*of).splitlines()
    assert head.endswith(f"{value}, {TODAY} to {TODAY}")
    assert names.split()[:2] == ["day", "requests"]
    assert (first.split()[0], total.split()[0]) == (TODAY, "sum")


def test_a_hostile_team_is_text(run: Run) -> None:
    shown = run("usage", "--team", HOSTILE, *RANGE)
    assert shown.startswith(r"Team \x1b[31m=1+1\u202e,\n, ")
    assert "\x1b" not in shown
    [row] = csv.DictReader(io.StringIO(run("usage", "--team", HOSTILE, *RANGE, "--csv"), newline=""))
    assert row["requests"] == "1"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("alice", "--team", "a"), "Give one of USER, --team, --key and --tag."),
        (("--key", "a", "--tag", "a"), "Give one of USER, --team, --key and --tag."),
        (("--team", "a", "--fresh"), "--fresh needs a USER."),
        (("--team", ""), "It has 1 to 256 characters"),
        (("--tag", "x" * 257), "It has 1 to 256 characters"),
        (("--key", "\ud800"), "It is not UTF-8"),
    ],
)
def test_wrong_usage_is_said(run: Run, arguments: tuple[str, ...], error: str) -> None:
    assert error in run("usage", *arguments, code=2)


# impact export --by


def test_a_row_a_day_and_team(run: Run, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("export", "csv", "--by", "team", *RANGE))))
    items = exact(run("top", "teams", *RANGE, "--json"))["items"]
    assert [(row["by"], row["day"], row["final"]) for row in rows] == [("team", TODAY, "false")] * len(items)
    assert [Decimal(row["billedEUR"]) for row in rows] == [item["billedEUR"] for item in items]
    lines = [exact(line) for line in run("export", "jsonl", "--by", "team", *RANGE).splitlines()]
    assert lines == [{"by": "team", "day": TODAY, **item, "final": False} for item in items]
    assert "Give --events or --by, not both." in run("export", "csv", "--by", "key", "--events", code=2)


def test_parquet_has_the_same_rows(run: Run, tmp_path: Path) -> None:
    read_parquet = pytest.importorskip("arro3.io").read_parquet
    folder = tmp_path / "keys"
    run("export", "parquet", "--by", "key", *RANGE, "-o", str(folder))
    [path] = folder.rglob("*.parquet")
    assert path.relative_to(folder).as_posix() == f"day={TODAY}/key.parquet"
    table = read_parquet(str(path)).read_all()
    assert [str(v) for v in table["value"].to_pylist()] == ["key-0", "key-1"]
