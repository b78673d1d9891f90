"""deploy/librechat.py, in a LibreChat as it comes and in one with files of its own, for Docker Compose."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import PROJECT

COMPOSE = """
services:
  api:
    image: librechat
    ports: ["${PORT}:${PORT}"]
    depends_on: [mongodb]
    environment:
      - HOST=0.0.0.0
      - NO_PROXY=${NO_PROXY:-localhost,127.0.0.1,::1},${no_proxy:-},mongodb
    volumes:
      - { type: bind, source: ./.env, target: /app/.env }
  mongodb:
    image: mongo
"""
"""What matters here of LibreChat's docker-compose.yml."""

OVERRIDE = """
services:
  api:
    image: librechat:pinned
    volumes:
      - { type: bind, source: ./mine.yaml, target: /app/librechat.yaml }
  metrics:
    image: prometheus
"""
MINE = "version: 1.2.1\nendpoints: { custom: [{ name: Mine }] }\n"

Check = Callable[[Path], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """LibreChat's folder, with this project beside it."""
    service = tmp_path / "impact-service"
    ignored = shutil.ignore_patterns(".env", "__pycache__")
    for part in ("deploy", "layers/callback"):
        shutil.copytree(PROJECT / part, service / part, ignore=ignored)
    librechat = tmp_path / "LibreChat"
    librechat.mkdir()
    (librechat / "docker-compose.yml").write_text(COMPOSE)
    (librechat / ".env").write_text("PORT=3080\nLITELLM_KEY=\n#ENDPOINTS=openAI\n")
    return librechat


def set_up(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "../impact-service/deploy/librechat.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def variables(path: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in path.read_text().splitlines() if "=" in line and line[0] != "#")
    return {name: value for name, _, value in lines}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Check:
    """`docker compose config`, or else its library, which Go builds."""
    command = ["docker", "compose", "config", "--format=json"]
    if (
        not shutil.which("docker")
        or subprocess.run([*command[:2], "version"], capture_output=True, check=False).returncode
    ):
        if not shutil.which("go"):
            pytest.skip("neither Docker Compose nor Go is here")
        program = tmp_path_factory.mktemp("compose") / "config"
        build = ["go", "build", "-o", str(program), "."]
        built = subprocess.run(
            build, cwd=PROJECT / "tests/compose", capture_output=True, text=True, check=False
        )
        if built.returncode:
            pytest.skip(f"Go cannot get the library of Docker Compose: {built.stderr[-200:]}")
        command = [str(program)]
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    def check(folder: Path) -> Any:
        ran = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return check


@pytest.mark.long
def test_a_librechat_as_it_comes(folder: Path, config: Check) -> None:
    ran = set_up(folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    services = config(folder)["services"]
    assert {volume["target"] for volume in services["api"]["volumes"]} == {"/app/.env", "/app/librechat.yaml"}
    assert "litellm" in services["api"]["environment"]["NO_PROXY"].split(",")
    assert set(services["api"]["depends_on"]) == {"mongodb", "litellm"}
    proxy = services["litellm"]
    assert proxy["build"]["context"] == str(folder.parent / "impact-service/layers/callback")
    key = variables(folder / ".env")["LITELLM_KEY"]
    assert proxy["environment"]["LITELLM_MASTER_KEY"] == key
    assert proxy["environment"]["IMPACT_SERVICE_URL"].startswith("http://host.docker.internal:3090/")


@pytest.mark.long
def test_a_librechat_with_files_of_its_own_keeps_them(folder: Path, config: Check) -> None:
    (folder / "docker-compose.override.yml").write_text(OVERRIDE)
    (folder / "librechat.yaml").write_text(MINE)
    own = "PORT=3080\nNO_PROXY=intranet\nENDPOINTS='openAI,custom'\n"
    (folder / ".env").write_text(own)
    ran = set_up(folder)
    assert ran.returncode == 0
    assert "add to it the endpoint of ../impact-service/deploy/librechat.yaml" in ran.stdout
    assert "what is not custom or agents there goes past the proxy" in ran.stdout
    assert (folder / "librechat.yaml").read_text() == MINE
    assert (folder / "docker-compose.override.yml").read_text() == OVERRIDE
    assert variables(folder / ".env")["ENDPOINTS"] == "'openAI,custom'"
    services = config(folder)["services"]
    assert {"api", "mongodb", "metrics", "litellm"} == services.keys()
    assert services["api"]["image"] == "librechat:pinned"
    mounted = [v["source"] for v in services["api"]["volumes"] if v["target"] == "/app/librechat.yaml"]
    assert mounted == [str(folder / "librechat.yaml")]
    assert {"intranet", "litellm"} <= set(services["api"]["environment"]["NO_PROXY"].split(","))


@pytest.mark.long
def test_compose_files_that_are_named_stay_named(folder: Path, config: Check) -> None:
    (folder / "mine.yml").write_text("services: { metrics: { image: prometheus } }\n")
    (folder / ".env").write_text('PORT=3080\nCOMPOSE_FILE="docker-compose.yml:mine.yml"\n')
    assert set_up(folder).returncode == 0
    assert {"metrics", "litellm"} < config(folder)["services"].keys()


def test_a_second_time_changes_nothing(folder: Path) -> None:
    set_up(folder)
    files = [folder / ".env", folder / "librechat.yaml", folder.parent / "impact-service/deploy/.env"]
    before = [path.read_bytes() for path in files]
    ran = set_up(folder)
    assert ran.returncode == 0
    assert "added" not in ran.stdout
    assert [path.read_bytes() for path in files] == before


def test_the_proxys_secrets_are_their_owners_only(folder: Path) -> None:
    set_up(folder)
    secrets = folder.parent / "impact-service/deploy/.env"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert variables(secrets)["LITELLM_MASTER_KEY"].startswith("sk-")


def test_a_key_that_is_there_is_used(folder: Path) -> None:
    (folder.parent / "impact-service/deploy/.env").write_text("LITELLM_MASTER_KEY=sk-mine\n")
    set_up(folder)
    assert variables(folder / ".env")["LITELLM_KEY"] == "sk-mine"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("docker-compose.yml", "There is no docker-compose.yml here. Run this in LibreChat's folder.\n"),
        (".env", "There is no .env here. Make it first: cp .env.example .env\n"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_made(folder: Path, missing: str, message: str) -> None:
    (folder / missing).unlink()
    ran = set_up(folder)
    assert (ran.returncode, ran.stderr) == (1, message)
    assert not (folder / "librechat.yaml").exists()
    assert not (folder.parent / "impact-service/deploy/.env").exists()


def test_an_empty_key_of_the_proxy_is_not_handed_on(folder: Path) -> None:
    (folder.parent / "impact-service/deploy/.env").write_text("LITELLM_MASTER_KEY=\n")
    ran = set_up(folder)
    assert ran.returncode == 1
    assert "LITELLM_MASTER_KEY is empty in ../impact-service/deploy/.env. Fill it in" in ran.stderr
    assert "COMPOSE_FILE" not in (folder / ".env").read_text()
