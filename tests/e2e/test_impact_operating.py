"""`impact` changes a stack: erase, rollup, replay, put-back, rates, price, token; configure."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from impact.fx_rates import fx_date_of
from impact_cli.tokens import sha256
from local.stack import Stack
from local.stack.api_routes import make_routes
from local.stack.stack import LOCAL_SHARDS
from local.tables import schemas
from tests.e2e.api import Api, a_user, an_event, count, day, fx_rates, late_marks
from tests.e2e.command import environment_of, impact, impact_in_a_terminal
from tests.e2e.test_replay import send, visible
from tests.e2e.test_tokens import keep_answers

AGO = 180
"""The day of these tests: so many days ago."""
DAY = day(AGO)
RATE = "1.1172"


@pytest.fixture
def user(stack: Stack, api: Api) -> str:
    """A user of the day, whose id a shell and a terminal would take for something else."""
    user_id = f"-rf `id` $(id) \x1b[2J {uuid4().hex}"
    api.post([an_event(user_id, AGO), an_event(user_id, AGO + 1)])
    for of in (DAY, day(AGO + 1)):
        count(stack, of)
    return user_id


def days_of(api: Api, user_id: str) -> list[str]:
    query = {"from": day(AGO + 1), "to": DAY}
    return [row["day"] for row in api.get("/api/summaries", userId=user_id, **query).body["days"]]


def test_a_user_is_erased_after_a_typed_word_and_nobody_else(stack: Stack, api: Api, user: str) -> None:
    other = user.removesuffix(user[-1])
    api.post(an_event(other, AGO))
    count(stack, DAY)
    asked = impact_in_a_terminal(stack, "erase", "--", user, answers=["yes"])
    assert (asked.code, "Type erase to delete them of '" in asked.out) == (1, True)
    assert "Nothing was deleted.\n" in asked.out
    assert len(days_of(api, user)) == 2
    done = impact_in_a_terminal(stack, "erase", "--", user, answers=["erase"])
    assert (done.code, "\x1b[2J" in done.out, "days looked up" in done.out) == (0, False, True)
    assert "2 events of 2 days and 2 daily summaries." in done.out
    assert "What remains elsewhere:" in done.out
    assert (days_of(api, user), days_of(api, other)) == ([], [DAY])
    assert late_marks(stack, DAY)
    assert impact(stack, "rollup", DAY).code == impact(stack, "rollup", day(AGO + 1)).code == 0
    assert impact(stack, "erase", "--", user).out.endswith("': nothing was found.\n")


def test_an_id_on_standard_input_is_erased_with_yes_only(stack: Stack, api: Api, user: str) -> None:
    refused = impact(stack, "erase", stdin=f"{user}\n")
    assert (refused.code, refused.error) == (
        1,
        "Nothing was deleted: without a terminal, confirm with --yes.\n",
    )
    assert len(days_of(api, user)) == 2
    done = impact(stack, "erase", "--yes", stdin=f"{user}\n")
    assert (done.code, "Deleted." in done.out, done.error.startswith("What remains")) == (0, True, True)
    assert days_of(api, user) == []
    for of in (DAY, day(AGO + 1)):
        count(stack, of)


def test_a_day_is_recomputed(stack: Stack, api: Api) -> None:
    of, who = AGO + 2, a_user()
    runs: tuple[Any, ...] = (impact, impact_in_a_terminal)
    for number, run in enumerate(runs, start=1):
        api.post(an_event(who, of))
        done = run(stack, "rollup", day(of))
        told = f"{day(of)}: {number} events of 1 users, 1 summaries written, 2 of 2 shards recomputed\n"
        assert done == (0, told, "")


def test_failed_calls_are_repeated_in_a_terminal(stack: Stack) -> None:
    for shard in range(LOCAL_SHARDS):
        send(stack, "FailedRollups", {"day": DAY, "shard": shard}, {})
    done = impact_in_a_terminal(stack, "replay")
    assert (done.code, done.out.count(": done (had failed: ")) == (0, LOCAL_SHARDS)
    assert f"{LOCAL_SHARDS} of {LOCAL_SHARDS} failed calls are done." in done.out
    assert visible(stack, "FailedRollups") == 0


@pytest.fixture
def tables(stack: Stack) -> Iterator[tuple[str, str]]:
    """A table, and a restored one that has an item more."""
    dynamodb = stack.client("dynamodb")
    names = (f"restored-{uuid4().hex[:8]}", f"mine-{uuid4().hex[:8]}")
    for name in names:
        dynamodb.create_table(TableName=name, **schemas()["State"])
    for name, text in ((names[0], "old"), (names[1], "new")):
        dynamodb.put_item(TableName=name, Item={of: {"S": text} for of in ("text",)} | key("both"))
    dynamodb.put_item(TableName=names[0], Item=key("gone"))
    yield names
    for name in names:
        dynamodb.delete_table(TableName=name)


def key(name: str) -> dict[str, Any]:
    return {"kind": {"S": "a test"}, "key": {"S": name}}


def test_missing_items_are_put_back(stack: Stack, tables: tuple[str, str]) -> None:
    source, table = tables
    told = f"2 items in {source}: {{}} were missing in {table} and are put back\n"
    assert impact(stack, "put-back", source, table) == (0, told.format(1), "")
    shown = impact_in_a_terminal(stack, "put-back", source, table)
    assert (shown.code, shown.out.endswith(told.format(0))) == (0, True)
    item = stack.client("dynamodb").get_item(TableName=table, Key=key("both"))["Item"]
    assert item["text"] == {"S": "new"}
    ledger = impact(stack, "put-back", source, stack.request_events_table)
    assert (ledger.code, "has other keys than impact-RequestEvents" in ledger.error) == (1, True)


def test_rates_are_listed_stored_and_corrected(stack: Stack) -> None:
    date = fx_date_of(DAY)
    listing = ("rates", "list", "--since", date, "--until", date)
    with fx_rates(stack, DAY, usd="11.172"):
        refused = impact(stack, "rates", "enter", date, RATE)
        assert (refused.code, refused.out) == (1, "")
        assert f"{date} has 11.172 already: to correct it, give --reason" in refused.error
        correction = ("rates", "enter", date, RATE, "--reason", "`id` typed 11.172")
        asked = impact_in_a_terminal(stack, *correction, answers=["n"])
        assert (asked.code, "Store it? [y/N] " in asked.out) == (1, True)
        assert asked.out.endswith("Nothing was stored.\n")
        stored = impact_in_a_terminal(stack, *correction, answers=["y", "n"])
        assert (stored.code, f"Stored: {RATE} dollars for one euro on {date}." in stored.out) == (0, True)
        shown, listed = impact_in_a_terminal(stack, *listing), impact(stack, *listing)
        assert (shown.code, shown.out, listed.error) == (0, listed.out, "")
        assert [line.split()[:2] for line in listed.out.splitlines()[1:]] == [[date, "11.172"], [date, RATE]]
        told = json.loads(impact(stack, *listing, "--json").out)
        assert [(rate["usd"], rate.get("reason")) for rate in told] == [
            (11.172, None),
            (1.1172, "`id` typed 11.172"),
        ]
        assert [json.loads(line) for line in impact(stack, *listing, "--jsonl").out.splitlines()] == told
        assert impact(stack, *listing, "--csv").out.splitlines()[2].startswith(f"{date},{RATE},operator,")


def test_a_price_is_added_listed_and_ended(stack: Stack) -> None:
    model = f"openai/$(id) \x1b[2J {uuid4().hex}"
    rates = ("--input", "1.25", "--output", "10")
    adding = ("price", "add", model, "--from", DAY, *rates, "--source", "`id` contract 17")
    refused = impact(stack, *adding)
    assert (refused.code, refused.error) == (
        1,
        "Nothing was appended: without a terminal, confirm with --yes.\n",
    )
    asked = impact_in_a_terminal(stack, *adding, answers=["y"])
    assert (asked.code, "\x1b[2J" in asked.out) == (0, False)
    assert "Append it? [y/N] " in asked.out
    [row] = json.loads(impact(stack, "price", "list", model, "--json").out)
    assert row["rates"] == {"input": 1.25, "output": 10}
    assert (row["pattern"], row["source"], row["used"]) == (model, "`id` contract 17", True)
    assert row["recordedBy"].startswith("arn:aws:")
    assert asked.out.endswith(f"Appended: {row['id']}.\n")
    ended = impact(stack, "price", "end", model, "--from", DAY, "--source", "over", "--yes")
    assert (ended.code, ended.error) == (0, "")
    assert json.loads(impact(stack, "price", "list", model, "--json").out) == []
    entries = json.loads(impact(stack, "price", "list", model, "--all", "--json").out)
    assert [entry.get("ends") for entry in entries] == [None, True]
    assert entries[0]["endedBy"] == entries[1]["id"]


@pytest.mark.parametrize(
    ("create", "revoke"),
    [
        (impact, impact_in_a_terminal),
        pytest.param(impact_in_a_terminal, impact, marks=pytest.mark.long),
    ],
    ids=["pipe, terminal", "terminal, pipe"],
)
@pytest.mark.parametrize("kind", ["read", pytest.param("ingest", marks=pytest.mark.long)])
def test_a_token_is_created_listed_and_revoked(
    stack: Stack, api: Api, create: Any, revoke: Any, kind: str
) -> None:
    def status(token: str) -> int:
        keep_answers(stack, 0)  # MiniStack has no ResetAuthorizersCache
        if kind == "read":
            return api.get("/api/totals", token=token).status
        return api.post(an_event(a_user(), AGO + 3), token=token).status

    accepted = {"read": 200, "ingest": 201}[kind]
    before = impact(stack, "token", "list", "--json").out
    made = create(stack, "token", "new", kind)
    make_routes(stack.session, stack.name)
    token = made.out.splitlines()[-1]
    name = sha256(token)[:12]
    assert (made.code, re.fullmatch(r"[\w-]{43}", token) is not None) == (0, True)
    assert name in (made.error or made.out)
    assert create is impact_in_a_terminal or made.out == f"{token}\n"
    assert status(token) == accepted
    listed = impact_in_a_terminal(stack, "token", "list").out
    assert (name in listed, token in listed) == (True, False)
    if revoke is impact:
        refused = impact(stack, "token", "revoke", name)
        assert (refused.code, "confirm with --yes" in refused.error) == (1, True)
        gone = impact(stack, "token", "revoke", "--yes", name)
    else:
        gone = impact_in_a_terminal(stack, "token", "revoke", name, answers=["y"])
    make_routes(stack.session, stack.name)
    assert (gone.code, f"Revoked: the {kind} token {name}." in gone.out) == (0, True)
    assert status(token) == 403
    assert status({"read": stack.read_token, "ingest": stack.ingest_token}[kind]) == accepted
    assert impact(stack, "token", "list", "--json").out == before
    keep_answers(stack, 300)
    count(stack, day(AGO + 3))


def configured(stack: Stack, home: Path) -> dict[str, str]:
    """The environment of somebody who has set nothing but AWS, in a home of their own."""
    return {name: "" for name in environment_of(stack) if name.startswith("IMPACT_")} | {"HOME": str(home)}


def test_configure_asks_at_a_terminal_and_hides_tokens(stack: Stack, tmp_path: Path) -> None:
    config = tmp_path / ".config" / "impact" / "config.toml"
    bare = configured(stack, tmp_path)
    answers = [stack.name, "", "", stack.api_url, stack.read_token, stack.ingest_token]
    asked = impact_in_a_terminal(stack, "configure", answers=answers, environment=bare)
    assert (asked.code, f"Written: the profile default in {config}." in asked.out) == (0, True)
    assert stack.read_token not in asked.out
    assert stack.ingest_token not in asked.out
    assert (config.stat().st_mode & 0o777, config.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert impact(stack, "usage", environment=bare).code == 0
    assert impact(stack, "send", "--user", a_user(), environment=bare).code == 0
    other = config.read_text() + '\n# kept\n[other]  # kept too\nstack = "mine"\n'
    config.write_text(other)
    kept = impact_in_a_terminal(stack, "configure", answers=[""] * len(answers), environment=bare)
    assert (kept.code, "Read token (not shown; empty: none) [keep]: " in kept.out) == (0, True)
    assert config.read_text() == other
    assert (config.stat().st_mode & 0o777) == 0o600


def test_configure_takes_tokens_of_the_environment_in_a_pipe(stack: Stack, tmp_path: Path) -> None:
    bare = configured(stack, tmp_path)
    given = {"IMPACT_READ_TOKEN": stack.read_token, "IMPACT_SERVICE_TOKEN": stack.ingest_token}
    options = ("--profile", "prod", "--stack", stack.name, "--url", stack.api_url)
    written = impact(stack, "configure", *options, environment=bare | given)
    assert (written.code, written.out, "the profile prod" in written.error) == (0, "", True)
    assert stack.read_token not in written.error
    missing = impact(stack, "usage", environment=bare)
    assert (missing.code, "No read token of the stack impact" in missing.error) == (1, True)
    assert impact(stack, "usage", "--profile", "prod", environment=bare).code == 0
    assert impact(stack, "--profile", "prod", "usage", environment=bare).code == 0
    unknown = impact(stack, "usage", "--profile", "nope", environment=bare)
    assert unknown.error.startswith("Error: There is no profile 'nope' in ")
