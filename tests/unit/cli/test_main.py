"""The command as a whole: what it imports, how it ends, and that its reference page is up to date."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from impact_cli.main import VERBS, cli, main
from local import PROJECT, cli_reference

IMPACT = str(Path(sys.executable).with_name("impact"))
HEAVY = ("boto3", "botocore", "requests", "pydantic", "yaml", "tomlkit", "dateutil")


@pytest.fixture(autouse=True)
def without_a_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("IMPACT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from impact_cli.main import main; main(['--help']); main(['usage', '--help'])\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("LOADED []\n")


def test_the_reference_page_is_what_the_commands_say() -> None:
    """`make cli-reference` writes it. It names each command and each option."""
    assert cli_reference.PAGE.read_text() == cli_reference.page()


def test_an_id_in_a_pipe_is_utf8_whatever_the_locale() -> None:
    """As in the file of --output: in another encoding it would be escaped, and so be another id."""
    program = "from impact_cli.main import main; main(['usage', '--since', 'zoë-中'])"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert "'zoë-中' is not a day".encode() in ran.stderr


def commands(group: click.Group, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    found: dict[tuple[str, ...], click.Command] = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found[*path, name] = command
        if isinstance(command, click.Group):
            found |= commands(command, (*path, name))
    return found


COMMANDS = commands(cli)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_each_command_and_each_option_says_what_it_does(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    assert command.help.splitlines()[0].endswith((".", ":"))
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, parameter.name
            assert parameter.opts[-1] in cli_reference.PAGE.read_text()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_is_for_a_terminal_of_80_columns(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, "--help"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"Usage: impact {' '.join(path)}")
    assert told.err == ""


def test_the_help_lists_every_module_of_verbs() -> None:
    folder = PROJECT / "cli" / "impact_cli" / "verbs"
    modules = {path.stem.replace("_", "-") for path in folder.glob("*.py")} - {"--init--"}
    assert {name for verbs in VERBS.values() for name in verbs} == modules


def test_a_mistyped_command_names_those_that_are_close(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usgae"]) == 2
    told = capsys.readouterr()
    assert (told.out, "No such command 'usgae'. Did you mean usage?" in told.err) == ("", True)


def test_what_is_missing_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "alice"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert re.fullmatch(r"Error: No read token of the stack impact in .*`impact configure`\.\n", told.err)


def test_a_reader_that_goes_away_is_no_error() -> None:
    """As in `impact completion bash | head -1`, with a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [IMPACT, "completion", "bash"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_full_disk_is_an_error() -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [IMPACT, "completion", "bash"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ran.returncode == 1
    assert "No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_endpoint_that_is_none_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    assert main(["rollup", "2026-11-23"]) == 1
    assert capsys.readouterr().err.startswith("Error: AWS cannot be called: Invalid endpoint: nonsense")


def test_a_closed_standard_output_is_no_fault() -> None:
    command = [sys.executable, "-c", "import os, sys; os.close(1); os.execv(sys.argv[1], sys.argv[1:])"]
    ran = subprocess.run(
        [*command, IMPACT, "completion", "bash"], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
