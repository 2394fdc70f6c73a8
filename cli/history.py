"""`dragoman history`: finished translations on the terminal. `storage.history` finds the rows."""

from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC
from typing import Any
from uuid import UUID

import click
from rich.table import Table
from sqlalchemy import Connection

from ..errors import DragomanError
from ..settings import load_settings
from ..storage.history import HistoryStats, RecordedRow, get, search, stats, tail
from ..storage.text_cipher import TextCipher, cipher_of
from .database import database_transaction
from .history_erase import erase_command
from .history_export import export_command
from .history_filters import chosen_filter, filters
from .terminal import as_json, console, json_text, one_line, pairs_table


@click.group()
def history() -> None:
    """Look at finished translations, export or erase them."""


history.add_command(erase_command)
history.add_command(export_command)


@history.command("tail")
@click.option("-n", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many rows.")
@filters
@as_json
def tail_command(limit: int, as_json: bool, **chosen: Any) -> None:
    """Show the last rows, the newest at the end."""
    with _connection() as connection:
        rows = tail(connection, limit, chosen_filter(**chosen), _cipher())
    (_print_lines if as_json else _print_table)(rows)


@history.command("search")
@click.argument("words", nargs=-1, required=True)
@click.option("-n", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many rows, at most.")
@filters
@as_json
def search_command(words: tuple[str, ...], limit: int, as_json: bool, **chosen: Any) -> None:
    """Show the latest rows that hold all WORDS, in the source or the target, the newest first."""
    with _connection() as connection:
        rows = search(connection, words, chosen_filter(**chosen), limit)
    (_print_lines if as_json else _print_table)(rows)


@history.command("stats")
@as_json
def stats_command(as_json: bool) -> None:
    """Count and measure the whole history."""
    with _connection() as connection:
        figures = stats(connection)
    if as_json:
        click.echo(json_text(asdict(figures)))
    else:
        console().print(_stats_table(figures))


@history.command("show")
@click.argument("job_id", type=click.UUID)
@as_json
def show_command(job_id: UUID, as_json: bool) -> None:
    """Show everything about one job."""
    with _connection() as connection:
        row = get(connection, job_id, _cipher())
    if row is None:
        raise DragomanError(f"the history has no job {job_id}: it is not finished yet, or the id is another")
    if as_json:
        click.echo(json_text(row.columns()))
    else:
        console().print(pairs_table(row.columns().items()))


def _connection() -> AbstractContextManager[Connection]:
    return database_transaction(load_settings(), "dragoman-history")


def _cipher() -> TextCipher | None:
    return cipher_of(load_settings().text_keys)


def _print_lines(rows: list[RecordedRow]) -> None:
    for row in rows:
        click.echo(json_text(row.columns()))


def _print_table(rows: list[RecordedRow]) -> None:
    if rows:
        console().print(_rows_table(rows))
    else:
        click.echo("no such row in the history")


def _rows_table(rows: list[RecordedRow]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    for heading in ("recorded at (UTC)", "pair", "status"):
        table.add_column(heading, no_wrap=True)
    for heading in ("source", "target"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1)
    for recorded in rows:
        row = recorded.row
        answer = row.target_text if row.status == "translated" else f"[{row.reason or 'no reason'}] {row.detail or ''}"
        table.add_row(
            f"{recorded.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            f"{row.source_language or '?'}-{row.target_language or '?'}",
            row.status,
            one_line(_missing(recorded) or row.source_text),
            one_line(answer),
        )
    return table


def _missing(recorded: RecordedRow) -> str | None:
    """Why a row shows no text."""
    if recorded.erased_at is not None:
        return "[erased]"
    if recorded.row.no_trace:
        return "[no trace]"
    is_sealed = recorded.row.text_key is not None and recorded.row.source_text is None
    return "[encrypted]" if is_sealed else None


def _stats_table(figures: HistoryStats) -> Table:
    return pairs_table(
        [
            ("rows", figures.rows),
            *((f"status {status}", rows) for status, rows in figures.by_status.items()),
            *((f"pair {p.source_language or '?'}-{p.target_language or '?'}", p.rows) for p in figures.by_pair),
            *((f"model {version}", rows) for version, rows in figures.by_model_version.items()),
            ("submitted to recorded, median", _seconds(figures.p50_seconds)),
            ("submitted to recorded, 95th percentile", _seconds(figures.p95_seconds)),
            ("source pieces", figures.source_pieces),
            ("target pieces", figures.target_pieces),
            ("batches", figures.batches),
            ("padding ratio", None if figures.padding_ratio is None else f"{figures.padding_ratio:.1%}"),
        ]
    )


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f} s"
