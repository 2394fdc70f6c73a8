"""`dragoman corrections import|export`: files of other tools, streamed, with a progress bar."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile

import click

from ..errors import ConfigurationError, DragomanError
from ..settings import load_settings
from ..storage.correction_import import ImportReport, ImportTerms, import_corrections
from ..storage.correction_queries import CorrectionFilter, KeptCorrection, count_corrections, stream_corrections
from ..storage.interchange.entries import Entry, Fault, Languages
from ..storage.interchange.formats import FORMATS, can_hold, format_of, reader_of, written
from ..storage.text_cipher import cipher_of
from .corrections_options import author_option, reason_option, signature, source_option, tag, target_option
from .database import database_engine, database_transaction

# More faults than that are counted, not listed: a file of another format would fill the screen.
LISTED_FAULTS = 20
# The progress bar moves after so many.
WATCHED_ENTRIES = 1_000


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@source_option
@target_option
@click.option("--client", "client_id", metavar="ID", help="For this client's jobs only. Default: for all.")
@author_option
@reason_option
def import_command(
    file: Path, source: str | None, target: str | None, client_id: str | None, author: str, reason: str | None
) -> None:
    """Bring in FILE: TMX, XLIFF 1.2 or 2.x, JSONL or TSV, by the ending of its name.

    What cannot be read is said and left out, the rest is brought in. The same file again changes nothing.
    """
    by = signature(author, reason)
    origin, read = reader_of(file)
    languages, terms = Languages(tag(source), tag(target)), ImportTerms(origin, by.author, client_id, by.reason)
    faults, settings = _FaultList(), load_settings()
    try:
        with (
            database_engine(settings, "dragoman-corrections", connections=5) as engine,
            file.open("rb") as opened,
            click.progressbar(length=file.stat().st_size, label=file.name) as bar,
        ):
            entries = _watched(read(opened, languages), lambda: bar.update(opened.tell() - bar.pos))
            report = import_corrections(engine, entries, terms, faults.add, cipher_of(settings.text_keys))
    finally:
        faults.show()
    _say(report)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: by the ending of FILE's name.")
@source_option
@target_option
@click.option("--client", "client_id", metavar="ID", help="Those for this client alone. Default: those for all.")
def export(file: Path, form: str | None, source: str | None, target: str | None, client_id: str | None) -> None:
    """Write the corrections that hold to FILE: TMX, XLIFF or JSONL.

    Those for one client are in no file but that of --client. XLIFF needs --source and --target.
    """
    form, languages = form or format_of(file), Languages(tag(source), tag(target))
    filters = CorrectionFilter(
        client_id=client_id,
        source_language=languages.source,
        target_language=languages.target,
        for_all_clients=client_id is None,
    )
    settings = load_settings()
    with database_transaction(settings, "dragoman-corrections") as connection:
        total = count_corrections(connection, filters)
        found = stream_corrections(connection, filters, cipher_of(settings.text_keys))
        with click.progressbar(found, length=total, label=file.name, update_min_steps=1_000) as bar:
            writable = _Writable(bar, form)
            _write(file, written(writable, form, languages))
    left_out = f"; left out, because XML has no way to write a character of them: {writable.left_out}"
    click.echo(f"corrections written: {writable.count}{left_out if writable.left_out else ''}")


class _FaultList:
    """Faults, the first of them kept to be shown below the progress bar."""

    def __init__(self) -> None:
        self._first: list[Fault] = []
        self._count = 0

    def add(self, fault: Fault) -> None:
        self._count += 1
        if len(self._first) < LISTED_FAULTS:
            self._first.append(fault)

    def show(self) -> None:
        for fault in self._first:
            click.echo(str(fault), err=True)
        if self._count > len(self._first):
            click.echo(f"and {self._count - len(self._first):,} more", err=True)


class _Writable:
    """Of some corrections those that the format can hold; counts both."""

    def __init__(self, corrections: Iterable[KeptCorrection], form: str) -> None:
        self._corrections = corrections
        self._form = form
        self.count = self.left_out = 0

    def __iter__(self) -> Iterator[KeptCorrection]:
        for one in self._corrections:
            if can_hold(self._form, one):
                self.count += 1
                yield one
            else:
                self.left_out += 1


def _watched(entries: Iterator[Entry], on_progress: Callable[[], None]) -> Iterator[Entry]:
    """The entries, and now and then a word about it."""
    while some := list(islice(entries, WATCHED_ENTRIES)):
        yield from some
        on_progress()


def _say(report: ImportReport) -> None:
    click.echo(f"corrections added: {report.added:,}; so already: {report.unchanged:,}")
    if report.repeated:
        click.echo(f"units left out whose text the file had before: {report.repeated:,}")
    for reason, count in report.passed.items():
        click.echo(f"units left out, {reason}: {count:,}")
    if report.faults:
        raise DragomanError(f"units that could not be read, and were left out: {report.faults:,}; see above")


def _write(file: Path, parts: Iterable[str]) -> None:
    """Write the file as a whole or not at all."""
    try:
        with NamedTemporaryFile("w", encoding="utf-8", newline="", dir=file.parent, delete=False) as partial:
            try:
                partial.writelines(parts)
                partial.close()
                os.replace(partial.name, file)
            except BaseException:
                os.unlink(partial.name)
                raise
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from error
