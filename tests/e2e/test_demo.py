"""`make demo` as a process of its own: it succeeds or says why not, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from local import PROJECT
from local.litellm_proxy import ENVIRONMENT, ProxyError, running_proxy
from local.process import running_process, stop
from local.waiting import wait_until
from tests.children import child

pytestmark = pytest.mark.skipif(
    not (ENVIRONMENT / "bin" / "litellm").exists(), reason="LiteLLM is not installed (make proxy-env)"
)


def demo(folder: Path, *command: str) -> "AbstractContextManager[subprocess.Popen[str]]":
    """The demo, in a session of its own as in a terminal, with all its temporary files in one folder."""
    return child(
        command,
        cwd=PROJECT,
        env=os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes whose environment names the folder (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended, or belongs to another user
            continue
    return found


def assert_nothing_is_left(folder: Path) -> None:
    wait_until(lambda: not processes_of(folder), "the end of all processes")
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_every_figure_agrees_and_nothing_is_left(tmp_path: Path) -> None:
    with demo(tmp_path, "make", "--silent", "demo") as process:
        output, _ = process.communicate()
    assert "Every number agrees with what the providers served." in output
    lines = output.splitlines()
    rows = [line.split() for line in lines if line.startswith(("alice ", "bob ", "zoë ", "platform "))]
    use, cost = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    assert [(user, requests, failures) for user, _, requests, failures, *_ in use] == [
        ("alice", "5", "0"),
        ("bob", "6", "3"),
        ("zoë", "5", "0"),
        ("platform", "27", "3"),
    ]
    assert [(user, unrated, unpriced) for user, *_, unrated, unpriced in cost] == [
        ("alice", "0", "0"),
        ("bob", "0", "0"),
        ("zoë", "2", "1"),
        ("platform", "4", "2"),
    ]
    assert "EUR billed" in output
    assert max(map(len, lines)) <= 120
    assert "\x1b" not in output
    assert_nothing_is_left(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "step"),
    [(signal.SIGINT, "users make"), (signal.SIGTERM, "Building")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: int, step: str) -> None:
    with demo(tmp_path, sys.executable, "-m", "local.demo") as process:
        assert process.stdout
        for line in process.stdout:
            if step in line:
                break
        # Ctrl-C goes to the whole group of processes in the terminal, and impatient people press it again.
        os.killpg(process.pid, number)
        os.killpg(process.pid, number)
        output, _ = process.communicate()
    assert process.returncode == 130, output
    assert "Interrupted; nothing is left running." in output
    assert "Traceback" not in output
    assert_nothing_is_left(tmp_path)


@pytest.mark.long
def test_a_proxy_that_cannot_start_is_an_error_at_once(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("litellm_settings: {callbacks: [no_such_module.handler]}")
    log = tmp_path / "proxy.log"
    with pytest.raises(ProxyError, match="ended with exit code"), running_proxy({}, log, config) as proxy:
        proxy.wait_until_ready()
    assert "no_such_module" in log.read_text()
    wait_until(lambda: not processes_of(tmp_path), "the end of all processes")


def test_a_child_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    script = (
        "import subprocess, time; subprocess.Popen(['sleep', '60']); print('up', flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    environment = os.environ | {"MARK": str(tmp_path)}
    with running_process([sys.executable, "-c", script], environment, log) as child:
        while "up" not in log.read_text():
            assert child.poll() is None
        assert processes_of(tmp_path)
        stop(child)
        wait_until(lambda: not processes_of(tmp_path), "the end of all processes")
