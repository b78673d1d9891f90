"""A copy of the project to run commands in, and a running `make local`."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from dotenv import dotenv_values

from local import PROJECT
from local.stack import free_port
from local.waiting import wait_until
from tests.children import child


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, including uncommitted files, with the installed environments."""
    if not (PROJECT / ".git").exists():
        pytest.skip("this is not a git clone")
    copy = tmp_path_factory.mktemp("make") / "project"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(copy)], check=True)
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.check_output(listing, cwd=PROJECT, text=True).split("\0")[:-1]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / name).exists():
            shutil.copy2(PROJECT / name, copy / name)
        else:
            (copy / name).unlink(missing_ok=True)
    for name in (".venv", ".venv-proxy"):
        (copy / name).symlink_to(PROJECT / name)
    for name in ("pyproject.toml", "layers/callback/pyproject.toml", "cli/pyproject.toml", "uv.lock"):
        os.utime(copy / name, (0, 0))  # older than the environments: so no command updates these
    subprocess.run(["git", "add", "--all"], cwd=copy, check=True)
    return copy


@pytest.fixture(scope="module")
def local(project: Path) -> Iterator[dict[str, str]]:
    """The environment variables in `.local.env` of a running `make local`."""
    command = ["make", "local", f"PORT={free_port()}", f"MINISTACK_PORT={free_port()}"]
    with child(command, cwd=project, stdout=subprocess.DEVNULL) as process:
        file = project / ".local.env"
        wait_until(lambda: file.exists() or process.poll() is not None, "make local to be ready")
        values = {name: value or "" for name, value in dotenv_values(file).items()}
        dynamodb = boto3.client(
            "dynamodb",
            endpoint_url=values["AWS_ENDPOINT_URL"],
            region_name=values["AWS_REGION"],
            aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
        )
        dynamodb.restore_table_to_point_in_time(
            SourceTableName="impact-State", TargetTableName="restored", UseLatestRestorableTime=True
        )
        yield values
