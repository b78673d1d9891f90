"""`sam build` for AWS: no Docker, no Python 3.13, no arm64 and no uv needed."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.regions import EndpointResolver

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
REQUIREMENTS = "functions/requirements.txt"
UNCHECKED_HASH = 0b01
"""The flags of a .pyc that Python takes without a look at its source (PEP 552)."""
HASH_SOURCES = """
import importlib.util, json, pathlib
sources = pathlib.Path().rglob("*.py")
print(json.dumps({str(path): importlib.util.source_hash(path.read_bytes()).hex() for path in sources}))
"""
TOOLS = ("cp", "find", "make", "mkdir", "rm", "sh", "tar", "touch")

python_313 = subprocess.check_output(
    ["make", "--silent", "--file=functions/Makefile", "python"], cwd=PROJECT, text=True
).strip()
needs_python_313 = pytest.mark.skipif(not python_313, reason="no Python 3.13 here: the zip has no bytecode")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `sam build` makes."""
    folder = tmp_path_factory.mktemp("build") / "build"
    sam("build", f"--build-dir={folder}")
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What somebody has who has just the repository: no .venv, and no packages of an earlier build."""
    for name in ("functions", "layers"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "template.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH, with the programs that every machine has: no Python and no uv."""
    folder = tmp_path_factory.mktemp("tools")
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name) or f"/{name} is missing")
    return folder


def environment(tools: Path) -> dict[str, str]:
    return os.environ | {"PATH": str(tools), "HOME": str(tools), "UV_PYTHON_DOWNLOADS": "never"}


def add(tools: Path, name: str, command: str) -> None:
    (tools / name).write_text(f"#!{tools / 'sh'}\n{command}\n")
    (tools / name).chmod(0o755)


def add_python(tools: Path) -> None:
    add(tools, "python3", f'exec {sys.executable} "$@"')


def add_pip(tools: Path) -> None:
    """Nothing to add: Python brings it."""


def add_uv(tools: Path) -> None:
    (tools / "uv").symlink_to(PROJECT / ".venv" / "bin" / "uv")


