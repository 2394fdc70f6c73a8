"""Which files the history was exported to, so that an erasure can say where a text may be. Knows no format."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Engine, insert, update

from ..errors import DragomanError
from .engine import transaction
from .tables import export_log

ExportKind = Literal["history", "corpus"]


@dataclass(frozen=True, slots=True)
class ExportNote:
    """What is written down of an export before it begins; `path` is "-" for standard output."""

    who: str
    kind: ExportKind
    filters: Mapping[str, Any]
    path: str


def begin_export(engine: Engine, note: ExportNote) -> int:
    """Write an export down, for good, before its first row is read; returns its number.

    Raises `DragomanError` for a name that PostgreSQL cannot store, `TransientError` when the database is away.
    """
    if "\0" in note.path or any("\ud800" <= character <= "\udfff" for character in note.path + note.who):
        raise DragomanError("the name of the file, or of whoever exports it, is not UTF-8: change it")
    with transaction(engine) as connection:
        values = {"who": note.who, "kind": note.kind, "filters": dict(note.filters), "path": note.path}
        number: int = connection.execute(insert(export_log).values(values).returning(export_log.c.id)).scalar_one()
    return number


def finish_export(engine: Engine, number: int, rows: int, sha256: str | None) -> None:
    """Add what is known now that the file is there; None for many files, whose card has the sums."""
    with transaction(engine) as connection:
        connection.execute(update(export_log).where(export_log.c.id == number).values(rows=rows, sha256=sha256))


def noted_filters(filters: Any) -> dict[str, Any]:
    """The filters of a dataclass that are set, as JSON can hold them."""
    chosen = {field.name: getattr(filters, field.name) for field in fields(filters)}
    return {name: _plain(value) for name, value in chosen.items() if value is not None}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else list(value) if isinstance(value, tuple) else value
