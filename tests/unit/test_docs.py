"""The documentation: every link, and every file, test and command that it or the code names, is there."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
PAGES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")]
FOLDERS = (
    "functions",
    "layers",
    "cli",
    "local",
    "tests",
    "benchmarks",
    "deploy",
    "events",
    "docs",
    ".github",
)
CODE = [
    path
    for path in chain.from_iterable((PROJECT / folder).rglob("*") for folder in FOLDERS)
    if path.suffix in {".py", ".toml", ".yaml", ".yml", ".example"}
] + [PROJECT / name for name in ("template.yaml", "samconfig.toml", "Makefile", "pyproject.toml", ".ci/run")]
READERS = "developer|integrator|operator|finance|sustainability officer"
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"(?ms)^```.*?^```$|^    .*?$", "", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_nowhere(link: str, folder: Path) -> bool:
    name, _, anchor = link.partition("#")
    target = folder / name
    return not target.exists() or (bool(anchor) and anchor not in anchors(target))


@pages
def test_links_lead_somewhere(page: Path) -> None:
    links = [
        link if not link.startswith("#") else page.name + link
        for link in re.findall(r"\]\(([^)\s]+)\)", prose(page))
        if not re.match(r"[a-z]+:", link)
    ]
    assert [link for link in links if leads_nowhere(link, page.parent)] == []


def test_pages_that_code_names_are_there() -> None:
    named = {
        (path.relative_to(PROJECT), page + anchor)
        for path in CODE
        for page, anchor in re.findall(
            r"(?<![\w/.])(docs/[\w-]+\.(?:md|json)|[A-Z]{4,}\.md)(#[\w-]+)?", path.read_text()
        )
    }
    assert named
    assert [(path, page) for path, page in named if leads_nowhere(page, PROJECT)] == []


def named_files(page: Path) -> Iterator[tuple[str, str]]:
    """Each file of the project that a page names, from the root, tests/ or beside it, and the test in it."""
    in_words = re.findall(r"`([^`\n]+)`", page.read_text())
    for word in chain.from_iterable(words.split() for words in in_words):
        if re.match(r"[\w.]+/[\w./-]+\.(py|md|toml|ya?ml|json)(::|$)", word):
            name, _, test = word.removeprefix("../impact-service/").partition("::")
            yield name, test


@pages
def test_files_and_tests_that_a_page_names_are_there(page: Path) -> None:
    for name, test in named_files(page):
        found = [path for path in (PROJECT / name, PROJECT / "tests" / name) if path.exists()]
        if not name.startswith("ecologits/"):  # a file of that package
            assert found, name
            assert f"def {test}" in found[0].read_text() or not test, f"{name}::{test}"


@pages
def test_commands_that_a_page_names_are_there(page: Path) -> None:
    modules = set(re.findall(r"-m ((?:local|tests|benchmarks)[\w.]*)", page.read_text()))
    paths = {PROJECT / module.replace(".", "/") for module in modules}
    assert [path for path in paths if not (path.is_dir() or path.with_suffix(".py").is_file())] == []
    targets = set(re.findall(r"(?m)^([a-z-]+):", (PROJECT / "Makefile").read_text()))
    assert set(re.findall(r"(?m)(?:^    |`)make ([a-z][a-z-]*)", page.read_text())) <= targets


def test_the_map_names_every_module() -> None:
    readme = (PROJECT / "README.md").read_text()
    for folder in ("functions/impact", "layers/callback/request_events", "cli/impact_cli"):
        modules = {path.name for path in (PROJECT / folder).glob("*.py")} - {"__init__.py"}
        _, _, section = readme.partition(f"\n`{folder}/`:\n")
        named = set(re.findall(r"`(\w+\.py)`", re.split(r"\n\n(?!\|)", section.lstrip())[0]))
        assert named == modules, folder
    assert len(readme.splitlines()) <= 150


SMALL = {
    *("config", "decimals", "observability", "store", "types"),
    *("delivery_log", "file_lock", "litellm_queue", "payload_values", "segment"),
}
"""Modules that are tested with the ones that use them."""


def test_each_module_has_tests_of_its_name() -> None:
    tests = {path.stem for path in (PROJECT / "tests").rglob("test_*.py")}
    for folder in ("functions/impact", "layers/callback/request_events"):
        for module in {path.stem for path in (PROJECT / folder).glob("*.py")} - SMALL - {"__init__"}:
            assert any(f"{test}_".startswith(f"test_{module}_") for test in tests), module
    for function in (PROJECT / "functions").glob("*/app.py"):
        assert f"test_{function.parent.name}" in tests


@pytest.mark.parametrize("page", [*PROJECT.glob("docs/*.md")], ids=lambda page: page.name)
def test_a_page_says_whom_it_is_for(page: Path) -> None:
    _, _, first, *_ = page.read_text().splitlines()
    assert re.match(rf"For [a-z ]*({READERS})", first)


@pytest.mark.parametrize("name", [".github/workflows/ci.yml", ".pre-commit-config.yaml"])
def test_what_others_run_can_be_read_and_is_pinned(name: str) -> None:
    content = (PROJECT / name).read_text()
    assert yaml.safe_load(content)
    assert re.findall(r"uses: \S+@(?![0-9a-f]{40} # v\d)", content) == []


def test_the_lines_of_the_proxys_log_in_the_runbook_are_those_that_it_logs() -> None:
    section = (
        (PROJECT / "docs/runbook.md")
        .read_text()
        .partition("## The proxy's outbox grows")[2]
        .partition("\n## ")[0]
    )
    quoted = re.findall(r"`([^`]+)`", "".join(re.findall(r"(?m)^\| (`.*?) \|", section)))
    sources = (PROJECT / "layers" / "callback" / "request_events").glob("*.py")
    logged = re.sub(r"%d|%s|\{[^}]+\}", "...", "".join(path.read_text() for path in sources))
    logged = re.sub(r'"\s+f?"', "", logged).replace("%%", "%").replace(".../", "rejected/")
    lines = [re.sub(r" \d+$", "", line) for line in quoted if not line.isdigit()]
    assert len(lines) > 8
    assert [line for line in lines if line not in logged] == []


def test_the_lines_of_the_proxys_log_in_the_page_on_the_outbox_are_those_that_it_logs() -> None:
    """Each part between what the page leaves open: N, HOST, REASON ..."""
    rows = re.findall(r"(?m)^\| (?:WARNING|ERROR) \| (.*?) \| ", (PROJECT / "docs/outbox.md").read_text())
    callback = PROJECT / "layers" / "callback"
    sources = "".join(path.read_text() for path in callback.rglob("*.py"))
    logged = re.sub(r"%d|%s|\{[^}]+\}", "...", re.sub(r'"\s+f?"', "", sources)).replace("%%", "%")
    left_open = r"\.\.\.|[;:,()]|\b(?:(?!MB|URL)[A-Z]+|HTTPS_PROXY|ahead of|kept in|rejected/)(?!\w)"
    lines = [line for row in rows for line in re.findall(r"`([^`]+)`", row)]
    assert len(lines) > 25
    parts = [part.strip() for line in lines for part in re.split(left_open, line)]
    assert [part for part in parts if part not in logged] == []
