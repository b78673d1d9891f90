"""`impact export`: files equal what the API and the ledger hold, to the last digit, also after a stop."""

import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from arro3.io import read_parquet

from impact_cli.event_names import COLUMNS as EVENT_COLUMNS
from impact_cli.focus import check
from impact_cli.records import SUMMARY_COLUMNS, cell, csv_row
from local.stack import Stack
from tests.e2e.api import Api, an_event, count, day, fx_rates
from tests.e2e.command import IMPACT, environment_of, impact, impact_in_a_terminal, shell

AGO = (171, 170)
"""Days of these tests: so many days ago."""
DAYS = [day(ago) for ago in AGO]
RANGE = ("--since", DAYS[0], "--until", DAYS[1])
LONG = ("--since", day(200), "--until", DAYS[1])
"""A range with many parts: an export of it can be stopped in the middle."""
USER = f"=HYPERLINK(1),\"<script>alert(1)</script>\n' {uuid4().hex}"
"""An id that a spreadsheet, a browser and a reader of lines would each take for something else."""

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def used(stack: Stack, api: Api) -> Iterator[None]:
    """Two days of two users: with and without a price, with digits that a float has not."""
    events = [
        an_event(user, ago, costEUR=None, costUSD=cost, eventId=f"{number}-{ago}", tags=["<b>", "=1"])
        for user in (USER, f"bob-{uuid4().hex}")
        for ago in AGO
        for number, cost in enumerate((Decimal("0.1234567890123456789"), Decimal("1e-9"), None))
    ]
    body = [
        {name: str(of) if isinstance(of, Decimal) else of for name, of in event.items()} for event in events
    ]
    text = (
        json.dumps(body).replace('"0.1234567890123456789"', "0.1234567890123456789").replace('"1E-9"', "1e-9")
    )
    with fx_rates(stack, *DAYS, usd="1.1172"):
        assert api.post(text.encode()).body["created"] == len(events)
        for of in DAYS:
            count(stack, of)
        yield


@pytest.fixture
def summaries(api: Api) -> Rows:
    """What the API says of the days."""
    return [item for of in DAYS for item in api.get("/api/summaries", day=of).exact["items"]]


@pytest.fixture
def events(stack: Stack) -> Rows:
    """What the ledger holds of the days, in its order: by day and shard, then by user and event."""
    table = stack.session.resource("dynamodb").Table(stack.request_events_table)
    found = [item for item in table.scan(ConsistentRead=True)["Items"] if item["day"] in DAYS]
    return sorted(found, key=lambda item: (item["dayShard"], item["userEvent"]))


def test_files_and_standard_output_have_the_same_bytes_each_time(stack: Stack, tmp_path: Path) -> None:
    for name in ("csv", "jsonl", "focus"):
        paths = [tmp_path / f"{number}.{name}" for number in range(2)]
        first = impact(stack, "export", name, *RANGE, "-o", str(paths[0]))
        assert (first.code, first.out, "\x1b" in first.error) == (0, "", False)
        assert f"Written: {paths[0]}" in first.error
        shown = impact_in_a_terminal(stack, "export", name, *RANGE, "-o", str(paths[1]))
        assert (shown.code, f"lines of {'' if name == 'focus' else 'day='}" in shown.out) == (0, True)
        piped = impact(stack, "export", name, *RANGE)
        assert (piped.code, piped.error) == (0, "")
        assert paths[0].read_bytes() == paths[1].read_bytes() == piped.out.encode()
    assert len(list(tmp_path.iterdir())) == 8  # six files, and beside those of FOCUS their metadata
    assert impact(stack, "export", "focus", *RANGE, "-o", "-").out == piped.out
    again = impact(stack, "export", "focus", *RANGE, "-o", str(paths[0]))
    assert (again.code, again.out, "is there already" in again.error) == (1, "", True)
    assert impact(stack, "export", "focus", *RANGE, "-o", str(paths[0]), "--overwrite").code == 0


def test_summaries_equal_the_apis_to_the_last_digit(stack: Stack, summaries: Rows) -> None:
    lines = impact(stack, "export", "jsonl", *RANGE).out.splitlines()
    assert [json.loads(line, parse_float=Decimal) for line in lines] == summaries
    header, *rows = csv.reader(impact(stack, "export", "csv", *RANGE).out.splitlines(keepends=True))
    assert tuple(header) == SUMMARY_COLUMNS
    assert rows == [
        [str(of) if isinstance(of, int) else of for of in csv_row(row, SUMMARY_COLUMNS)] for row in summaries
    ]
    assert {row[0] for row in rows} >= {f"'{USER}"}  # defused
    assert {Decimal(row[header.index("costUSD")]) for row in rows} == {Decimal("0.1234567900123456789")}


def test_events_equal_the_ledgers_to_the_last_digit(stack: Stack, events: Rows) -> None:
    exported = impact(stack, "export", "jsonl", "--events", *RANGE)
    lines = [json.loads(line, parse_float=Decimal) for line in exported.out.splitlines()]
    assert lines == [
        {name: of for name, of in event.items() if name not in ("dayShard", "userEvent")} for event in events
    ]
    assert [list(line) for line in lines] == [[name for name in order() if name in line] for line in lines]
    header, *rows = csv.reader(
        impact(stack, "export", "csv", "--events", *RANGE).out.splitlines(keepends=True)
    )
    assert header == list(EVENT_COLUMNS)
    assert rows == [csv_row(line, header) for line in lines]
    assert cell(lines[0]["tags"]) == '["<b>", "=1"]'


def order() -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in EVENT_COLUMNS))


