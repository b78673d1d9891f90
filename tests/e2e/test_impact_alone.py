"""`impact` without a stack: help, version, completion, and wrong inputs of every command."""

import os
import re
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest

from impact_cli.main import VERBS, cli
from local import PROJECT
from tests.e2e.command import IMPACT, Ran

ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ} | {
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
    "IMPACT_SERVICE_URL": "http://127.0.0.1:1",  # nothing of this may be called
    "IMPACT_READ_TOKEN": "t0ken",
    "IMPACT_SERVICE_TOKEN": "t0ken",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
LONG_ID = "x" * 257
RANGES = (("--since", "2026-13"), ("--since", "2026-11-05", "--until", "2026-11-01"))
WRONG: dict[str, tuple[tuple[str, ...], ...]] = {
    "usage": (
        *(("",), ("a", "b"), (LONG_ID,), ("--fresh",), *RANGES),
        *(("a", "--team", "b"), ("--key", "a", "--tag", "a"), ("--team", ""), ("--tag", LONG_ID)),
    ),
    "top": ((), ("cities",), ("users", "--limit", "0"), ("users", "--limit", "x"), ("users", *RANGES[0])),
    "day": (("2026-02-30",), ("2026-11",), ("tomorrow",), ("today", "x"), ("--since", "today")),
    "events": ((), ("",), (LONG_ID,), ("a", "--day", "2026-11"), ("a", "b")),
    "explain": ((), ("",), ("a", "--day", "1900-01-01"), ("a", "--csv"), ("a", "b")),
    "tail": (("x",), ("--user",), ("--user", ""), ("--user", LONG_ID), ("--csv",)),
    "export": (("xml",), ("person",), ("parquet",), ("csv", "x"), ("focus", "--time-zone", "Mars/Olympus")),
    "configure": (("x",), ("--url", "nope"), ("--profile", ""), ("--token", "t"), ("--stack",)),
    "send": (("x",), ("--user", ""), ("--user", LONG_ID), ("--user",), ("--csv",)),
    "link": (
        (),
        ("a", "--file", "/dev/null"),
        ("a", "--days", "0"),
        (LONG_ID,),
        ("a", "--revoke-all"),
        ("--file", "/nonexistent"),
    ),
    "token": (("nope",), ("new",), ("new", "admin"), ("revoke",), ("list", "x")),
    "rates": (
        ("nope",),
        ("enter",),
        ("enter", "2026-11-20"),
        ("enter", "today", "1.1"),
        ("list", *RANGES[1]),
    ),
    "price": (
        ("nope",),
        ("add", "openai/gpt-6", "--from", "2026-12-01", "--input", "1,25", "--source", ""),
        ("end", "gpt-6", "--from", "2026-12", "--source", "x"),
        ("apply", "/nonexistent/prices.toml"),
        ("list", "--all", "--on", "today"),
        ("check", *RANGES[0]),
    ),
    "reprice": (
        (),
        ("--since", "2026-11"),
        ("--since", "nope", "--reason", "x"),
        ("--since", "2026-11", "--reason", " "),
        ("--since", "2026-11", "--reason", "x" * 501),
        ("--since", "2026-11", "--reason", "x", "y"),
    ),
    "corrections": (("x",), ("--nope",), ("--since", "2026-11"), ("--stack",), ("--profile",)),
    "name": (
        ("nope",),
        ("user", "a"),
        ("user", "", "Alice"),
        ("team", "a", " "),
        ("key", "a", "x" * 257),
        ("import", "/nonexistent/names.csv"),
    ),
    "rollup": ((), ("today",), ("2026-02-30",), ("2026-11",), ("2026-11-20", "x")),
    "replay": (("x",), ("--nope",), ("--yes",), ("--stack",), ("--profile",)),
    "erase": (("",), (), ("a", "b"), (LONG_ID, "--yes"), ("-rf",)),
    "put-back": ((), ("a",), ("a", "a"), ("a", "b", "c"), ("a", "--nope")),
    "completion": ((), ("tcsh",), ("",), ("bash", "zsh"), ("--nope",)),
}
"""Five wrong inputs or more of each command."""
SAID = r"(Usage: impact {0}[^\n]*\nTry 'impact {0}[^\n]*' for help\.\n\n)?Error: [^\n]+(\n\t\w+,?)*\n"
"""How click says what is wrong; where something is to be chosen, a line for each choice follows."""


def impact(*arguments: str, **environment: str) -> Ran:
    ran = subprocess.run(
        [IMPACT, *arguments],
        env=ENVIRONMENT | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def test_each_command_has_wrong_inputs() -> None:
    tested_elsewhere = {"doctor", "deploy", "revert-drift"}
    assert WRONG.keys() | tested_elsewhere == {name for verbs in VERBS.values() for name in verbs}
    assert min(map(len, WRONG.values())) == 5


@pytest.mark.parametrize("verb", WRONG)
def test_a_wrong_input_is_said_in_one_line(verb: str) -> None:
    with ThreadPoolExecutor(2) as workers:
        for given, ran in zip(
            WRONG[verb], workers.map(lambda given: impact(verb, *given), WRONG[verb]), strict=True
        ):
            assert (ran.code, ran.out) == (2, ""), given
            assert re.fullmatch(SAID.format(verb), ran.error), given


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("usge",), "No such command 'usge'. Did you mean usage?"),
        (("rolup", "2026-11-20"), "No such command 'rolup'. Did you mean rollup?"),
        (("xyz",), "No such command 'xyz'."),
        (("--nope",), "No such option"),
        (("--stack",), "requires an argument"),
    ],
)
def test_a_wrong_command_is_said_in_one_line(arguments: tuple[str, ...], told: str) -> None:
    ran = impact(*arguments)
    assert (ran.code, ran.out, told in ran.error) == (2, "", True)


