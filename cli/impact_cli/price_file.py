"""A file of prices, TOML or CSV: read as a whole, or refused with all that is wrong in it."""

import csv
import tomllib
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import click

from impact.price_book import InvalidPrice, Price, check_revision
from impact_cli.price_draft import FIELDS, InvalidDraft, read_price
from impact_cli.table import TEXT_MAX, visible

SHOWN_MAX = 100
"""Most faults that are listed."""

Entry = tuple[str, Mapping[str, Any]]
"""Where an entry stands, such as `line 7`, and its fields."""
Fault = tuple[str, str]
"""Where it is, and what is wrong."""


class BadPriceFile(click.ClickException):
    """The file is not taken. Each line of the text says what is wrong where."""

    def __init__(self, path: Path, faults: list[Fault]) -> None:
        shown = [f"  {visible(f'{where}: {message}')}" for where, message in faults[:SHOWN_MAX]]
        more = [f"  ... and {len(faults) - SHOWN_MAX:,} more"] if len(faults) > SHOWN_MAX else []
        many = "1 fault" if len(faults) == 1 else f"{len(faults):,} faults"
        head = f"{visible(str(path))} has {many}. Nothing was appended."
        super().__init__("\n".join([head, *shown, *more]))


def read_prices(path: Path) -> list[Price]:
    """Read the prices of a file. Raises BadPriceFile, OSError."""
    readers = {".toml": _toml_entries, ".csv": _csv_entries}
    if path.suffix.lower() not in readers:
        raise BadPriceFile(path, [("its name", "must end in .toml or .csv")])
    faults: list[Fault] = []
    prices: list[Price] = []
    places: dict[tuple[str, str], str] = {}
    try:
        content = path.read_bytes().decode("utf-8-sig")
        for where, given in readers[path.suffix.lower()](content):
            try:
                price = read_price(given)
            except InvalidDraft as error:
                faults += [(_place(where, given), f"{field} {message}") for field, message in error.faults]
                continue
            first = places.setdefault((price.pattern, price.first_day), where)
            if first != where:
                faults.append((_place(where, given), f"has the model and the first day of {first}"))
            prices.append(price)
        check_revision(prices)
    except UnicodeDecodeError:
        faults.append(("the file", "is not UTF-8"))
    except InvalidPrice as error:
        faults.append(("the file", error.message))
    except _Unreadable as error:
        faults.append((error.where, str(error)))
    if not (prices or faults):
        faults.append(("the file", "has no price"))
    if faults:
        raise BadPriceFile(path, faults)
    return prices


class _Unreadable(ValueError):
    def __init__(self, message: str, where: str = "the file") -> None:
        super().__init__(message)
        self.where = where


def _place(where: str, given: Mapping[str, Any]) -> str:
    model = given.get("model")
    return f"{where} ({visible(str(model), TEXT_MAX)})" if model else where


def _toml_entries(content: str) -> Iterator[Entry]:
    """Read `[[price]]` tables. Amounts stay as they are written. Raises _Unreadable."""
    try:
        document = tomllib.loads(content, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f"is not TOML: {error}") from None
    tables = document.get("price")
    is_list = isinstance(tables, list) and all(isinstance(table, dict) for table in tables)
    if document.keys() - {"price"} or (tables is not None and not is_list):
        raise _Unreadable("must have tables [[price]] and nothing else")
    return ((f"entry {number}", table) for number, table in enumerate(tables or [], start=1))


def _csv_entries(content: str) -> Iterator[Entry]:
    """Read rows below a line of column names. An empty cell says nothing. Raises _Unreadable."""
    reader = csv.reader(StringIO(content, newline=""), strict=True)
    line = 1
    try:
        columns = [name.strip() for name in next(reader, [])]
        _check_columns(columns)
        line = reader.line_num + 1
        for row in reader:
            if len(row) > len(columns):
                message = (
                    f"has {len(row)} cells for {len(columns)} columns: a comma within a cell needs quotes"
                )
                raise _Unreadable(message, f"line {line}")
            cells = dict(zip(columns, row, strict=False))
            if any(cell.strip() for cell in row):
                blanks = {name: cell if name == "model" else cell.strip() for name, cell in cells.items()}
                yield f"line {line}", blanks
            line = reader.line_num + 1
    except csv.Error as error:
        raise _Unreadable(f"is not CSV: {error}", f"line {line}") from None


def _check_columns(columns: list[str]) -> None:
    unknown = [name for name in columns if name not in FIELDS]
    if unknown or len(set(columns)) < len(columns) or "model" not in columns:
        raise _Unreadable(f"must name the columns once, with commas between: {','.join(FIELDS)}", "line 1")
