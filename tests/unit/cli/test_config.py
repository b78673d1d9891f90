"""The configuration file: who can read it, what stays in it, and what is wrong with it."""

import stat
from pathlib import Path

import pytest

from impact_cli.config import Config, InvalidConfig, config_path, write_profile


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    write_profile(path, "default", {"read_token": "secret"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    write_profile(path, "default", {"read_token": "secret"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["config.toml"]


def test_other_profiles_and_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('# mine\n[prod]\nurl = "https://prod" # since May\n')
    write_profile(path, "test", {"url": 'a"b\\c', "read_token": "t"})
    write_profile(path, "test", {"url": "https://test"})
    assert Config.read(path).profiles == {"prod": {"url": "https://prod"}, "test": {"url": "https://test"}}
    assert "# mine" in path.read_text()
    assert "# since May" in path.read_text()


@pytest.mark.parametrize("value", ['"', "\\", "zoë 🌳", "'''", '"""'])
def test_any_text_comes_back_as_it_was(tmp_path: Path, value: str) -> None:
    path = tmp_path / "config.toml"
    write_profile(path, "a.b", {"url": value})
    assert Config.read(path).profiles == {"a.b": {"url": value}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[default", "cannot be read"),
        ('url = "https://x"', "stands outside of a profile"),
        ('[default]\nurll = "x"', "urll of \\[default\\] is unknown"),
        ("[default]\nurl = 1", "url of \\[default\\] is unknown or no text"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    tmp_path: Path, content: str | bytes, problem: str
) -> None:
    path = tmp_path / "config.toml"
    before = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(before)
    with pytest.raises(InvalidConfig, match=problem):
        Config.read(path)
    with pytest.raises(InvalidConfig, match=problem):
        write_profile(path, "default", {})
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidConfig, match="cannot be"):
        write_profile(tmp_path / "file" / "config.toml", "default", {})


@pytest.mark.parametrize("value", ["a\nb", "\x1b[2J", "\x7f"])
def test_a_value_that_cannot_be_printed_is_rejected(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidConfig, match="read_token holds a character that cannot be printed"):
        write_profile(tmp_path / "config.toml", "default", {"read_token": value})
    assert list(tmp_path.iterdir()) == []


def test_it_lies_where_other_programs_have_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMPACT_CONFIG", raising=False)
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert config_path() == Path("/home/alice/.config/impact/config.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert config_path() == Path("/xdg/impact/config.toml")
    monkeypatch.setenv("IMPACT_CONFIG", "/mine.toml")
    assert config_path() == Path("/mine.toml")