def test_a_configuration_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    for content, told in {
        "[default": "cannot be read",
        'stack = "a"': "stack stands outside of a profile",
        '[default]\ntoken = "s3cret"': "token of [default] is unknown",
        "[default]\nstack = 1": "stack of [default] is unknown or no text",
    }.items():
        config.write_text(content)
        ran = impact("usage", IMPACT_CONFIG=str(config))
        assert (ran.code, ran.out, told in ran.error, "s3cret" in ran.error) == (1, "", True, False)
        assert len(ran.error.splitlines()) == 1
    folder = impact("usage", IMPACT_CONFIG=str(tmp_path))
    assert (folder.code, folder.error.startswith(f"Error: {tmp_path} cannot be read")) == (1, True)
    nowhere = impact("configure", IMPACT_CONFIG="/proc/nowhere/config.toml")
    assert (nowhere.code, nowhere.error) == (
        1,
        "Error: /proc/nowhere/config.toml cannot be written: No such file or directory.\n",
    )


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    context = click.Context(group)
    found = [path]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found += commands(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


def test_every_command_has_help_with_an_example() -> None:
    paths = commands(cli)
    assert len(paths) > 25
    with ThreadPoolExecutor(2) as workers:
        for path, ran in zip(paths, workers.map(lambda path: impact(*path, "--help"), paths), strict=True):
            assert (ran.code, ran.error) == (0, ""), path
            assert ran.out.startswith(f"Usage: impact{''.join(f' {name}' for name in path)} "), path
            assert "..." not in re.sub(r"\.\.\. *$|ARGS\]\.\.\.|\]\.\.\.", "", ran.out.splitlines()[0]), path
            listed = ran.out.partition("Commands:\n")[2]
            assert "..." not in listed, path  # a sentence that was cut
            examples = re.findall(r"^    (?:printf .* \| )?impact .*$", ran.out, re.MULTILINE)
            assert examples or path in {("token",), ("rates",), ("token", "list")}, path


def test_the_version_is_the_packages() -> None:
    package = tomllib.loads((PROJECT / "cli" / "pyproject.toml").read_text())["project"]
    assert impact("--version") == (0, f"impact {package['version']}\n", "")


def test_bash_completes_commands_and_options() -> None:
    script = """
        source <(impact completion bash) || exit 1
        complete() {
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            _impact_completion impact
            echo "${COMPREPLY[@]}"
        }
        complete impact us
        complete impact usage --fr
        complete impact top m
        complete impact export ""
        complete impact token new ""
        complete impact completion z
    """
    ran = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=ENVIRONMENT | {"PATH": f"{Path(IMPACT).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "usage",
        "--fresh",
        "models",
        "csv focus jsonl parquet person",
        "ingest read mcp",
        "zsh",
    ]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_their_script(shell: str) -> None:
    ran = impact("completion", shell)
    assert (ran.code, ran.error, f"_IMPACT_COMPLETE={shell}_complete" in ran.out) == (0, "", True)
