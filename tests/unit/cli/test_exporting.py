"""An export to a file can be stopped at any point and continued: the file is the same."""

import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from impact_cli.exporting import CannotExport, Step, to_file, to_folder, to_stdout

IDENTITY = {"format": "csv", "from": "2026-11-01"}
HEADER = "day,text\n"


class Stopped(Exception):
    """In place of a process that is killed."""


def steps(sizes: list[int], *, stop_at: int | None = None) -> list[Step]:
    """Steps with so many lines. The export is stopped before it writes line `stop_at`, over all steps."""
    written = 0

    def lines(number: int, size: int) -> Iterator[str]:
        nonlocal written
        for line in range(size):
            if written == stop_at:
                raise Stopped
            written += 1
            yield f"{number},zoë {line}\n"

    return [
        Step(f"day {number}", lambda n=number, s=size: lines(n, s), lambda n=number: {"day": n})  # type: ignore[misc]
        for number, size in enumerate(sizes)
    ]


def expected(sizes: list[int]) -> str:
    return HEADER + "".join(f"{n},zoë {line}\n" for n, size in enumerate(sizes) for line in range(size))


@given(st.lists(st.integers(0, 5), max_size=6), st.lists(st.integers(0, 30), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_stopped_export_continues(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], stops: list[int]
) -> None:
    path = tmp_path_factory.mktemp("export") / "out.csv"
    for stop in stops:
        try:
            to_file(path, HEADER, steps(sizes, stop_at=stop), IDENTITY, overwrite=False)
        except Stopped:
            assert not path.exists()
        else:
            break
    results = (
        to_file(path, HEADER, steps(sizes), IDENTITY, overwrite=False)
        if not path.exists()
        else [{"day": number} for number in range(len(sizes))]
    )
    assert path.read_text() == expected(sizes)
    assert results == [{"day": number} for number in range(len(sizes))]
    assert [entry.name for entry in path.parent.iterdir()] == ["out.csv"]


def test_what_was_written_after_the_last_complete_step_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with pytest.raises(Stopped):
        to_file(path, HEADER, steps([2, 3], stop_at=4), IDENTITY, overwrite=False)
    with (tmp_path / "out.csv.part").open("a") as part:
        part.write("half a li")
    to_file(path, HEADER, steps([2, 3]), IDENTITY, overwrite=False)
    assert path.read_text() == expected([2, 3])


def test_another_export_of_that_name_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with pytest.raises(Stopped):
        to_file(path, HEADER, steps([2, 3], stop_at=3), IDENTITY, overwrite=False)
    with pytest.raises(CannotExport, match=r"out.csv.part is of another export that was stopped"):
        to_file(path, HEADER, steps([2, 3]), {**IDENTITY, "from": "2026-10-01"}, overwrite=False)
    (tmp_path / "out.csv.part").write_text("")
    with pytest.raises(CannotExport, match="shorter than it was"):
        to_file(path, HEADER, steps([2, 3]), IDENTITY, overwrite=False)


def test_an_export_whose_days_are_others_by_now_begins_again(tmp_path: Path) -> None:
    """A late event gave a day its first user, or an erasure took its last one."""
    path = tmp_path / "out.csv"
    with pytest.raises(Stopped):
        to_file(path, HEADER, steps([1, 1, 1], stop_at=1)[1:], IDENTITY, overwrite=False)
    to_file(path, HEADER, steps([1, 1, 1]), IDENTITY, overwrite=False)
    assert path.read_text() == expected([1, 1, 1])


def test_two_runs_at_once_do_not_write_into_one_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    def lines() -> Iterator[str]:
        yield "0,zoë 0\n"
        with pytest.raises(CannotExport, match=r"out.csv.part is being written by another run"):
            to_file(path, HEADER, steps([1]), IDENTITY, overwrite=False)

    to_file(path, HEADER, [Step("day 0", lines)], IDENTITY, overwrite=False)
    assert path.read_text() == expected([1])


@pytest.mark.parametrize("damaged", ["", "{", "[]", "null", '{"export": 1}'])
def test_a_damaged_note_is_reported(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "out.csv.part.json").write_text(damaged)
    with pytest.raises(CannotExport, match=r"Delete out.csv.part and out.csv.part.json"):
        to_file(tmp_path / "out.csv", HEADER, steps([1]), IDENTITY, overwrite=False)


def test_a_file_that_is_there_is_replaced_only_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("mine")
    with pytest.raises(CannotExport, match=r"is there already. Give --overwrite"):
        to_file(path, HEADER, steps([1]), IDENTITY, overwrite=False)
    assert path.read_text() == "mine"
    to_file(path, HEADER, steps([1]), IDENTITY, overwrite=True)
    assert path.read_text() == expected([1])


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CannotExport, match=r"cannot be written: No such file or directory"):
        to_file(tmp_path / "no" / "out.csv", HEADER, steps([1]), IDENTITY, overwrite=False)


