"""What is wrong with a stack, a token or a URL is said in one line, and nothing else; the exit code is 1."""

import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.stack import Stack, free_port
from tests.e2e.api import day
from tests.e2e.command import Ran, impact, impact_in_a_terminal

READING: tuple[tuple[str, ...], ...] = (
    ("usage",),
    ("usage", "alice"),
    ("top", "users"),
    ("day",),
    ("export", "csv"),
    ("export", "jsonl"),
    ("export", "focus", "--time-zone", "UTC"),
)
"""Commands for which a read token is enough."""
ON_AWS: tuple[tuple[str, ...], ...] = (
    ("events", "alice"),
    ("explain", "alice"),
    ("tail",),
    ("export", "csv", "--events"),
    ("export", "person", "alice", "-o", "alice"),
    ("erase", "alice", "--yes"),
    ("rollup", day(1)),
    ("replay",),
    ("rates", "list"),
    ("rates", "enter", "2026-11-20", "1.1"),
    ("price", "list"),
    ("price", "check"),
    ("price", "add", "a/b", "--from", "2026-12-01", "--per-request", "1", "--source", "x", "--yes"),
    ("reprice", "--since", day(1), "--reason", "x", "--yes"),
    ("corrections",),
    ("token", "list"),
    ("token", "new", "read"),
    ("token", "revoke", "0123456789ab", "--yes"),
)
"""Commands that need AWS credentials, and a stack of the name."""
some_and_all = pytest.mark.parametrize(
    "commands",
    [pytest.param(ON_AWS[::3], id="some"), pytest.param(ON_AWS, id="all", marks=pytest.mark.long)],
)


def all_fail(stack: Stack, commands: tuple[tuple[str, ...], ...], reason: str, **environment: str) -> None:
    """Each command says the reason in one line, and no more."""

    def run(command: tuple[str, ...]) -> Ran:
        return impact(stack, *command, environment=environment)

    with ThreadPoolExecutor(4) as workers:
        for command, ran in zip(commands, workers.map(run, commands), strict=True):
            said = ran.error.removeprefix("Error: ").rstrip("\n")
            assert (ran.code, ran.out, ran.error) == (1, "", f"Error: {said}\n"), command
            assert reason in said, command
            assert "\n" not in said, command
            assert "alice" not in said, command


def test_no_token(stack: Stack) -> None:
    without = {"IMPACT_READ_TOKEN": "", "IMPACT_SERVICE_TOKEN": ""}
    all_fail(stack, READING, "Set IMPACT_READ_TOKEN, or run `impact configure`.", **without)
    all_fail(stack, (("send",),), "Set IMPACT_SERVICE_TOKEN, or run `impact configure`.", **without)


def test_a_wrong_token(stack: Stack) -> None:
    reason = f"The read token is not valid for {stack.api_url}/api/"
    all_fail(stack, READING[1:4], reason, IMPACT_READ_TOKEN="nope")
    all_fail(stack, READING[:1], reason, IMPACT_READ_TOKEN=stack.ingest_token)
    all_fail(stack, (("send",),), "The ingest token is not valid", IMPACT_SERVICE_TOKEN=stack.read_token)
    for token in ("s3cret\n", "s3cret\u20ac"):
        ran = impact(stack, "usage", environment={"IMPACT_READ_TOKEN": token})
        assert ran == (1, "", "Error: The token has characters that no token has.\n")


def test_the_service_is_down(stack: Stack) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    commands = (*READING[1:3], ("send", "--user", "alice"))
    all_fail(stack, commands, f"No response from {url}: Connection refused", IMPACT_SERVICE_URL=url)


@pytest.fixture
def stranger() -> Iterator[str]:
    """The URL of a service that is another one: it answers each GET with JSON."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "fine"}')

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_url_that_is_not_the_services(stack: Stack, stranger: str) -> None:
    reason = "is not the API of an Impact Service: "
    all_fail(stack, READING, reason, IMPACT_SERVICE_URL=stranger)
    all_fail(stack, (*READING[:3], ("send",)), reason, IMPACT_SERVICE_URL=f"{stack.api_url}/elsewhere")
    for url in ("nonsense", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999"):
        all_fail(stack, READING[:1], "is not a URL, such as https://abc.example.com", IMPACT_SERVICE_URL=url)


@some_and_all
def test_a_stack_that_does_not_exist(stack: Stack, commands: tuple[tuple[str, ...], ...]) -> None:
    reason = "There is no stack nowhere in us-east-1. Name another with --stack."
    all_fail(stack, tuple((*command, "--stack", "nowhere") for command in commands), reason)
    all_fail(
        stack,
        tuple((*command, "--stack", "nowhere") for command in READING[:2]),
        "No read token of the stack nowhere",
    )
    shown = impact_in_a_terminal(stack, "replay", "--stack", "nowhere")
    assert (shown.code, shown.out) == (1, f"Error: {reason}\n")


@some_and_all
def test_no_aws_credentials(stack: Stack, tmp_path: Path, commands: tuple[tuple[str, ...], ...]) -> None:
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    nothing |= {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "HOME": str(tmp_path)}
    commands = (*commands, ("put-back", "a", "b"))
    all_fail(stack, commands, "Unable to locate credentials. Set AWS_PROFILE and AWS_REGION", **nothing)
    all_fail(stack, ON_AWS[:2], "The config profile (nope) could not be found", AWS_PROFILE="nope")
    nowhere = {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}
    all_fail(stack, ON_AWS[:2], "You must specify a region. Set AWS_PROFILE and AWS_REGION", **nowhere)


def test_what_the_service_rejects_is_named(stack: Stack) -> None:
    ran = impact(stack, "send", "--user", "{{LIBRECHAT_USER_ID}}")
    assert (ran.code, ran.out) == (1, "")
    assert ran.error.startswith("Error: The event is not valid. userId: ")
    range_ = impact(stack, "usage", "--since", "2020-01-01", "--until", "2026-01-01")
    assert (range_.code, range_.out, "at most 366 days" in range_.error) == (1, "", True)
    expired = impact(stack, "rollup", "2001-01-01")
    assert (expired.code, "failed: 2001-01-01 is older than the retention" in expired.error) == (1, True)


@pytest.mark.parametrize(
    ("date", "usd", "reason"),
    [
        ("2026-11-20", "x", "'x' is no rate"),
        ("2026-11-20", "0", "'0' is no rate"),
        ("2026-11-22", "1.1", "TARGET is closed on 2026-11-22"),
        ("2999-01-01", "1.1", "2999-01-01 is in the future"),
    ],
)
def test_a_rate_that_cannot_be_is_not_stored(stack: Stack, date: str, usd: str, reason: str) -> None:
    ran = impact(stack, "rates", "enter", date, usd, "--yes")
    assert (ran.code, ran.out, ran.error.startswith(f"Error: Nothing was stored: {reason}")) == (1, "", True)


@pytest.mark.parametrize(
    ("given", "reason"),
    [("nope", "too short"), ("", "too short"), ("ffffffffffff", "No token has a hash that begins with")],
)
def test_a_token_that_is_not_there_is_not_revoked(stack: Stack, given: str, reason: str) -> None:
    ran = impact(stack, "token", "revoke", "--yes", "--", given)
    assert (ran.code, ran.out, reason in ran.error) == (1, "", True)
