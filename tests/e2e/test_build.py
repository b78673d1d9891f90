"""`sam build` for AWS: no Docker, no Python 3.13, no arm64 needed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from local import PROJECT
from local.stack.sam import sam

FUNCTIONS = ["Authorizer", "Ingest", "Rates", "Rollup", "RollupWorker", "Summaries"]
NEEDED = {
    "ingest/app.py",
    "impact/ledger_entry.py",
    "impact/ecologits_models.toml",
    "request_events/event.py",
    "pydantic/__init__.py",
}
PLATFORMS = ["cpython-313-aarch64-linux-gnu", "cpython-313-x86_64-linux-gnu"]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `sam build` makes."""
    folder = tmp_path_factory.mktemp("build") / "build"
    sam("build", f"--build-dir={folder}")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_function_gets_the_same_zip(build: Path) -> None:
    first, *others = (content(build / f"{name}Function") for name in FUNCTIONS)
    assert all(other == first for other in others)  # so it is uploaded once
    assert set(first) >= NEEDED
    assert not [path for path in first if path.endswith(".pyc") or path.startswith(("tests", "Makefile"))]


def test_it_runs_on_both_architectures(build: Path) -> None:
    extensions = [path.name for path in (build / "IngestFunction").rglob("*.so")]
    per_platform = [
        {name.partition(".")[0] for name in extensions if platform in name} for platform in PLATFORMS
    ]
    assert per_platform[0] == per_platform[1] >= {"_pydantic_core"}
    assert len(extensions) == sum(map(len, per_platform))


def test_the_layer_is_what_a_proxy_imports(build: Path) -> None:
    python = build / "CallbackLayer" / "python"
    assert {path.name for path in python.iterdir()} == {"litellm_callbacks.py", "request_events"}


@pytest.mark.parametrize(
    ("change", "refusal"),
    [("0" * 64, "Hash mismatch for `defusedxml"), (None, "all requirements must have a hash")],
    ids=["another hash", "no hash"],
)
def test_nothing_goes_into_the_zip_but_what_the_lock_has_the_hash_of(
    tmp_path: Path, change: str | None, refusal: str
) -> None:
    for name in ("pyproject.toml", "layers/callback/pyproject.toml", "functions/Makefile"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(PROJECT / ".venv")
    lock = (PROJECT / "uv.lock").read_text()
    [package] = re.findall(r'\[\[package\]\]\nname = "defusedxml".*?(?=\[\[package)', lock, re.DOTALL)
    hashed = re.compile(r', hash = "sha256:[0-9a-f]{64}"')
    changed = hashed.sub(f', hash = "sha256:{change}"' if change else "", package)
    (tmp_path / "uv.lock").write_text(lock.replace(package, changed))
    command = [
        "make",
        "--file=functions/Makefile",
        "build-IngestFunction",
        f"ARTIFACTS_DIR={tmp_path / 'zip'}",
    ]
    ran = subprocess.run([*command, "PLATFORMS="], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode
    assert refusal in ran.stderr, ran.stderr
    assert not (tmp_path / "zip").exists()
