"""`impact rates enter`: it shows changes, stores nothing without a yes, and runs nothing that is typed."""

import io
import json
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from impact import config
from impact.fx_rates import FxRate
from impact.keys import day_shard, shard_of
from impact.store import Store
from impact_cli import workers
from impact_cli.main import main
from rates import app as rates
from rollup_worker import app as worker
from tests.events import NOON, entry_builder, event, freeze
from tests.integration.steps import put
from tests.lambda_context import CONTEXT
from tests.rates import publish

SHARDS = 16
DAY = "2026-11-23"
LATER = NOON + timedelta(days=2)


class Lambda:
    """Calls the functions themselves, in place of Lambda."""

    passes: tuple[type[Exception], ...] = ()
    """Errors of the call itself, not of the function."""
    functions: dict[str, Callable[..., Any]] = {  # noqa: RUF012
        "stack-RatesFunction": rates.handler,
        "stack-RollupWorkerFunction": worker.handler,
    }

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        try:
            answer = self.functions[FunctionName](json.loads(Payload), CONTEXT)
        except self.passes:
            raise
        except Exception as error:
            failed = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(failed).encode())}
        return {"Payload": io.BytesIO(json.dumps(answer, default=str).encode())}


class CloudFormation:
    def describe_stack_resource(self, StackName: str, LogicalResourceId: str) -> dict[str, Any]:
        return {"StackResourceDetail": {"PhysicalResourceId": f"{StackName}-{LogicalResourceId}"}}


class Session:
    region_name = "eu-central-1"

    def __init__(self, **_: object) -> None: ...

    def client(self, service: str, **_: object) -> Any:
        return {"lambda": Lambda, "cloudformation": CloudFormation}[service]()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Run = Callable[..., int]


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, on a stack whose functions are called in this process."""
    for app in (rates, worker):
        freeze(monkeypatch, app, LATER)
        monkeypatch.setattr(app, "store", store)
    monkeypatch.setattr(boto3, "Session", Session)
    monkeypatch.setattr(workers, "store_of", lambda *_: None)
    monkeypatch.setattr(workers, "calendar_of", lambda *_: entry_builder(shard_count=SHARDS).calendar)

    def run_(*options: str, typed: str | None = None, **variables: str) -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\ny\n") if typed is None else Terminal(typed))
        reason = [f"--reason={variables['reason']}"] if "reason" in variables else []
        given = [variables[name] for name in ("date", "usd") if name in variables]
        return main(["rates", "enter", "--stack=stack", *options, *reason, "--", *given])

    return run_


RIGHT = {"date": "2026-11-20", "usd": "1.1172"}
CORRECTION = RIGHT | {"reason": "typed 11.172 for 1.1172"}
SHOWN = """\
2026-11-20 has 11.172 (operator), which 1.1172 would replace.
day                      USD           EUR now          EUR then
2026-11-23         22.344000          2.000000         20.000000
sum                22.344000          2.000000         20.000000
"""
STORED = "Stored: 1.1172 dollars for one euro on 2026-11-20.\n"
COUNTED = "2026-11-23: 1 events of 1 users, 1 summaries written, 16 of 16 shards recomputed\n"
TO_COUNT = (
    "Still converted at the old rate, until you recompute them:\n    impact --stack=stack rollup 2026-11-23\n"
)


@pytest.fixture
def mistyped(
    store: Store, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day that is final, and was converted at 11.172."""
    publish(store, FxRate("2026-11-19", Decimal("1.1148")))
    assert run("--yes", date="2026-11-20", usd="11.172") == 0
    put(store, event(costUSD=Decimal("22.344")), builder=entry_builder(shard_count=SHARDS))
    with monkeypatch.context() as earlier:
        freeze(earlier, worker, LATER - timedelta(hours=1))
        for shard in range(SHARDS):
            worker.handler({"day": DAY, "shard": shard}, CONTEXT)
    assert euros(store) == 2
    capsys.readouterr()


def euros(store: Store) -> Decimal:
    total = store.state.shard_total(day_shard(DAY, shard_of("alice", SHARDS)))
    [summary] = store.summaries.of_user("alice", DAY, DAY)
    assert total is not None
    assert (summary["final"], total["fxRate"]) == (True, summary["fxRate"])
    return Decimal(summary["costEUR"])