def test_the_sum_of_a_focus_file_is_the_apis(stack: Stack, api: Api, tmp_path: Path) -> None:
    path = tmp_path / "focus.csv"
    ran = impact(stack, "export", "focus", *RANGE, "--issuer", "=Example", "-o", str(path))
    assert (ran.code, f"Final through: {DAYS[1]}." in ran.error) == (0, True)
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert check(reader.fieldnames or [], rows) == []
    total = api.get("/api/totals", **{"from": DAYS[0], "to": DAYS[1]}).exact["total"]
    for column, name in {
        "BilledCost": "billedEUR",
        "x_CostUSD": "costUSD",
        "x_UnconvertedUSD": "unconverted",
    }.items():
        assert sum(Fraction(row[column] or 0) for row in rows) == Fraction(total[name])
    assert sum(int(row["x_Requests"] or 0) for row in rows) == total["requests"]
    described = json.loads(path.with_name("focus.csv.metadata.json").read_text())
    assert described["x_FinalThrough"] == DAYS[1]
    zone = impact(stack, "export", "focus", *RANGE, "--issuer", "=Example", "--time-zone", "UTC").out
    assert zone == path.read_text()


@pytest.mark.parametrize("of", ["summaries", pytest.param("events", marks=pytest.mark.long)])
def test_parquet_has_the_same_rows(stack: Stack, tmp_path: Path, of: str) -> None:
    options = ["--events"] if of == "events" else []
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        ran = impact(stack, "export", "parquet", *options, *RANGE, "-o", str(folder))
        assert (ran.code, ran.out) == (0, "")
    first, second = (files_of(folder) for folder in folders)
    assert first == second
    rows = [row for path in sorted(first) for row in parquet_rows(folders[0] / path)]
    lines = csv.DictReader(impact(stack, "export", "csv", *options, *RANGE).out.splitlines(keepends=True))
    told = [{name: of.removeprefix("'") for name, of in line.items()} for line in lines]
    shown = [
        {name: "" if of is None else cell(of).removeprefix("'") for name, of in row.items()} for row in rows
    ]
    assert [{name: of for name, of in row.items() if name != "models"} for row in shown] == told
    assert of == "events" or all(json.loads(row["models"]) for row in rows)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    for batch in read_parquet(str(path)):
        columns = [batch.column(number).to_pylist() for number in range(batch.num_columns)]
        yield from (dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True))


@pytest.mark.parametrize("what", [("csv", "--events"), ("parquet", "--events")], ids=" ".join)
def test_an_export_that_was_killed_is_continued(stack: Stack, tmp_path: Path, what: tuple[str, ...]) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert impact(stack, "export", *what, *LONG, "-o", str(whole)).code == 0
    process = subprocess.Popen(
        [IMPACT, "export", *what, *LONG, "-o", str(stopped)],
        env=environment_of(stack),
        stderr=subprocess.DEVNULL,
    )
    state = stopped / ".impact-export.json" if what[0] == "parquet" else tmp_path / "stopped.part.json"
    while process.poll() is None and not state.exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not stopped.is_file()
    other = impact(stack, "export", *what[:1], *LONG, "-o", str(stopped))
    assert (other.code, other.out, "is of another export that was stopped" in other.error) == (1, "", True)
    continued = impact(stack, "export", *what, *LONG, "-o", str(stopped))
    assert (continued.code, "It continues an export that was stopped: " in continued.error) == (0, True)
    if what[0] == "parquet":
        assert files_of(stopped) == files_of(whole)
    else:
        assert stopped.read_bytes() == whole.read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped", "whole"]


def test_what_cannot_be_written_is_said(stack: Stack, tmp_path: Path) -> None:
    full = shell(stack, f"impact export csv {' '.join(RANGE)} > /dev/full")
    assert full == (1, "", "Error: The output cannot be written or read: No space left on device.\n")
    for name in ("jsonl", "focus"):
        device = impact(stack, "export", name, *RANGE, "-o", os.devnull, "--overwrite")
        assert device == (1, "", "Error: /dev/null is no file. Give --output another name.\n")
    for what, output in {
        ("csv", *RANGE): tmp_path,
        ("parquet", *RANGE): Path(__file__),
        ("person", USER): Path(__file__),
    }.items():
        ran = impact(stack, "export", what[0], "-o", str(output), *what[1:])
        assert (ran.code, ran.out, len(ran.error.splitlines())) == (1, "", 1)


def test_a_reader_of_an_export_that_has_enough_is_no_error(stack: Stack) -> None:
    for options in ("", "--events"):
        ran = shell(stack, f"impact export jsonl {options} {' '.join(RANGE)} | head -1")
        assert (ran.code, ran.error, len(ran.out.splitlines())) == (0, "", 1)


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_a_person_gets_all_that_is_held(
    stack: Stack, summaries: Rows, events: Rows, tmp_path: Path, terminal: bool
) -> None:
    run = impact_in_a_terminal if terminal else impact
    folder = tmp_path / "person"
    ran = run(stack, "export", "person", "-o", str(folder), "--", USER)
    told = f"Written: 6 events and 2 daily summaries in {folder}.\n"
    assert (ran.code, (ran.out if terminal else ran.error).endswith(told)) == (0, True)
    held = json.loads((folder / "data.json").read_text(), parse_float=Decimal)
    mine = [event for event in events if event["userId"] == USER]
    assert [event["eventId"] for event in held["events"]] == [event["eventId"] for event in mine]
    assert [event["costUSD"] for event in held["events"] if "costUSD" in event] == [
        event["costUSD"] for event in mine if "costUSD" in event
    ]
    assert held["summaries"] == [summary for summary in summaries if summary["userId"] == USER]
    page = Page()
    page.feed((folder / "index.html").read_text())
    assert page.elements.isdisjoint({"script", "img", "a", "b"})
    assert any(USER in text for text in page.text)
    assert "Single requests: 6" in page.text
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