def test_a_full_disk_is_reported_and_the_export_continues(tmp_path: Path) -> None:
    """Python writes the rest when it closes the file: this fails too."""
    path, sizes = tmp_path / "out.csv", [300, 300]
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, former[1]))
    try:
        with pytest.raises(CannotExport, match=r"cannot be written: File too large\. The same command"):
            to_file(path, HEADER, steps(sizes), IDENTITY, overwrite=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    to_file(path, HEADER, steps(sizes), IDENTITY, overwrite=False)
    assert path.read_text() == expected(sizes)


def test_standard_output_gets_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    to_stdout(HEADER, steps([2, 0, 1]))
    assert capsys.readouterr() == (expected([2, 0, 1]), "")


def files(names: list[str], fails: str = "") -> list[tuple[str, Any]]:
    def write(path: Path) -> None:
        path.write_text("half")
        if fails and fails in path.name:
            raise Stopped
        path.write_text("whole")

    return [(name, write) for name in names]


def test_a_folder_continues_too(tmp_path: Path) -> None:
    folder, names = tmp_path / "out", ["day=1/a", "day=2/b", "day=2/c"]
    with pytest.raises(Stopped):
        to_folder(folder, files(names, fails="b"), IDENTITY, overwrite=False)
    assert json.loads((folder / ".impact-export.json").read_text())["steps"] == ["day=1/a"]
    with pytest.raises(CannotExport, match="of another export"):
        to_folder(folder, files(names), {}, overwrite=False)
    to_folder(folder, files(names), IDENTITY, overwrite=False)
    there = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert there == dict.fromkeys(names, "whole")
    with pytest.raises(CannotExport, match=r"is not empty. Give --overwrite"):
        to_folder(folder, files(names), IDENTITY, overwrite=False)
    to_folder(folder, files(names), IDENTITY, overwrite=True)


def test_two_runs_at_once_do_not_write_into_one_folder(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        with pytest.raises(CannotExport, match="is being written by another run"):
            to_folder(tmp_path, files(["day=1/a.parquet"]), IDENTITY, overwrite=True)
        path.write_text("whole")

    to_folder(tmp_path, [("day=1/a.parquet", write)], IDENTITY, overwrite=True)
    assert (tmp_path / "day=1" / "a.parquet").read_text() == "whole"


def test_no_file_of_an_earlier_export_stays_in_the_folder(tmp_path: Path) -> None:
    """Whoever reads the folder would add it up too: another range, or a day whose only user was erased."""
    to_folder(tmp_path / "out", files(["day=1/a.parquet", "day=2/a.parquet"]), IDENTITY, overwrite=False)
    (tmp_path / "out" / "README").write_text("mine")
    to_folder(tmp_path / "out", files(["day=2/a.parquet", "day=3/a.parquet"]), IDENTITY, overwrite=True)
    there = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert there == {"a.parquet", "README"}
    assert [path.parent.name for path in sorted((tmp_path / "out").rglob("*.parquet"))] == ["day=2", "day=3"]


def test_only_the_owner_can_look_into_the_folder(tmp_path: Path) -> None:
    to_folder(tmp_path / "out", files(["day=1/a.parquet"]), IDENTITY, overwrite=False)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