def printed(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """The command's output and its questions, without the functions' logs: they are printed here too."""
    told = capsys.readouterr()
    return re.sub(r'\{"(_aws|level)".*\n', "", told.out), told.err


def holds(store: Store) -> Decimal | None:
    return store.state.fx_rates("2026-11-20", "2026-11-20").usd.get("2026-11-20")


def test_the_shards_are_the_stacks() -> None:
    assert config.settings().shard_count == SHARDS


def test_an_ordinary_rate_is_stored_at_once(
    store: Store, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(store, FxRate("2026-11-19", Decimal("1.1148")))
    assert run(**RIGHT) == 0
    assert printed(capsys) == (STORED, "")
    assert holds(store) == Decimal("1.1172")


def test_an_odd_rate_is_asked_for(store: Store, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    publish(store, FxRate("2026-11-19", Decimal("1.1148")))
    odd = {"date": "2026-11-20", "usd": "11.172"}
    assert run(**odd, typed="\n") == 1
    told, asked = printed(capsys)
    assert told == "2026-11-20: 11.172 is more than 20% away from 1.1148 on 2026-11-19.\n"
    assert asked == "Store it? [y/N] Nothing was stored.\n"
    assert holds(store) is None
    assert run(**odd, typed="y\n") == 0
    assert holds(store) == Decimal("11.172")


@pytest.mark.usefixtures("mistyped")
def test_a_correction_is_shown_and_stored_and_its_days_recomputed(
    store: Store, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(**CORRECTION, typed="y\ny\n") == 0
    asked = "Store it? [y/N] Recompute 2026-11-23 now? [y/N] "
    assert printed(capsys) == (SHOWN + STORED + COUNTED, asked)
    assert holds(store) == Decimal("1.1172")
    assert euros(store) == 20
    assert store.state.fx_rate_entries("2026-11-20")[-1]["reason"] == "typed 11.172 for 1.1172"


@pytest.mark.usefixtures("mistyped")
def test_with_yes_nobody_is_asked(store: Store, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--yes", **CORRECTION) == 0
    assert printed(capsys) == (SHOWN + STORED + COUNTED, "")
    assert euros(store) == 20


@pytest.mark.usefixtures("mistyped")
@pytest.mark.parametrize("typed", ["n\n", "\n", ""])
def test_days_are_recomputed_only_after_a_yes(
    store: Store, run: Run, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    assert run(**CORRECTION, typed=f"y\n{typed}") == 0
    told, asked = printed(capsys)
    assert (told.endswith(TO_COUNT), asked.endswith("Recompute 2026-11-23 now? [y/N] ")) == (True, True)
    assert holds(store) == Decimal("1.1172")
    assert euros(store) == 2


@pytest.mark.usefixtures("mistyped")
@pytest.mark.parametrize("typed", ["n\n", "\n", "", None])
def test_nothing_is_stored_without_a_yes_at_a_terminal(
    store: Store, run: Run, capsys: pytest.CaptureFixture[str], typed: str | None
) -> None:
    assert run(**CORRECTION, typed=typed) == 1
    told, asked = printed(capsys)
    assert (told, asked.endswith("Nothing was stored.\n")) == (SHOWN, True)
    assert holds(store) == Decimal("11.172")
    assert euros(store) == 2


@pytest.mark.usefixtures("mistyped")
def test_a_day_that_cannot_be_recomputed_is_reported(
    store: Store, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze(monkeypatch, worker, NOON + timedelta(days=500))
    assert run("--yes", **CORRECTION) == 1
    told = capsys.readouterr()
    assert told.out.endswith(f"0 of 16 shards recomputed\n{TO_COUNT}")
    assert "older than the retention" in told.err
    assert holds(store) == Decimal("1.1172")


@pytest.mark.usefixtures("mistyped")
def test_a_worker_that_cannot_be_called_is_reported(
    store: Store, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://lambda")

    monkeypatch.setitem(Lambda.functions, "stack-RollupWorkerFunction", unreachable)
    monkeypatch.setattr(Lambda, "passes", (EndpointConnectionError,))
    assert run("--yes", **CORRECTION) == 1
    told = capsys.readouterr()
    assert told.out.endswith(STORED + TO_COUNT)
    assert told.err == '2026-11-23: Could not connect to the endpoint URL: "https://lambda"\n'


@pytest.mark.usefixtures("mistyped")
@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        (RIGHT, "2026-11-20 has 11.172 already: to correct it, give --reason"),
        ({"date": "2026-11-20", "usd": "1,1172"}, "'1,1172' is no rate"),
        (CORRECTION | {"usd": "11.172"}, "2026-11-20 has that rate already: 11.172"),
        ({"date": "2026-11-21", "usd": "1.1172"}, "TARGET is closed on 2026-11-21"),
    ],
)
def test_a_rejected_rate_is_reported_with_the_reason(
    store: Store, run: Run, capsys: pytest.CaptureFixture[str], variables: dict[str, str], reason: str
) -> None:
    assert run("--yes", **variables) == 1
    told = capsys.readouterr()
    assert (told.out, told.err.startswith(f"Error: Nothing was stored: {reason}")) == ("", True)


def test_after_a_timeout_it_does_not_say_that_nothing_was_stored(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed_out(*_: object) -> None:
        raise TimeoutError("Task timed out after 60.00 seconds")

    monkeypatch.setitem(Lambda.functions, "stack-RatesFunction", timed_out)
    assert run("--yes", **RIGHT) == 1
    told = capsys.readouterr()
    assert told.err.startswith(
        "Error: RatesFunction failed: Task timed out after 60.00 seconds. Run it again to see"
    )
    assert "Nothing was stored" not in told.err


@pytest.mark.parametrize("variables", [{}, {"date": "2026-11-20"}, {"usd": "1.1172"}])
def test_date_and_usd_are_needed(run: Run, variables: dict[str, str]) -> None:
    assert run(**variables) == 2
