"""The history as a file: CSV, JSONL or Parquet, in one snapshot and flat memory. Knows formats, no terminal.

The server writes CSV and JSON itself, and every text comes out as it went in. Rows come in no particular order.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, DateTime, Engine, Select, Text, cast, select

from .arrow_rows import arrow_batches
from .copying import copied, with_values
from .decrypted_rows import DecryptedRows
from .encrypted_rows import EncryptedRows
from .errors import database_errors
from .history import ANY, HistoryFilter
from .new_file import HashedFile
from .tables import translation
from .text_cipher import TextCipher

ExportFormat = Literal["csv", "jsonl", "parquet"]
Progress = Callable[[int], None]
Passing = DecryptedRows | EncryptedRows

# One column of JSON: quotes and delimiters that JSON never holds raw, so that COPY changes nothing.
JSON_OPTIONS = "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02'"
# Told as text in Parquet: identifiers and JSON that every reader understands.
AS_TEXT = ("job_id", "batch_id", "options", "metadata")
# Columns of few values, for which Parquet keeps a dictionary.
REPEATED = tuple(
    column.name
    for column in translation.columns
    if column.name not in {"job_id", "source_text", "target_text", "kafka_offset"}
    and not isinstance(column.type, DateTime)
)
# Columns whose neighbours differ little.
STEADY = ("submitted_at", "admitted_at", "started_at", "recorded_at", "kafka_offset")


@dataclass(frozen=True, slots=True)
class Copy:
    """A query, how COPY writes it, and what is made of the bytes."""

    query: str
    options: str
    content: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """Which rows, and how they are written."""

    format: ExportFormat
    filters: HistoryFilter = ANY
    # What is encrypted is decrypted with it; None = texts as they are stored.
    cipher: TextCipher | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """So many rows were written; `has_encrypted` = texts among them are as they are stored, encrypted."""

    rows: int
    has_encrypted: bool


def export_history(engine: Engine, order: ExportOrder, file: HashedFile, progress: Progress) -> Exported:
    """Write the rows to the file. `progress` hears of each portion how many rows it had.

    Raises `TransientError` or `DragomanError` for the database, `DragomanError` for a text whose key the order's cipher
    has not, `ConfigurationError` for a missing library, and whatever the file raises.
    """
    write = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}[order.format]
    columns = translation.columns.keys()
    passing = DecryptedRows(order.cipher, columns) if order.cipher else EncryptedRows(columns)
    written = 0
    with _reader(engine) as connection:
        for rows in write(connection, order.filters, passing, file):
            written += rows
            progress(rows)
    return Exported(written, isinstance(passing, EncryptedRows) and passing.passed)


def estimated_rows(engine: Engine, filters: HistoryFilter) -> int:
    """How many rows the planner expects, which costs nothing; far off where statistics are old."""
    compiled = _select(filters).compile(dialect=engine.dialect)
    with _reader(engine) as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {compiled.string}", compiled.params).scalar_one()
    return int(plan[0]["Plan"]["Plan Rows"])


@contextmanager
def _reader(engine: Engine) -> Iterator[Connection]:
    with database_errors(engine), engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection


def _select(filters: HistoryFilter, as_text: tuple[str, ...] = ()) -> Select[Any]:
    columns = [cast(c, Text).label(c.name) if c.name in as_text else c for c in translation.columns]
    return select(*columns).where(filters.condition())


def _write_csv(connection: Connection, filters: HistoryFilter, passing: Passing, file: HashedFile) -> Iterator[int]:
    file.write((",".join(translation.columns.keys()) + "\n").encode())
    return _copy(connection, Copy(with_values(connection, _select(filters)), "FORMAT csv", passing.csv), file)


def _write_jsonl(connection: Connection, filters: HistoryFilter, passing: Passing, file: HashedFile) -> Iterator[int]:
    rows = with_values(connection, _select(filters))
    query = f"SELECT row_to_json(r) FROM ({rows}) AS r"  # noqa: S608 - quoted
    return _copy(connection, Copy(query, JSON_OPTIONS, passing.jsonl), file)


def _copy(connection: Connection, copy: Copy, file: HashedFile) -> Iterator[int]:
    with copied(connection, copy.query, copy.options) as chunks:
        for chunk in chunks:
            file.write(copy.content(chunk.content))
            yield chunk.rows


def _write_parquet(connection: Connection, filters: HistoryFilter, passing: Passing, file: HashedFile) -> Iterator[int]:
    query = with_values(connection, _select(filters, AS_TEXT))
    with arrow_batches(connection, query) as (schema, batches), _parquet_writer(file, schema) as writer:
        for batch in batches:
            writer.write_batch(passing.arrow(batch))
            yield batch.num_rows


def _parquet_writer(file: HashedFile, schema: Any) -> Any:
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(
        file,
        schema.remove_metadata(),
        compression="zstd",
        use_dictionary=list(REPEATED),
        column_encoding=dict.fromkeys(STEADY, "DELTA_BINARY_PACKED"),
    )