def make(project: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Build the zip of one function, as `sam build` does."""
    command = [
        "make",
        "--file=functions/Makefile",
        "build-IngestFunction",
        f"ARTIFACTS_DIR={project / 'zip'}",
    ]
    (project / "zip").mkdir()
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_function_gets_the_same_zip(build: Path) -> None:
    first, *others = (content(build / f"{name}Function") for name in FUNCTIONS)
    assert all(other == first for other in others)  # so it is uploaded once
    assert set(first) >= NEEDED
    assert not [path for path in first if path.startswith(("tests", "Makefile", "."))]


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


@needs_python_313
def test_each_module_has_bytecode_that_is_valid_in_a_zip(build: Path) -> None:
    files = content(build / "IngestFunction")
    hashes = subprocess.check_output(
        [python_313, "-c", HASH_SOURCES], cwd=build / "IngestFunction", text=True
    )
    for path, source_hash in json.loads(hashes).items():
        folder, name = os.path.split(path)
        bytecode = files.pop(os.path.join(folder, "__pycache__", f"{name[:-3]}.cpython-313.pyc"))
        assert int.from_bytes(bytecode[4:8], "little") == UNCHECKED_HASH, path
        assert bytecode[8:16].hex() == source_hash, path
        assert f"/var/task/{path}".encode() in bytecode, path  # in tracebacks: not this machine's path
    assert not [path for path in files if path.endswith(".pyc")]


@needs_python_313
@pytest.mark.parametrize("name", ["ingest", "summaries", "rollup_worker"])
def test_a_cold_start_compiles_nothing(build: Path, tmp_path: Path, name: str) -> None:
    unpacked = shutil.copytree(build / "IngestFunction", tmp_path / "unpacked")
    for path in unpacked.rglob("*.py"):
        path.write_text("raise SystemExit(f'{__file__} is compiled')")
        os.utime(path, (0, 0))
    command = [python_313, "-c", f"import {name}.app"]
    variables = os.environ | {"PYTHONPATH": str(unpacked), "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9"}
    ran = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_somebody_with_just_sam_and_pip_gets_the_same_zip(build: Path, copy: Path, tools: Path) -> None:
    add_python(tools)
    if python_313:
        add(tools, "python3.13", f'exec {python_313} "$@"')
    sam("build", project=copy, environment=environment(tools))
    for name in (*(f"{name}Function" for name in FUNCTIONS), "CallbackLayer"):
        assert content(copy / ".aws-sam" / "build" / name) == content(build / name)


@pytest.mark.parametrize("add_installer", [add_pip, add_uv])
def test_without_the_functions_own_python_the_build_says_what_is_slower(
    copy: Path, tools: Path, add_installer: Callable[[Path], None]
) -> None:
    add_python(tools)
    add_installer(tools)
    ran = make(copy, environment(tools))
    assert ran.returncode == 0, ran.stderr
    [line] = [line for line in ran.stdout.splitlines() if "Python 3.13" in line]
    assert line.startswith(
        "There is no Python 3.13 here to write bytecode: cold starts will take twice as long"
    )
    files = content(copy / "zip")
    assert set(files) >= NEEDED
    assert not [path for path in files if path.endswith(".pyc")]


def test_without_uv_and_pip_the_build_says_what_to_install(copy: Path, tools: Path) -> None:
    add(tools, "python3", 'test "$1" != -m || { echo "No module named $2" >&2; exit 1; }')
    with pytest.raises(RuntimeError) as refused:
        sam("build", project=copy, environment=environment(tools))
    assert "The build needs uv (https://docs.astral.sh/uv) or pip: install one of them" in str(refused.value)
    assert "No module named" not in str(refused.value)


@pytest.mark.parametrize(
    ("add_installer", "refusals"),
    [
        (add_uv, ("Hash mismatch for `defusedxml", "all requirements must have a hash")),
        (add_pip, ("DO NOT MATCH THE HASHES", "Hashes are required in --require-hashes mode")),
    ],
)
def test_nothing_goes_into_the_zip_but_what_the_lock_has_the_hash_of(
    copy: Path, tools: Path, add_installer: Callable[[Path], None], refusals: tuple[str, str]
) -> None:
    add_python(tools)
    add_installer(tools)
    locked = (copy / REQUIREMENTS).read_text()
    [package] = re.findall(r"(?m)^defusedxml.*\n(?: .*\n)+", locked)
    another = re.sub("sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", package)
    none = package.partition(" ")[0] + "\n"
    for changed, refusal in zip((another, none), refusals, strict=True):
        (copy / REQUIREMENTS).write_text(locked.replace(package, changed))
        ran = make(copy, environment(tools))
        assert ran.returncode
        assert refusal in ran.stderr, ran.stderr
        (copy / "zip").rmdir()  # it is empty


def test_the_requirements_are_those_of_the_lock() -> None:
    stated = (PROJECT / REQUIREMENTS).read_text()
    command = re.findall(r"uv export (.*) --output-file", stated)[0].split()
    locked = subprocess.check_output(
        [".venv/bin/uv", "export", "--quiet", "--no-header", *command], cwd=PROJECT, text=True
    )
    assert stated.endswith(f"\n{locked}"), "Run `make lock`."


def test_the_zip_knows_the_endpoints_of_its_two_services_and_no_others(build: Path) -> None:
    file = build / "IngestFunction" / "botocore" / "data" / "endpoints.json"
    endpoints = json.loads(file.read_text())
    resolver = EndpointResolver(endpoints)
    for partition in endpoints["partitions"]:
        assert set(partition["services"]) <= {"dynamodb", "sqs"}
        for region in partition["regions"]:
            endpoint = resolver.construct_endpoint("dynamodb", region) or {}
            assert endpoint["hostname"] == f"dynamodb.{region}.{partition['dnsSuffix']}"
    assert set(endpoints["partitions"][0]["services"]) == {"dynamodb", "sqs"}
