"""`dragoman corrections list|show`: corrections on the terminal."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

import click
from rich.table import Table

from ..errors import DragomanError
from ..settings import load_settings
from ..storage.correction_queries import (
    CorrectionFilter,
    KeptCorrection,
    get_correction,
    list_corrections,
    revisions,
)
from ..storage.text_cipher import cipher_of
from .corrections_options import source_option, tag, target_option
from .database import database_transaction
from .terminal import as_json, console, json_text, one_line


@click.command("list")
@click.option("-n", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many, at most.")
@click.option("--client", "client_id", metavar="ID", help="Only those for this client alone.")
@source_option
@target_option
@click.option("--containing", metavar="TEXT", help="Only those with TEXT in source or translation.")
@as_json
def list_command(
    limit: int, client_id: str | None, source: str | None, target: str | None, containing: str | None, as_json: bool
) -> None:
    """List the corrections that hold, the latest first."""
    filters = CorrectionFilter(
        client_id=client_id, source_language=tag(source), target_language=tag(target), containing=containing
    )
    settings = load_settings()
    with database_transaction(settings, "dragoman-corrections") as connection:
        found = list_corrections(connection, filters, limit, cipher_of(settings.text_keys))
    _print(found, as_json=as_json, sentence="no such correction")


@click.command()
@click.argument("correction_id", type=click.UUID)
@as_json
def show(correction_id: UUID, as_json: bool) -> None:
    """Show every revision of the correction CORRECTION_ID, the first one first; the last one holds."""
    settings = load_settings()
    cipher = cipher_of(settings.text_keys)
    with database_transaction(settings, "dragoman-corrections") as connection:
        found = get_correction(connection, correction_id, cipher)
        if found is None:
            raise DragomanError(f"there is no correction {correction_id}")
        chain = revisions(connection, found, cipher)
    _print(chain, as_json=as_json)


def _print(corrections: list[KeptCorrection], *, as_json: bool, sentence: str = "") -> None:
    if as_json:
        for one in corrections:
            click.echo(json_text(_columns(one)))
    elif corrections:
        console().print(_table(corrections))
    else:
        click.echo(sentence)


def _columns(one: KeptCorrection) -> dict[str, Any]:
    columns = asdict(one)
    del columns["chain"]
    return columns


def _table(corrections: list[KeptCorrection]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    for heading in ("id", "pair", "for", "by"):
        table.add_column(heading, overflow="fold")
    for heading in ("source", "translation", "reason"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1)
    for one in corrections:
        target = "[withdrawn]" if one.target_text is None else one.target_text
        table.add_row(
            str(one.id),
            f"{one.source_language}-{one.target_language}",
            one_line(one.client_id or "all"),
            one_line(one.author),
            one_line(one.source_text),
            one_line(target),
            one_line(one.reason),
        )
    return table
