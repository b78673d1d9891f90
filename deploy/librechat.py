"""Put LiteLLM with the callback beside LibreChat: run this in LibreChat's folder.

    cd LibreChat
    python3 ../impact-service/deploy/librechat.py
    docker compose up -d --build

It makes what is missing, and keeps what is yours: it copies `librechat.yaml` if there is none, adds lines to
LibreChat's `.env` for what is not set there, and makes `deploy/.env` with a key for the proxy. Run it again
as often as you like. It needs Python 3.9 and nothing else.
"""

# ruff: noqa: T201
import argparse
import os
import re
import secrets
import sys
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent
COMPOSE_FILES = ("docker-compose.yml", "docker-compose.yaml", "compose.yaml", "compose.yml")
OVERRIDES = tuple(
    f"{name}.override.{end}" for name in ("docker-compose", "compose") for end in ("yml", "yaml")
)


def main() -> int:
    argparse.ArgumentParser(
        prog="librechat.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    folder = Path.cwd()
    compose = [name for name in COMPOSE_FILES if (folder / name).exists()]
    if not compose or DEPLOY.parent == folder:
        return _fail("There is no docker-compose.yml here. Run this in LibreChat's folder.")
    if not (folder / ".env").exists():
        return _fail("There is no .env here. Make it first: cp .env.example .env")
    key = _proxy_key()
    if not key:
        return _fail(
            f"LITELLM_MASTER_KEY is empty in {_shown(DEPLOY / '.env')}. Fill it in, and run this again."
        )
    _config(folder)
    _environment(folder, compose[0], key)
    print(f"\nFill in {_shown(DEPLOY / '.env')}: the providers' keys, and where the Impact Service is. Then:")
    print("  docker compose up -d --build")
    return 0


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


def _proxy_key() -> str:
    """LITELLM_MASTER_KEY of deploy/.env, which is made if it is not there."""
    path = DEPLOY / ".env"
    if not path.exists():
        example = (DEPLOY / ".env.example").read_text()
        in_container = example.replace("http://localhost:3090", "http://host.docker.internal:3090")
        key = f"sk-{secrets.token_hex(24)}"
        path.touch(mode=0o600)
        path.write_text(re.sub(r"(?m)^LITELLM_MASTER_KEY=$", f"LITELLM_MASTER_KEY={key}", in_container))
        print(f"made    {_shown(path)}, with a new LITELLM_MASTER_KEY")
        return key
    print(f"kept    {_shown(path)}")
    return _variables(path.read_text()).get("LITELLM_MASTER_KEY", "")


def _config(folder: Path) -> None:
    ours, theirs = DEPLOY / "librechat.yaml", folder / "librechat.yaml"
    if not theirs.exists():
        theirs.write_text(ours.read_text())
        print("copied  librechat.yaml")
    elif "x-librechat-user-id" in theirs.read_text():
        print("kept    librechat.yaml")
    else:
        print(f"kept    librechat.yaml: add to it the endpoint of {_shown(ours)}, under endpoints: custom:")


def _environment(folder: Path, compose: str, key: str) -> None:
    """Add to LibreChat's .env what is not set there. COMPOSE_FILE and NO_PROXY also get what they lack."""
    path = folder / ".env"
    text = before = path.read_text()
    known = _variables(text)
    ours = _shown(DEPLOY / "docker-compose.override.yml")
    files = [compose, *(name for name in OVERRIDES if (folder / name).exists()), ours]
    wanted = _variables((DEPLOY / "librechat.env.example").read_text()) | {
        "LITELLM_KEY": key,
        "IMPACT_SERVICE_DIR": _shown(DEPLOY.parent),
        "COMPOSE_FILE": ":".join(files),
        "COMPOSE_PATH_SEPARATOR": ":",
    }
    for name, part, separator in (
        ("COMPOSE_FILE", ours, known.get("COMPOSE_PATH_SEPARATOR") or ":"),
        ("NO_PROXY", "litellm", ","),
    ):
        if known.get(name) and part not in known[name].split(separator):
            text = _extended(text, name, f"{separator}{part}")
            print(f"added   {part} to {name} in .env")
    if added := {name: value for name, value in wanted.items() if not known.get(name)}:
        lines = "".join(f"{name}={value}\n" for name, value in added.items())
        text = f"{text.rstrip()}\n\n# LiteLLM with the Impact Service's callback\n{lines}"
        print(f"added   {', '.join(added)} to .env")
    if known.get("ENDPOINTS", wanted["ENDPOINTS"]) != wanted["ENDPOINTS"]:
        print("kept    ENDPOINTS in .env: what is not custom or agents there goes past the proxy")
    if known.get("LITELLM_KEY", "") not in ("", key):
        print("kept    LITELLM_KEY in .env: it is not LITELLM_MASTER_KEY of deploy/.env")
    if text != before:
        path.write_text(text)


def _variables(text: str) -> dict[str, str]:
    """The variables that an .env file sets; the last one counts."""
    found = re.findall(r"(?m)^(?:export )?([A-Za-z_]+)=(.*)$", text)
    return {name: re.sub(r"\s+#.*", "", value).strip().strip("'\"") for name, value in found}


def _extended(text: str, name: str, added: str) -> str:
    """Append to the value of a variable that is set."""
    return re.sub(
        rf"(?m)^((?:export )?{name}=)(['\"]?)([^'\"\n]*?)(['\"]?)(\s+#.*|[ \t]*)$",
        rf"\g<1>\2\3{added}\4\5",
        text,
    )


def _shown(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    sys.exit(main())
