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
    state = _State(path.with_name(f"{path.name}.part.json"), dict(identity))
    results, size = state.read()
    with _opened(part, size) as file:
        if results:
            note(f"It continues an export that was stopped: {len(results)} of {len(steps)} steps are done.")
        else:
            file.truncate(0)
            file.seek(0)
            file.write(header.encode(ENCODING))
        progress = Progress()
        for number, step in enumerate(steps[len(results) :], start=len(results) + 1):
            for line in progress.of(step.lines(), f"lines of {step.name}, step {number} of {len(steps)}"):
                file.write(line.encode(ENCODING))
            file.flush()
            os.fsync(file.fileno())
            results.append(step.result())
            state.write(results, file.tell())
    part.replace(path)
    state.forget()
    return results


@contextmanager
def _opened(part: Path, size: int) -> Iterator[IO[bytes]]:
    """Open what was written, without what came after the last complete step."""
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotExport(f"{part} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "r+b") as file:  # its end writes too
            if file.seek(0, os.SEEK_END) < size:
                raise CannotExport(
                    f"{part} is shorter than it was: delete it and {part.name}.json, and begin again."
                )
            file.truncate(size)
            file.seek(size)
            yield file
    except OSError as error:
        raise CannotExport(
            f"{part} cannot be written: {error.strerror}. The same command continues."
        ) from None


@dataclass(frozen=True)
class _State:
    """How far an export is: the results of its steps, and its bytes. In a file of its own."""

    path: Path
    identity: dict[str, Any]

    def read(self) -> tuple[list[Any], int]:
        """Return the results of the steps that are done, and their bytes. Raises CannotExport."""
        try:
            saved = simplejson.loads(self.path.read_text(ENCODING), use_decimal=True)
        except FileNotFoundError:
            return [], 0
        except ValueError:
            saved = None
        if not isinstance(saved, dict) or saved.get("export") != self.identity:
            whole = self.path.name.removesuffix(".json")
            raise CannotExport(
                f"{whole} is of another export that was stopped."
                f" Delete {whole} and {self.path.name}, or choose another file."
            )
        return saved["results"], saved["bytes"]

    def write(self, results: list[Any], size: int) -> None:
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        new.write_text(to_json({"export": self.identity, "results": results, "bytes": size}), ENCODING)
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

    Raises CannotExport if the folder has something else.
    """
    if folder.exists() and not folder.is_dir():
        raise CannotExport(f"{folder} is no folder. Give --output another name.")
    state = _State(folder / ".impact-export.json", dict(identity))
    done, _ = state.read()
    if not done and not overwrite and folder.exists() and any(folder.iterdir()):
        raise CannotExport(f"{folder} is not empty. Give --overwrite to replace what is there.")
    if done:
        note(f"It continues an export that was stopped: {len(done)} of {len(files)} files are done.")
    progress = Progress()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (name, write) in enumerate(files[len(done) :], start=len(done) + 1):
            progress.show(f"{name}, file {number} of {len(files)}")
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.part")
            write(part)
            part.replace(path)
            done.append(name)
            state.write(done, 0)
    except OSError as error:
        raise CannotExport(
            f"{folder} cannot be written: {error.strerror}. The same command continues."
        ) from None
    progress.clear()
    state.forget()
