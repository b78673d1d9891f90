"""The dashboard, and the docs on operating: they name the metrics that there are, and no other."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from impact.fx_update import FxUpdate
from impact.observability import emit
from impact.store import Store
from local.template import TEMPLATE, resources, template
from rates import app as rates
from rollup import app as planner
from rollup_worker import app as worker
from tests.events import NOON, event
from tests.integration.conftest import Post, RunPlanner
from tests.lambda_context import CONTEXT
from tests.metrics import AWS_METRICS, emitted

with mock_aws():  # it reads the fx rates when it starts
    from ingest import app as ingest

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

Known = set[tuple[str, str, tuple[str, ...]]]
"""Namespace, name and dimensions of metrics."""


@pytest.fixture
def known(
    store: Store,
    post: Post,
    run_planner: RunPlanner,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Known:
    """Every metric there is: what AWS documents, and what the functions emit, each of them really run."""
    for function in (worker, rates):
        monkeypatch.setattr(function, "store", store)
    for function in (ingest, planner, worker, rates):  # zeros too, as 1
        monkeypatch.setattr(function, "emit", lambda name, value, *unit: emit(name, value or 1, *unit))
    run_planner(NOON)
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
    """Each line of a chart: namespace, name, dimensions and their values."""
    for widget in widgets:
        for row in widget["properties"].get("metrics", []):
            assert isinstance(row[0], str), "an expression may show any number of metrics"
            yield [part for part in row if isinstance(part, str)]


def test_the_dashboard_shows_only_metrics_that_exist(widgets: list[dict[str, Any]], known: Known) -> None:
    shown = {(row[0], row[1], tuple(row[2::2])) for row in rows(widgets)}
    assert shown <= known
    unseen = {(name, dimensions) for space, name, dimensions in known - shown if space == "ImpactService"}
    # Something else that is shown says the same, but for the field, which the log says.
    by_stack = ("service",)
    assert unseen == {("Planned", by_stack), ("RatesStored", by_stack), ("Rejected", ("field", "service"))}


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
    covered: set[tuple[int, int]] = set()
    for widget in widgets:
        assert widget["type"] in {"text", "alarm", "metric", "log"}
        assert widget.keys() == {"type", "x", "y", "width", "height", "properties"}
        columns = range(widget["x"], widget["x"] + widget["width"])
        cells = {(x, y) for x in columns for y in range(widget["y"], widget["y"] + widget["height"])}
        assert columns.stop <= 24
        assert not cells & covered
        covered |= cells
        if widget["type"] in {"metric", "log"}:
            assert widget["properties"]["region"] == "<AWS::Region>"
    assert len(covered) == 24 * (1 + max(y for _, y in covered)), "a gap"
    assert len(list(rows(widgets))) <= 50, "more is not free"


def test_the_runbook_lists_every_metric_and_no_other(known: Known) -> None:
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
