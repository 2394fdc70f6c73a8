"""Brings the units of a file in as corrections, some thousand in a transaction. Knows no format.

What is so already is not written, so the same file twice changes nothing. Where a file says two things of one text, the
first counts, or it would change its mind each time: the texts that it has spoken of are noted in a temporary table, so
that memory stays flat.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from pydantic import ValidationError
from sqlalchemy import Connection, Engine

from ..errors import TransientError
from ..schemas.corrections import Correction, Origin
from .bulk import array_literal, bytea
from .correction_chain import ChainNames
from .corrections import chain_names, record_corrections
from .errors import database_errors
from .interchange.entries import Entry, Fault, Passed, Unit
from .text_cipher import TextCipher

# Enough to share the cost of a transaction, few enough that others who correct wait no second.
UNITS_AT_ONCE = 2_000
BEGIN = "CREATE TEMPORARY TABLE IF NOT EXISTS told_chain (chain bytea PRIMARY KEY)"
FORGET = "TRUNCATE told_chain"
NOTE = "INSERT INTO told_chain SELECT unnest(%s::bytea[]) ON CONFLICT DO NOTHING RETURNING chain"


@dataclass(frozen=True, slots=True)
class ImportTerms:
    """For whom the corrections of a file are, and what holds where a unit says nothing: author, reason."""

    origin: Origin
    author: str
    client_id: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class ImportReport:
    """How many units were read and what became of them.

    `repeated`: the file had spoken of their text before. `passed`: sound units, by why they were left out.
    """

    added: int = 0
    unchanged: int = 0
    repeated: int = 0
    faults: int = 0
    passed: Counter[str] = field(default_factory=Counter)

    @property
    def units(self) -> int:
        """All of them."""
        return self.added + self.unchanged + self.repeated + self.faults + self.passed.total()


def import_corrections(
    engine: Engine,
    entries: Iterable[Entry],
    terms: ImportTerms,
    on_fault: Callable[[Fault], None],
    cipher: TextCipher | None = None,
) -> ImportReport:
    """Bring the entries in, as they are read; returns what became of them.

    `on_fault` hears of every unit that is left out for a fault.
    Raises `TransientError` when the database is away: what was reported stays, and the same import may be repeated.
    Raises `DragomanError` as `record_corrections`.
    """
    report, coming, names = ImportReport(), iter(entries), ChainNames(cipher)
    try:
        with database_errors(engine), engine.connect() as connection:
            with connection.begin():
                connection.exec_driver_sql(BEGIN)
                connection.exec_driver_sql(FORGET)
            while some := list(islice(coming, UNITS_AT_ONCE)):
                sound = list(_sound(some, terms, report, on_fault))
                with connection.begin():
                    written = record_corrections(connection, _first_told(connection, names, sound), cipher)
                done = Counter(is_new for _, is_new in written)
                report.added += done[True]
                report.unchanged += done[False]
                report.repeated += len(sound) - len(written)
    except TransientError as error:
        raise TransientError(f"{error}. {report.units:,} units are done: import the same file again") from error
    return report


def _sound(
    entries: Iterable[Entry], terms: ImportTerms, report: ImportReport, on_fault: Callable[[Fault], None]
) -> Iterator[Correction]:
    """Units that can be corrections; the others are counted."""
    for entry in entries:
        if isinstance(entry, Passed):
            report.passed[entry.reason] += 1
            continue
        made = entry if isinstance(entry, Fault) else _correction(entry, terms)
        if isinstance(made, Fault):
            report.faults += 1
            on_fault(made)
        else:
            yield made


def _correction(unit: Unit, terms: ImportTerms) -> Correction | Fault:
    try:
        return Correction(
            source_text=unit.source_text,
            target_text=unit.target_text,
            source_language=unit.source_language or "",
            target_language=unit.target_language or "",
            author=unit.author or terms.author,
            client_id=terms.client_id,
            reason=unit.reason or terms.reason,
            origin=terms.origin,
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        return Fault(unit.number, None, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _first_told(connection: Connection, names: ChainNames, sound: Iterable[Correction]) -> list[Correction]:
    """Those that are the first word of the file on their text, in the order of the file."""
    first: dict[bytes, Correction] = {}
    for one in sound:
        first.setdefault(chain_names(names, one)[0], one)
    noted = connection.exec_driver_sql(NOTE, (array_literal(first, bytea),)).scalars()
    told_now = {bytes(name) for name in noted}
    return [one for name, one in first.items() if name in told_now]
