"""Parquet files, one for each step of an export: a folder that Athena, DuckDB and Spark read as one table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impact_cli.exporting import CannotExport
from impact_cli.records import Record, at, text

if TYPE_CHECKING:
    from arro3.core import RecordBatch, Schema

BATCH_ROWS = 2_000
"""Rows in memory at a time."""
ROW_GROUP_ROWS = 50_000
"""Rows that the writer keeps, compressed, until it writes them. Its default is a million."""
KINDS = {int: "int64", bool: "bool"}
"""Types of Parquet by types of Python. All else is text: an exact amount has up to 38 digits, anywhere."""


def write_parquet(path: Path, records: Iterable[Record], columns: Mapping[str, type]) -> None:
    """Write records to a file, in constant memory. `columns` has the type of each.

    Raises CannotExport without the packages for it.
    """
    try:
        from arro3.core import DataType, Field, RecordBatchReader, Schema
        from arro3.io import write_parquet as write
    except ImportError:
        raise CannotExport("Parquet needs more packages: pip install './cli[parquet]'") from None
    fields = [
        Field(name, getattr(DataType, KINDS.get(kind, "string"))(), nullable=True)
        for name, kind in columns.items()
    ]
    schema = Schema(fields)
    stopped: list[BaseException] = []
    batches = RecordBatchReader.from_batches(
        schema, _noting(_batches(iter(records), columns, schema), stopped)
    )
    try:
        write(batches, str(path), max_row_group_size=ROW_GROUP_ROWS)
    except Exception:
        if stopped:
            raise stopped[0] from None
        raise


def _noting(batches: Iterator["RecordBatch"], stopped: list[BaseException]) -> Iterator["RecordBatch"]:
    """Keep what stops the records: the writer raises an Exception of its own in its place."""
    try:
        yield from batches
    except BaseException as error:
        stopped.append(error)
        raise


def _batches(
    records: Iterator[Record], columns: Mapping[str, type], schema: "Schema"
) -> Iterator["RecordBatch"]:
    from arro3.core import Array, RecordBatch

    while chunk := list(islice(records, BATCH_ROWS)):
        arrays = [
            Array(_values(chunk, name, kind), type=schema.field(name).type) for name, kind in columns.items()
        ]
        yield RecordBatch.from_arrays(arrays, schema=schema)


def _values(chunk: Sequence[Record], name: str, kind: type) -> list[Any]:
    values = (at(record, name) for record in chunk)
    if kind in KINDS:
        return list(values)
    return [None if value is None else text(value) for value in values]
