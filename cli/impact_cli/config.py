"""The configuration file, `~/.config/impact/config.toml`: a table for each profile."""

import os
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

DEFAULT = "default"
"""The profile of commands that name none."""
FIELDS = ("stack", "url", "read_token", "ingest_token", "aws_profile", "aws_region")


class InvalidConfig(click.ClickException):
    """The configuration file cannot be used. The text says why."""


@dataclass(frozen=True)
class Config:
    """The profiles, by name."""

    profiles: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Read the file; without one there are no profiles. Raises InvalidConfig."""
        try:
            parsed = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise InvalidConfig(f"{path} cannot be read: {error}") from None
        for name, values in parsed.items():
            if not isinstance(values, dict):
                raise InvalidConfig(f"{path}: {name} stands outside of a profile, such as [{DEFAULT}].")
            for key, value in values.items():
                if key not in FIELDS or not isinstance(value, str):
                    raise InvalidConfig(
                        f"{path}: {key} of [{name}] is unknown or no text. A profile has {', '.join(FIELDS)}."
                    )
        return cls(parsed)


def config_path() -> Path:
    """IMPACT_CONFIG, or config.toml in the folder that the XDG Base Directory Specification names."""
    if named := os.environ.get("IMPACT_CONFIG"):
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "impact" / "config.toml"


def write_profile(path: Path, name: str, values: dict[str, str]) -> None:
    """Write a profile in place of the one of that name. Only the file's owner can read it: it has tokens.

    Other profiles, and comments, stay as they are. Raises InvalidConfig.
    """
    import tomlkit

    if odd := [name for name, value in values.items() if not value.isprintable()]:
        raise InvalidConfig(f"{odd[0]} holds a character that cannot be printed. Nothing was written.")
    Config.read(path)
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
    profile: Any = document.setdefault(name, tomlkit.table())
    for former in [former for former in profile if former not in values]:
        del profile[former]
    profile.update(values)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(
            os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(tomlkit.dumps(document))
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise InvalidConfig(f"{path} cannot be written: {error.strerror}.") from None
