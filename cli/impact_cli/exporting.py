"""Files of any size: written step by step in constant memory, and continued after a stop.

An export is a sequence of steps, such as the days of a range. Each step writes its lines. To a file, what is
complete is noted beside it, so that the next run of the same export continues there.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click
import simplejson

from impact_cli.output import note, write
from impact_cli.progress import Progress
from impact_cli.records import Record, to_json
from request_events.file_lock import HAS_LOCKS, try_lock

ENCODING = "utf-8"


class CannotExport(click.ClickException):
    """Nothing was exported, or not all. The text says why, and what to do."""


Part = tuple[str, Callable[[], Iterable[Record]]]
"""A part of an export: its name, and its records."""


@dataclass(frozen=True)
class Step:
    """A part of an export: it is written as a whole, or begun again."""

    name: str
    lines: Callable[[], Iterator[str]]
    """Yields the lines of the step, each with its end."""
    result: Callable[[], Any] = lambda: None
    """Returns what is known after the last line, and kept with the file's state: plain JSON."""


def to_stdout(header: str, steps: Sequence[Step]) -> None:
    """Write an export to standard output."""
    write(header)
    progress = Progress(is_wanted=not sys.stdout.isatty())  # it would stand between the lines
    for number, step in enumerate(steps, start=1):
        for line in progress.of(step.lines(), f"lines of {step.name}, step {number} of {len(steps)}"):
            write(line)


def to_file(
    path: Path, header: str, steps: Sequence[Step], identity: Mapping[str, Any], *, overwrite: bool
) -> list[Any]:
    """Write an export to a file, and return the steps' results.

    The file has its name once it is whole; until then it is `<name>.part`.

    `identity` says which export this is. Raises CannotExport if the file is there, or if another export of
    that name was stopped.
    """
    if path.exists() and not path.is_file():
        raise CannotExport(f"{path} is no file. Give --output another name.")
    if path.exists() and not overwrite:
        raise CannotExport(f"{path} is there already. Give --overwrite to replace it.")
    part = path.with_name(f"{path.name}.part")
    others = (
        f"{part} is of another export that was stopped."
        f" Delete {part.name} and {part.name}.json, or choose another file."
    )
    state = _State(part.with_name(f"{part.name}.json"), dict(identity), others)
    names = [step.name for step in steps]
    with _opened(part) as file:
        results, size = _continued(state, names)
        _cut(file, part, size)
        if results:
            note(f"It continues an export that was stopped: {len(results)} of {len(steps)} steps are done.")
        else:
            file.write(header.encode(ENCODING))
        progress = Progress()
        for number, step in enumerate(steps[len(results) :], start=len(results) + 1):
            for line in progress.of(step.lines(), f"lines of {step.name}, step {number} of {len(steps)}"):
                file.write(line.encode(ENCODING))
            file.flush()
            os.fsync(file.fileno())
            results.append(step.result())
            state.write(names[: len(results)], results, file.tell())
    part.replace(path)
    state.forget()
    return results


@contextmanager
def _opened(part: Path) -> Iterator[IO[bytes]]:
    """Open the file that is being written, for this run alone. Raises CannotExport."""
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotExport(f"{part} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "r+b") as file:  # its end writes too
            _lock(descriptor, part)
            yield file
    except OSError as error:
        raise CannotExport(
            f"{part} cannot be written: {error.strerror}. The same command continues."
        ) from None


def _lock(descriptor: int, path: Path) -> None:
    """Raises CannotExport if another run writes there, or has just ended and renamed the file."""
    if (
        not try_lock(descriptor)
        or not path.exists()
        or not os.path.samestat(os.fstat(descriptor), path.stat())
    ):
        raise CannotExport(
            f"{path} is being written by another run of this command. Wait until it has ended."
        )


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Raises CannotExport if another run writes into the folder."""
    if not HAS_LOCKS:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _continued(state: "_State", names: Sequence[str]) -> tuple[list[Any], int]:
    """Return the results of the steps that are done, and their bytes. `names` are those of all steps.

    Nothing is done if the steps were others: a day may have got its first event since, or lost its last one.
    """
    saved = state.read()
    if saved["steps"] != list(names[: len(saved["steps"])]):
        note("It begins again: other days have use than when the export was stopped.")
        return [], 0
    return saved["results"], saved["bytes"]


def _cut(file: IO[bytes], part: Path, size: int) -> None:
    """Leave out what came after the last complete step. Raises CannotExport."""
    if file.seek(0, os.SEEK_END) < size:
        raise CannotExport(f"{part} is shorter than it was: delete it and {part.name}.json, and begin again.")
    file.truncate(size)
    file.seek(size)


@dataclass(frozen=True)
class _State:
    """How far an export is: its steps that are done, their results, and their bytes. In a file of its own."""

    path: Path
    identity: dict[str, Any]
    others: str
    """What to say if the file is another export's."""

    def read(self) -> dict[str, Any]:
        """Return the `steps` that are done, by name, their `results` and `bytes`. Raises CannotExport."""
        try:
            saved = simplejson.loads(self.path.read_text(ENCODING), use_decimal=True)
        except FileNotFoundError:
            return {"steps": [], "results": [], "bytes": 0}
        except ValueError:
            saved = None
        if not isinstance(saved, dict) or saved.get("export") != self.identity or "steps" not in saved:
            raise CannotExport(self.others)
        return saved

    def write(self, steps: Sequence[str], results: Sequence[Any], size: int) -> None:
        saved = {"export": self.identity, "steps": steps, "results": results, "bytes": size}
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        new.write_text(to_json(saved), ENCODING)
        new.replace(self.path)

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def to_folder(
    folder: Path,
    files: Sequence[tuple[str, Callable[[Path], None]]],
    identity: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Write an export as files in a folder, each by its own function. What is complete stays after a stop.

    Files of the same kind that an earlier export has left there are deleted at the end: whoever reads the
    folder would add them up too. Raises CannotExport if the folder has something else.
    """
    if folder.exists() and not folder.is_dir():
        raise CannotExport(f"{folder} is no folder. Give --output another name.")
    state_file = folder / ".impact-export.json"
    others = f"{state_file} is of another export that was stopped. Delete it, or choose another folder."
    state = _State(state_file, dict(identity), others)
    done = state.read()["steps"]
    if not done and not overwrite and folder.exists() and any(folder.iterdir()):
        raise CannotExport(f"{folder} is not empty. Give --overwrite to replace what is there.")
    left = dict(files)
    for name in left.keys() & set(done):
        del left[name]
    there = len(files) - len(left)
    if done:
        note(f"It continues an export that was stopped: {there} of {len(files)} files are done.")
    progress = Progress()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone_in(folder):
            for number, (name, write) in enumerate(left.items(), start=there + 1):
                progress.show(f"{name}, file {number} of {len(files)}")
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(f".{path.name}.part")
                write(part)
                part.replace(path)
                done.append(name)
                state.write(done, (), 0)
            _delete_others(folder, [name for name, _ in files])
    except OSError as error:
        raise CannotExport(
            f"{folder} cannot be written: {error.strerror}. The same command continues."
        ) from None
    progress.clear()
    state.forget()


def _delete_others(folder: Path, names: Sequence[str]) -> None:
    """Delete the files that an export writes, `day=.../....parquet`, but not these."""
    kept = {folder / name for name in names}
    for path in folder.glob("day=*/*.parquet"):
        if path not in kept:
            path.unlink()
