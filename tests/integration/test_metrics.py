"""The metrics that dashboard and alarms stand on, read from what the functions really print."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from impact.calendar import timestamp
from impact.fx_update import FxUpdate
from impact.ledger_store import LedgerStore
from impact.store import Store
from local.template import TEMPLATE, resources, template
from rates import app as rates
from request_events.event import FIELDS
from rollup import app as planner
from rollup_worker import app as worker
from tests.events import NOON, event, freeze
from tests.integration.test_ingest import Post, post
from tests.integration.test_recompute import BUILDER, put, roll_up
from tests.lambda_context import CONTEXT
from tests.metrics import AWS_METRICS, emitted, values
from tests.rates import publish

with mock_aws():  # it reads the exchange rates when it starts
    from ingest import app as ingest

__all__ = ["post"]

DOCS = TEMPLATE.parent / "docs"
AWS_WORDS = {
    "AccessDenied",
    "AccessDeniedException",
    "InternalServerError",
    "MemorySize",
    "ProvisionedThroughputExceededException",
    "ResourceNotFound",
    "ResourceNotFoundException",
    "ThrottlingException",
}
"""Errors of DynamoDB, and a setting of functions."""

Run = Callable[[datetime], dict[str, float]]
HOUR = timedelta(hours=1)


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the planner at a time, without its workers, and return its metrics. The ledger was made at noon."""
    monkeypatch.setattr(LedgerStore, "created_at", lambda self: NOON)
    monkeypatch.setattr(planner, "store", store)
    monkeypatch.setenv("SHARD_COUNT", "4")
    monkeypatch.setattr(planner, "sqs", SimpleNamespace(send_message_batch=lambda **batch: {}))

    def at(now: datetime) -> dict[str, float]:
        freeze(monkeypatch, planner, now)
        capsys.readouterr()
        planner.handler({}, CONTEXT)
        return values(capsys.readouterr().out)

    return at


