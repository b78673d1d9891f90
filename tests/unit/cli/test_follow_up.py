"""Commands that a message tells people to run are for the stack of the command that they ran."""

import os
import shlex
from pathlib import Path

import click
import pytest

from impact_cli.follow_up import remember, same_stack
from impact_cli.main import main
from impact_cli.target import NotFound, Target

COMMAND = click.Command("usage")


@pytest.mark.parametrize(
    ("profile", "stack", "expected"),
    [
        (None, None, "impact rollup 2026-11-23"),
        (None, "test", "impact --stack=test rollup 2026-11-23"),
        ("prod", "a b`id`", "impact --profile=prod --stack='a b`id`' rollup 2026-11-23"),
    ],
)
def test_they_have_its_profile_and_stack(profile: str | None, stack: str | None, expected: str) -> None:
    with click.Context(COMMAND):
        remember(profile, stack)
        assert same_stack("Run `impact rollup 2026-11-23`.") == f"Run `{expected}`."
        words = shlex.split(same_stack("impact rollup 2026-11-23"))
        assert words[-2:] == ["rollup", "2026-11-23"]


def test_nothing_else_is_changed() -> None:
    with click.Context(COMMAND):
        remember(None, "test")
        for text in (
            "the impact of usage",
            "/x/impact rollup",
            "docs/impact usage",
            "impactful",
            "impact-Rollup",
        ):
            assert same_stack(text) == text
    assert same_stack("impact rollup 2026-11-23") == "impact rollup 2026-11-23"


def test_a_profile_is_not_used_with_the_emulator_of_another_shell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After `. ./.local.env` a profile's tokens, and its erasures, would go to the emulator."""
    for name in [name for name in os.environ if name.startswith("IMPACT_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "config.toml"
    path.write_text('[prod]\nstack = "impact-prod"\nread_token = "secret"\n')
    monkeypatch.setenv("IMPACT_CONFIG", str(path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("IMPACT_SERVICE_URL", "http://127.0.0.1:9/api/request-event")
    for arguments in (["erase", "alice", "--yes"], ["usage", "alice"]):
        assert main([*arguments, "--profile", "prod"]) == 1
        assert "AWS_ENDPOINT_URL is set, as .local.env does" in capsys.readouterr().err
    monkeypatch.delenv("IMPACT_SERVICE_URL")
    assert Target("here", is_profile=True).session() is not None
    with pytest.raises(NotFound):
        Target("here", is_profile=True).reader()
