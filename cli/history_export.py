"""`dragoman history export`: the history as a file. `storage.history_export` writes it."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine

from ..errors import ConfigurationError
from ..settings import Settings, load_settings
from ..storage.audit import append_event
from ..storage.engine import transaction
from ..storage.export_log import ExportNote, begin_export, finish_export, noted_filters
from ..storage.history_export import ExportFormat, ExportOrder, estimated_rows, export_history
from ..storage.new_file import HashedFile, new_file, refuse_existing
from ..storage.text_cipher import TextCipher, cipher_of
from .actor import account
from .database import database_engine
from .history_filters import chosen_filter, filters

STANDARD_OUTPUT = Path("-")
FORMATS = get_args(ExportFormat)


@click.command("export")
@click.argument("path", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--format", "format_name", type=click.Choice(FORMATS), help="Default: by the end of the name.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--decrypt", is_flag=True, help="Write encrypted texts as they were; needs DRAGOMAN_TEXT_KEYS.")
@filters
def export_command(path: Path, format_name: ExportFormat | None, force: bool, decrypt: bool, **chosen: Any) -> None:
    """Write rows to PATH: .csv, .jsonl or .parquet; "-" is standard output.

    The file is one moment of the history, and there whole or not at all; rows are in no particular order. In CSV an
    empty text is "" and one that is not there is nothing. Each export is written down in the table export_log, and one
    that decrypts in the audit chain too.
    """
    settings = load_settings()
    order = ExportOrder(_format(path, format_name), chosen_filter(**chosen), _key_bearer(settings) if decrypt else None)
    if path != STANDARD_OUTPUT and not force:
        refuse_existing(path)
    with database_engine(settings, "dragoman-export", connections=5) as engine:
        number = _begun(engine, order, path)
        with _destination(path) as file, _bar(estimated_rows(engine, order.filters)) as progress:
            exported = export_history(engine, order, file, progress)
        finish_export(engine, number, exported.rows, file.sha256)
    click.echo(f"{exported.rows:,} rows, {file.size_bytes:,} bytes, SHA-256 {file.sha256}", err=True)
    if exported.has_encrypted:
        click.echo(
            "Texts with a text_key are written as they are stored, encrypted: --decrypt writes them as they were.",
            err=True,
        )


def _key_bearer(settings: Settings) -> TextCipher:
    cipher = cipher_of(settings.text_keys)
    if cipher is None:
        raise ConfigurationError("--decrypt needs the keys: give them in DRAGOMAN_TEXT_KEYS")
    return cipher


def _begun(engine: Engine, order: ExportOrder, path: Path) -> int:
    """Write the export down; returns its number."""
    told = noted_filters(order.filters) | ({"decrypted": True} if order.cipher else {})
    number = begin_export(engine, ExportNote(who(), "history", told, told_path(path)))
    if order.cipher:
        with transaction(engine) as connection:
            append_event(connection, who(), "texts_decrypted", {"export": number})
    return number


def who() -> str:
    """Who is at this terminal, and where."""
    return f"{account('?')}@{socket.gethostname()}"


def told_path(path: Path) -> str:
    """Where a file is, whatever folder one is in."""
    return str(path) if path == STANDARD_OUTPUT else str(path.absolute())


def _format(path: Path, given: ExportFormat | None) -> ExportFormat:
    found = given or path.suffix.removeprefix(".").lower()
    if found not in FORMATS:
        raise ConfigurationError(f"which format {path} is to have is not clear: say --format {', '.join(FORMATS)}")
    if path == STANDARD_OUTPUT and found == "parquet":
        raise ConfigurationError("Parquet goes to a file, not to standard output: name one")
    return cast(ExportFormat, found)


@contextmanager
def _destination(path: Path) -> Iterator[HashedFile]:
    if path != STANDARD_OUTPUT:
        with new_file(path) as file:
            yield file
        return
    file = HashedFile(sys.stdout.buffer)
    yield file
    file.flush()


@contextmanager
def _bar(expected: int) -> Iterator[Any]:
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("export", total=expected or None)

        def advance(rows: int) -> None:
            progress.advance(task, rows)
            done = progress.tasks[0].completed
            # What the planner expected was too little.
            if done > (progress.tasks[0].total or done):
                progress.update(task, total=done)

        yield advance