def test_ingest_counts_what_became_of_each_event(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = event(), event(eventId="bad", tokens_in=-1, latency=-1)
    unpriced = event(eventId="unpriced", costUSD=None, model="nobody-knows-it", prompt="secret")
    post([good, good, unpriced, bad, bad | {"userId": ""}, event(ts="2020-01-01T00:00:00Z"), "no object"])
    out = capsys.readouterr().out
    assert values(out) == {
        "Accepted": 2,
        "Duplicate": 1,
        "Retry": 0,
        "Rejected": 4,
        "Unpriced": 1,
        "Unrated": 1,
        "UnknownFields": 1,
    }
    by_field = {field: values(out, field=field) for field in ("tokens_in", "userId", "ts", "event")}
    assert by_field == {field: {"Rejected": 1} for field in by_field}
    assert "alice" not in out
    assert "secret" not in out


def test_a_request_that_is_rejected_as_a_whole_is_counted(
    post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    post(b"{")
    assert values(capsys.readouterr().out) == {"RequestsRefused": 1}


def test_no_sender_can_make_metrics_up(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is paid for: whatever is sent, there is one a field of the contract at most, and one more."""
    nonsense: list[Any] = [{f"made-up-{n}": n} for n in range(20)]
    nonsense += [event(**{name: {"made-up": [name]}}) for name in sorted(FIELDS)]
    nonsense += [
        event(tags=["fine", {"made-up": 1}]),
        event(model="m" * 300),
        event(tags=["x" * 9000]),
        7,
        [],
    ]
    post(nonsense)
    divided = [dict(metric.dimensions) for metric, _, _ in emitted(capsys.readouterr().out)]
    fields = {dimensions["field"] for dimensions in divided if "field" in dimensions}
    assert len(fields) > 20
    assert fields <= FIELDS | {"event"}
    assert {dimensions["service"] for dimensions in divided} == {"impact"}


def test_an_idle_stack_lags_by_nothing(run: Run) -> None:
    gauges = {"RollupLag": 0, "LateMarks": 0, "OldestLateMark": 0, "ExpiredMarks": 0, "UnconvertedDays": 0}
    assert run(NOON) == gauges | {"Planned": 4}


def test_the_lag_is_the_time_since_the_oldest_day_that_is_not_final_closed(store: Store, run: Run) -> None:
    publish(store)
    put(store, event())
    closed = BUILDER.calendar.closes_at("2026-11-23")
    assert run(closed - HOUR)["RollupLag"] == 0
    assert run(closed + HOUR)["RollupLag"] == 3600
    assert run(closed + 30 * HOUR)["RollupLag"] == 30 * 3600
    roll_up(store, closed + 30 * HOUR)
    assert run(closed + 31 * HOUR)["RollupLag"] == 0


def test_late_marks_are_reported_with_the_age_of_the_oldest(store: Store, run: Run) -> None:
    roll_up(store, NOON)
    for days_ago in (3, 4):
        late = event(ts=timestamp(NOON - timedelta(days=days_ago)), costUSD=None, costEUR=Decimal(1))
        put(store, late, now=NOON + HOUR * days_ago)
    put(store, late | {"eventId": "one more"}, now=NOON + 4.5 * HOUR)  # and its day still is not counted
    told = run(NOON + 5 * HOUR)
    assert (told["LateMarks"], told["OldestLateMark"], told["ExpiredMarks"]) == (2, 2 * 3600, 0)
    long_after = NOON + timedelta(days=396)
    told = run(long_after)
    assert (told["LateMarks"], told["ExpiredMarks"]) == (1, 1)
    assert told["OldestLateMark"] == (long_after - NOON - 3 * HOUR).total_seconds()


def test_days_that_wait_for_their_rate_are_reported(store: Store, run: Run) -> None:
    put(store, event())
    closed = BUILDER.calendar.closes_at("2026-11-23")
    roll_up(store, closed)
    assert run(closed + 2 * HOUR)["UnconvertedDays"] == 1
    publish(store)
    roll_up(store, closed + 3 * HOUR)
    assert run(closed + 4 * HOUR)["UnconvertedDays"] == 0


def test_a_run_that_cannot_call_its_workers_tells_the_lag_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(**batch: object) -> None:
        raise ConnectionError("no SQS")

    monkeypatch.setattr(planner, "sqs", SimpleNamespace(send_message_batch=refused))
    with pytest.raises(ConnectionError, match="no SQS"):
        run(NOON)
    assert "RollupLag" in values(capsys.readouterr().out)


Known = set[tuple[str, str, tuple[str, ...]]]
"""Namespace, name and dimensions of metrics."""


@pytest.fixture
def known(
    store: Store, post: Post, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Known:
    """Every metric there is: what AWS documents, and what the functions print, each of them really run."""
    for function in (worker, rates):
        monkeypatch.setattr(function, "store", store)
    run(NOON)
    monkeypatch.setattr(ingest, "footprints", None)  # an estimate that cannot be made
    post([event(), event(tokens_in=-1)])
    post(b"{")
    planner.handler({}, CONTEXT)
    worker.handler({"day": "2026-11-23", "shard": 0}, CONTEXT)
    monkeypatch.setattr(rates, "update_fx_rates", lambda *_: FxUpdate())  # of an ECB that has nothing new
    rates.handler({}, CONTEXT)
    printed = emitted(capsys.readouterr().out)
    ours = {(m.namespace, m.name, tuple(sorted(dict(m.dimensions)))) for m, _, _ in printed}
    return ours | {
        (namespace, name, dimensions)
        for namespace, names in AWS_METRICS.items()
        for name, documented in names.items()
        for dimensions in documented
    }


@pytest.fixture(scope="module")
def widgets() -> list[dict[str, Any]]:
    """The dashboard's widgets, names of this stack's resources put in for what `!Sub` fills in."""
    [dashboard] = resources("AWS::CloudWatch::Dashboard").values()
    body = re.sub(r"\$\{([A-Za-z:]+)[A-Za-z.]*\}", r"<\1>", dashboard["DashboardBody"]["Fn::Sub"])
    listed: list[dict[str, Any]] = json.loads(body)["widgets"]
    return listed


def rows(widgets: list[dict[str, Any]]) -> Iterator[list[Any]]:
    """Each line of a chart: namespace, name, dimensions and their values; or an expression."""
    for widget in widgets:
        for row in widget["properties"].get("metrics", []):
            yield [part for part in row if isinstance(part, str) or "expression" in part]


def test_the_dashboard_shows_only_metrics_that_exist(widgets: list[dict[str, Any]], known: Known) -> None:
    shown = set()
    for row in rows(widgets):
        if isinstance(row[0], dict):
            search = re.fullmatch(
                r"SEARCH\('\{(\w+),(\w+),(\w+)\} MetricName=\"(\w+)\" service=\"<AWS::StackName>\"',"
                r" 'Sum', 300\)",
                row[0]["expression"],
            )
            assert search
            shown.add((search[1], search[4], (search[2], search[3])))
        else:
            shown.add((row[0], row[1], tuple(row[2::2])))
    assert shown <= known
    ours = {metric for metric in known if metric[0] == "ImpactService"}
    unseen = {name for _, name, _ in ours - shown}
    assert unseen == {"Planned", "RatesStored"}  # each is told by something else that is shown


def test_the_dashboard_names_what_is_in_the_stack(widgets: list[dict[str, Any]]) -> None:
    of_kind = {
        "ApiId": {"Api"},
        "FunctionName": set(resources("AWS::Serverless::Function")),
        "TableName": set(resources("AWS::DynamoDB::Table")),
        "QueueName": set(resources("AWS::SQS::Queue")),
        "service": {"AWS::StackName"},
    }
    for row in rows(widgets):
        for dimension, value in zip(row[2::2], row[3::2], strict=True):
            assert value.strip("<>") in of_kind[dimension]
    [alarms] = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
    assert sorted(alarms) == sorted(f"<{name}>" for name in resources("AWS::CloudWatch::Alarm"))


def test_the_dashboard_is_laid_out_as_cloudwatch_wants_it(widgets: list[dict[str, Any]]) -> None:
    """docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html"""
    taken: set[tuple[int, int]] = set()
    for widget in widgets:
        assert widget["type"] in {"text", "alarm", "metric", "log"}
        assert widget.keys() == {"type", "x", "y", "width", "height", "properties"}
        columns = range(widget["x"], widget["x"] + widget["width"])
        cells = {(x, y) for x in columns for y in range(widget["y"], widget["y"] + widget["height"])}
        assert columns.stop <= 24
        assert not cells & taken
        taken |= cells
        if widget["type"] in {"metric", "log"}:
            assert widget["properties"]["region"] == "<AWS::Region>"
    assert len(taken) == 24 * (1 + max(y for _, y in taken)), "a gap"
    assert len(list(rows(widgets))) <= 50, "more is not free"


def test_the_runbook_tells_of_every_metric_and_of_no_other(known: Known) -> None:
    listed = re.findall(r"(?m)^\| `(\w+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$", (DOCS / "runbook.md").read_text())
    assert sorted(listed) == sorted({name for namespace, name, _ in known if namespace == "ImpactService"})


@pytest.mark.parametrize("page", ["runbook.md", "operating.md", "outbox.md", "billing.md"])
def test_the_docs_name_only_what_exists(page: str, known: Known) -> None:
    """Every `CamelCase` word: a metric, a resource or parameter of the template, or a cause of an error."""
    described = template()
    source = "".join(path.read_text() for path in (TEMPLATE.parent / "functions").rglob("*.py"))
    names = {name for _, name, _ in known} | set(described["Resources"]) | set(described["Parameters"])
    names |= set(re.findall(r"(?m)^class (\w+)\(\w*(?:Exception|Error)\)", source))
    names |= set(re.findall(r'failures\["(\w+)"\]', source)) | {"ImpactService"} | AWS_WORDS
    text = (DOCS / page).read_text()
    assert set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", text)) <= names
    assert set(re.findall(r"\(named (\w+)\)", text)) <= names


def test_the_lines_of_the_proxys_log_in_the_runbook_are_those_that_it_logs() -> None:
    section = (
        (DOCS / "runbook.md").read_text().partition("## The proxy's outbox grows")[2].partition("\n## ")[0]
    )
    quoted = re.findall(r"`([^`]+)`", "".join(re.findall(r"(?m)^\| (`.*?) \|", section)))
    sources = (TEMPLATE.parent / "layers" / "callback" / "request_events").glob("*.py")
    logged = re.sub(r"%d|%s|\{[^}]+\}", "...", "".join(path.read_text() for path in sources))
    logged = re.sub(r'"\s+f?"', "", logged).replace("%%", "%").replace(".../", "rejected/")
    lines = [re.sub(r" \d+$", "", line) for line in quoted if not line.isdigit()]
    assert len(lines) > 8
    assert [line for line in lines if line not in logged] == []


def test_the_lines_of_the_proxys_log_in_the_page_on_the_outbox_are_those_that_it_logs() -> None:
    """Each part between what the page leaves open: N, HOST, REASON ..."""
    rows = re.findall(r"(?m)^\| (?:WARNING|ERROR) \| (.*?) \| ", (DOCS / "outbox.md").read_text())
    callback = TEMPLATE.parent / "layers" / "callback"
    sources = "".join(path.read_text() for path in callback.rglob("*.py"))
    logged = re.sub(r"%d|%s|\{[^}]+\}", "...", re.sub(r'"\s+f?"', "", sources)).replace("%%", "%")
    left_open = r"\.\.\.|[;:,()]|\b(?:(?!MB|URL)[A-Z]+|HTTPS_PROXY|ahead of|kept in|rejected/)(?!\w)"
    lines = [line for row in rows for line in re.findall(r"`([^`]+)`", row)]
    assert len(lines) > 25
    parts = [part.strip() for line in lines for part in re.split(left_open, line)]
    assert [part for part in parts if part not in logged] == []
