"""Mutation tests (`python -m tests.mutations`): does a fast test fail for each single edit of the code?

A sample of all the edits that OPERATORS can make is drawn with a seed, and each is put into a copy of the
project. The tests of its module run there in a forked process, in order, up to the first that fails. The
output lists each edit that no test catches, and at the end how many were caught.

Not edited: texts, docstrings, annotations, decorators, calls that only log, and the constants of PERFORMANCE.
"""

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

# Slow imports happen once here, not in each forked process.
import aws_lambda_powertools.metrics  # noqa: F401
import botocore.session  # noqa: F401
import hypothesis  # noqa: F401
import moto.dynamodb  # noqa: F401
import pydantic  # noqa: F401
import pytest
import samtranslator.yaml_helper  # noqa: F401
import xdist.scheduler  # noqa: F401

from local import PROJECT

OURS = (PROJECT, PROJECT / "functions", PROJECT / "layers/callback")

SECONDS_MAX = 240
"""After this time, an edit counts as caught: it has made a test wait for ever."""


def _integration(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/integration/test_{name}.py" for name in names)


_ROLLUP = (
    *_integration("dynamodb", "ledger_store", "summary_store", "state_store"),
    *_integration("recompute", "recompute_deleted_events", "rollup", "rollup_planner", "billing"),
    "tests/simulation/test_simulation.py::test_nothing_is_lost_and_nothing_counted_twice[0]",
)

_INGEST = _integration("ingest", "ingest_body", "ingest_failures")
_READER = _integration("usage_reader", "summaries")


def _callback(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/unit/callback/test_{name}.py" for name in names)


TESTS: dict[str, tuple[str, ...]] = {
    "functions/impact/calendar.py": ("tests/unit/test_calendar.py", "tests/integration/test_day_settings.py"),
    "functions/impact/dynamodb.py": (*_ROLLUP, "tests/integration/test_day_settings.py"),
    "functions/impact/ledger_store.py": _ROLLUP,
    "functions/impact/state_store.py": (*_ROLLUP, "tests/integration/test_day_settings.py"),
    "functions/impact/summary_store.py": (*_ROLLUP, *_READER),
    "functions/impact/name_store.py": _integration("name_store"),
    "functions/impact/oidc.py": ("tests/unit/test_oidc.py",),
    "functions/impact/identity_provider.py": ("tests/unit/test_identity_provider.py",),
    "functions/impact/naming.py": ("tests/unit/test_naming.py", *_integration("name_store")),
    "functions/impact/ledger_writer.py": (*_integration("ledger_writer"), *_INGEST),
    "functions/impact/keys.py": (
        *("tests/unit/test_keys.py", "tests/unit/test_ledger_entry.py"),
        *_ROLLUP,
        *_INGEST,
    ),
    "functions/impact/ledger_entry.py": ("tests/unit/test_ledger_entry.py", *_INGEST),
    "functions/impact/fx_rates.py": (
        "tests/unit/test_fx_rates.py",
        "tests/integration/test_billing.py",
    ),
    "functions/impact/daily_totals.py": (
        "tests/unit/test_daily_totals.py",
        *_READER,
    ),
    "functions/impact/usage_reader.py": (
        *_READER,
        *_integration("usage_reader_pages", "usage_reader_consistency", "billing"),
    ),
    "functions/impact/recompute.py": _ROLLUP,
    "functions/impact/rollup_planner.py": (
        *_ROLLUP,
        *_integration("rollup_planner_daily_totals", "usage_reader_consistency"),
    ),
    "functions/impact/day_settings.py": ("tests/integration/test_day_settings.py",),
    "functions/impact/summary.py": (
        "tests/unit/test_summary.py",
        *_integration("recompute", "recompute_deleted_events"),
    ),
    "layers/callback/request_events/capture.py": _callback(
        "capture", "capture_hostile", "event_id", "capture_reported_cases"
    ),
    "layers/callback/request_events/cost.py": _callback(
        "cost", "capture", "capture_hostile", "capture_reported_cases", "litellm_callbacks"
    ),
    "layers/callback/request_events/delivery.py": _callback(
        "delivery", "sender", "responses", "sender_rejected_by_middlebox", "service_folders"
    ),
    "layers/callback/request_events/event_id.py": _callback(
        "event_id", "capture", "capture_hostile", "capture_reported_cases"
    ),
    "layers/callback/request_events/outbox.py": _callback(
        "outbox", "outbox_failures", "outbox_slow_disk", "sender_rejected_by_middlebox"
    ),
    "layers/callback/request_events/quarantine.py": _callback(
        "quarantine", "outbox", "outbox_failures", "sender_rejected_by_middlebox"
    ),
    "layers/callback/request_events/responses.py": _callback(
        "delivery", "responses", "transport", "sender", "sender_rejected_by_middlebox", "service_folders"
    ),
    "layers/callback/request_events/segment.py": _callback(
        "outbox", "outbox_failures", "sender_rejected_by_middlebox"
    ),
    "layers/callback/request_events/sender.py": _callback(
        "sender",
        "sender_fork",
        "sender_rejected_by_middlebox",
        "outbox_slow_disk",
        "outbox_report",
        "service_folders",
    ),
    "layers/callback/request_events/service_folders.py": _callback("service_folders"),
}
"""The tests of each module, in the order in which they run."""

SLOW = (
    *("a_month_of_rates", "five_hundred_at_once", "thousand_sendings", "pages_go_on_after_one_megabyte"),
    *("summaries_equal_a_plain_sum", "many_models", "awkward_costs", "every_user_of_a_day_in_pages"),
    *("another_shard_count", "another_time_zone_loses", "longer_retention_accepts"),
    *("many_events_resume", "million_events", "shorter_retention_for_one_run", "kill_9"),
)
"""Tests that are not run: they take long, and others catch the same edits."""

PERFORMANCE = {
    *(
        "BATCH_GET_MAX",
        "UNPROCESSED_MAX",
        "PAUSE_SECONDS",
        "WORKERS",
        "TRIES",
        "ATTEMPTS",
        "MARK_GROUP",
        "PAGE_USERS",
    ),
    *("SEGMENT_BYTES", "MEMORY_EVENTS", "FOLDER_BYTES", "REJECTED_BYTES", "SHRINK_BYTES", "MOVES_MAX"),
    *("LINE_BYTES", "SLOW_SECONDS", "SLOW_MODE_SECONDS", "SPILL_EVENTS", "WAITED_SECONDS", "_FILE_BYTES_MAX"),
    *("BATCH_BYTES_MAX", "MODELS_MAX", "connect"),
}
"""Constants and functions that affect speed or size, but not results."""
LOGGED = {"warn", "_warn", "note", "log_others", "log_blocked", "super"}
"""Calls that only log, or whose absence no test should notice."""

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_OTHER_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


def comparison(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
        yield ast.Compare(node.left, [_COMPARISONS[type(node.ops[0])]()], node.comparators)


def arithmetic(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)


def logic(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for left_out in range(len(node.values)):
            rest = [value for index, value in enumerate(node.values) if index != left_out]
            yield ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand


def constant(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield ast.Constant(node.value + 1)


def condition(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        for outcome in (True, False):
            if not (isinstance(node, ast.While) and outcome):
                changed = deepcopy(node)
                changed.test = ast.Constant(outcome)
                yield changed
    if isinstance(node, ast.comprehension):
        for index in range(len(node.ifs)):
            yield ast.comprehension(
                node.target, node.iter, node.ifs[:index] + node.ifs[index + 1 :], node.is_async
            )


def statement(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.AugAssign | ast.Raise) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield ast.Pass()
    if isinstance(node, ast.Return) and node.value and not _is(node.value, None):
        yield ast.Return(ast.Constant(None))
    if isinstance(node, ast.Continue):
        yield ast.Break()


def name(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _OTHER_NAMES:
        yield ast.Call(ast.Name(_OTHER_NAMES[node.func.id], ast.Load()), node.args, node.keywords)


OPERATORS: tuple[Callable[[ast.AST], Iterator[ast.AST]], ...] = (
    *(comparison, arithmetic, logic, constant, condition, statement, name),
)


@dataclass(frozen=True)
class Edit:
    """One change of one node of a module."""

    module: str
    line: int
    before: str
    after: str
    source: str
    """The source of the module with the edit."""

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.before} -> {self.after}"


def edits(module: str) -> list[Edit]:
    """Yield every edit of a module."""
    tree = ast.parse((PROJECT / module).read_text())
    found = []
    for parent, field, index, node in list(_places(tree)):
        for operator in OPERATORS:
            for changed in operator(node):
                _set(parent, field, index, changed)
                source = ast.unparse(ast.fix_missing_locations(tree))
                line = getattr(node, "lineno", getattr(parent, "lineno", 0))
                found.append(Edit(module, line, _brief(node), _brief(changed), source))
        _set(parent, field, index, node)
    return found


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Yield the nodes that may be edited, each with its position in its parent."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(node, ast.AST) and not _is_left_out(node):
                yield tree, field, index, node
                yield from _places(node)


def _is_left_out(node: ast.AST) -> bool:
    match node:
        case ast.FunctionDef(name=called):
            return called in PERFORMANCE or called == "__repr__"
        case ast.Assign(targets=[ast.Name(id=called)]):
            return called in PERFORMANCE or called.startswith("__")
        case ast.Call(func=ast.Name(id=called)) | ast.Call(func=ast.Attribute(attr=called)):
            return called in LOGGED
        case ast.Expr(value=ast.Constant()) | ast.JoinedStr() | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Expr(value=call):
            return _is_left_out(call)
    return False


def _is(node: ast.AST, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _set(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _brief(node: ast.AST) -> str:
    first = ast.unparse(ast.fix_missing_locations(deepcopy(node))).strip().splitlines()[0]
    return first if len(first) <= 90 else first[:87] + "..."


class Copy:
    """A copy of the project in which edits are tried, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
        for each in filter(None, names.split("\0")):
            (folder / each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / each, folder / each)
        (folder / ".venv").symlink_to(PROJECT / ".venv")
        self._time = time.time()

    def begin(self, edit: Edit) -> "Attempt":
        """Apply an edit, and start the tests."""
        self._write(edit.module, edit.source)
        process = os.fork()
        if not process:
            _run_tests(self.folder, TESTS[edit.module])
        return Attempt(self, edit, process, time.monotonic() + SECONDS_MAX)

    def restore(self, module: str) -> None:
        self._write(module, (PROJECT / module).read_text())

    def _write(self, module: str, text: str) -> None:
        """Write a module with a new modification time, so that Python compiles it again."""
        self._time += 2
        file = self.folder / module
        file.write_text(text)
        os.utime(file, (self._time, self._time))


@dataclass(frozen=True)
class Attempt:
    """Tests that run with an edit."""

    copy: Copy
    edit: Edit
    process: int
    ends: float
    """Start of the tests, on the monotonic clock."""

    def is_caught(self) -> bool | None:
        """Tell whether a test has failed; None while they run."""
        ended, status = os.waitpid(self.process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) != 0
        if time.monotonic() < self.ends:
            return None
        os.killpg(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        return True


def _run_tests(folder: Path, files: Sequence[str]) -> None:
    """Run the tests in this forked process, and end it."""
    os.setpgid(0, 0)
    os.chdir(folder)
    with (folder / ".log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.path[:] = [each for each in sys.path if each and Path(each) not in OURS]
    for each in [each for each in sys.modules if each.partition(".")[0] in ("tests", "local")]:
        del sys.modules[each]
    code = 1
    try:
        left_out = " and ".join(f"not {each}" for each in SLOW)
        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-k", left_out, *files]))
    finally:
        os._exit(code)


def attempts(drawn: list[Edit], copies: list[Copy]) -> Iterator[tuple[Edit, bool]]:
    """Try edits, as many at a time as there are copies. Yield each edit, and whether it was caught."""
    waiting, running = list(reversed(drawn)), list[Attempt]()
    while waiting or running:
        while waiting and copies:
            running.append(copies.pop().begin(waiting.pop()))
        time.sleep(0.05)
        for attempt in list(running):
            if (is_caught := attempt.is_caught()) is not None:
                running.remove(attempt)
                attempt.copy.restore(attempt.edit.module)
                copies.append(attempt.copy)
                yield attempt.edit, is_caught


def sample(modules: Sequence[str], number: int, seed: int) -> list[Edit]:
    """Draw so many edits with a seed."""
    everything = [edit for module in modules for edit in edits(module)]
    drawn = random.Random(seed).sample(everything, min(number, len(everything)))
    print(f"{len(drawn)} of {len(everything)} edits of {len(modules)} modules", flush=True)
    return drawn


def _untouched(drawn: list[Edit]) -> list[Edit]:
    """An empty edit for each set of tests: these must pass without an edit."""
    modules = {TESTS[edit.module]: edit.module for edit in drawn}.values()
    return [Edit(module, 0, "", "", (PROJECT / module).read_text()) for module in modules]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the edits that were not caught, and the result. Return 1 if a test fails without an edit."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--number", type=int, default=150, help="how many edits are tried")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="of modules whose path has this in it")
    options = parser.parse_args(arguments)
    modules = [module for module in TESTS if options.only in module]
    drawn = sample(modules, options.number, options.seed)
    caught: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        copies = [Copy(Path(folder, str(number))) for number in range(options.processes)]
        for untouched, has_failed in attempts(_untouched(drawn), copies):
            if has_failed:
                print(f"the tests of {untouched.module} fail without any edit")
                return 1
        for edit, is_caught in attempts(drawn, copies):
            tried[edit.module] += 1
            caught[edit.module] += is_caught
            if not is_caught:
                print(f"not caught: {edit}", flush=True)
    for module in sorted(tried):
        print(f"{caught[module]:4} of {tried[module]:4}  {module}")
    print(f"{caught.total():4} of {tried.total():4}  caught")
    return 0


if __name__ == "__main__":
    sys.exit(main())
