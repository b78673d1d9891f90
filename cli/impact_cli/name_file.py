"""Files of names: an operator's CSV, and what mongoexport writes of LibreChat's users. Pure.

A file is read as a whole, and each thing that is wrong is named with its line and column.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from impact.naming import ID_FIELDS, USER, Kind, Name, id_problem, name_problems

COLUMNS = ("kind", "id", "name", "cost_centre")
"""The header of an operator's file, in any order."""
LIBRECHAT_NAMES = ("name", "username")
"""Fields of a LibreChat user that a name is taken from: the first that has one."""
OBJECT_ID = re.compile(r"""ObjectI[dD]\(["']?([0-9a-fA-F]+)["']?\)""")
"""How mongoexport writes an id in CSV."""
E_MAIL = re.compile(r"\S+@\S+")


@dataclass(frozen=True)
class NamedId:
    """A row of a file: what an id is called."""

    line: int
    kind: Kind
    id: str
    name: Name


@dataclass(frozen=True)
class Problem:
    """What is wrong in a file, and where."""

    line: int
    column: str | None
    why: str

    def __str__(self) -> str:
        return f"line {self.line}{f', {self.column}' if self.column else ''}: {self.why}"


@dataclass
class NameFile:
    """What a file holds."""

    rows: list[NamedId] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """The rows are usable only where there are none."""
    unnamed: int = 0
    """Users of LibreChat without a name."""
    _lines: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, row: NamedId, columns: Mapping[str, str]) -> None:
        """Add a row, and what is wrong with it. `columns` are the file's own names of `id` and the like."""
        wrong = name_problems(row.name)
        if problem := id_problem(row.kind, row.id):
            wrong["id"] = problem
        elif (first := self._lines.setdefault((row.kind, row.id), row.line)) != row.line:
            wrong["id"] = f"is in line {first} already"
        self.problems += [Problem(row.line, columns.get(part, part), why) for part, why in wrong.items()]
        self.rows.append(row)


class _Unreadable(Exception):
    """The rest of a file cannot be read."""

    def __init__(self, line: int, why: str):
        super().__init__(why)
        self.problem = Problem(line, None, why)


def read_names(content: bytes) -> NameFile:
    """Read a CSV file with the columns kind, id, name, cost_centre. An empty cost_centre is none."""
    file = NameFile()
    try:
        for line, record in _csv_records(_text(content), COLUMNS):
            kind = record["kind"]
            if kind not in ID_FIELDS:
                file.problems.append(Problem(line, "kind", f"must be one of {', '.join(ID_FIELDS)}"))
                continue
            name = Name(record["name"], record["cost_centre"] or None)
            file.add(NamedId(line, cast("Kind", kind), record["id"], name), {})
    except _Unreadable as error:
        file.problems.append(error.problem)
    return file


def read_librechat(content: bytes) -> NameFile:
    """Read what mongoexport wrote of LibreChat's users, as CSV or as lines of JSON.

    A user is called by `name`, else by `username`. Nothing else is read, and no e-mail address is taken.
    """
    file = NameFile()
    try:
        text = _text(content)
        records = _json_records(text) if text.lstrip()[:1] in ("{", "[", "") else _csv_records(text, ("_id",))
        for line, record in records:
            name = next(filter(None, (_name(record.get(name)) for name in LIBRECHAT_NAMES)), None)
            if name is None:
                file.unnamed += 1
            else:
                file.add(NamedId(line, USER, _object_id(record.get("_id")), Name(name)), {"id": "_id"})
    except _Unreadable as error:
        file.problems.append(error.problem)
    return file


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")  # a spreadsheet's CSV begins with a byte order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _Unreadable(line, "is not UTF-8: save the file as UTF-8") from None


def _csv_records(text: str, needed: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with its line, by the names of the header. Raises _Unreadable."""
    rows = _csv_rows(text)
    _, header = next(rows, (1, []))
    if missing := [name for name in needed if name not in header]:
        raise _Unreadable(1, f"the header has no {', '.join(missing)}")
    for line, cells in rows:
        if len(cells) != len(header):
            raise _Unreadable(line, f"has {len(cells)} cells, and the header {len(header)}")
        yield line, dict(zip(header, cells, strict=True))


def _csv_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _Unreadable(line, f"is no CSV: {error}") from None
        if cells:
            yield line, cells


def _json_records(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, written in enumerate(text.split("\n"), start=1):
        if not written.strip():
            continue
        try:
            record = json.loads(written)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise _Unreadable(line, "is no JSON object: export without --jsonArray and without --pretty")
        yield line, record


def _name(value: Any) -> str | None:
    """What a user is called by a field of LibreChat's; None if it is blank, or an e-mail address."""
    text = value.strip() if isinstance(value, str) else ""
    return text if text and not E_MAIL.fullmatch(text) else None


def _object_id(value: Any) -> str:
    """The id as LibreChat sends it, from the forms in which mongoexport writes it."""
    text = value.get("$oid") if isinstance(value, dict) else value
    if not isinstance(text, str):
        return ""
    written = OBJECT_ID.fullmatch(text)
    return written[1] if written else text
