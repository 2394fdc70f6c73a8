"""Writes corrections: a later one supersedes the former of its chain, none is ever changed. Knows no file format.

Writers take turns, from here to their commit. So the last one to commit holds, a chain has no forks, and `number`
grows in the order of the commits: whoever has seen a number has seen all before it.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from ..errors import DragomanError, TransientError
from ..schemas.corrections import Correction, Signature
from ..schemas.ids import new_job_id
from .bulk import BulkInsert
from .correction_chain import ChainNames
from .correction_queries import KeptCorrection, Latest, get_correction, latest_of, revisions
from .history import get
from .tables import correction
from .text_cipher import TextCipher, required
from .text_places import CORRECTION_TEXTS

# Any number that nobody else uses: the bytes of "corrects".
ADVISORY_LOCK = int.from_bytes(b"corrects", "big") >> 1
# One probe of the index for each key.
KEYS = """
WITH RECURSIVE known (text_key) AS (
  (SELECT text_key FROM correction WHERE text_key IS NOT NULL ORDER BY text_key LIMIT 1)
  UNION ALL
  SELECT (SELECT text_key FROM correction WHERE text_key > known.text_key ORDER BY text_key LIMIT 1)
  FROM known WHERE known.text_key IS NOT NULL
)
SELECT text_key FROM known WHERE text_key IS NOT NULL
"""
# Nobody waits for ever for a turn, and nobody who froze keeps it.
LIMITS = "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '30s'"


class _Row(NamedTuple):
    """A new row, in the order of its columns."""

    id: UUID
    chain: bytes
    revision: int
    supersedes: UUID | None
    job_id: UUID | None
    client_id: str | None
    source_language: str
    target_language: str
    source_text: str
    target_text: str | None
    author: str
    reason: str | None
    origin: str
    text_key: str | None = None


class Written(NamedTuple):
    """What became of a correction: `id` is that of the one that holds now; `is_new` = it was not so before."""

    id: UUID
    is_new: bool


_insert = BulkInsert(correction, _Row._fields, key="id")


def record_corrections(
    connection: Connection, corrections: Sequence[Correction], cipher: TextCipher | None = None
) -> list[Written]:
    """Write corrections in their order, each the successor of what its chain holds; equal to that, it is not written.

    They are encrypted where there is a cipher.

    They hold when the caller's transaction commits, for every job that is admitted from then on. Waits at most ten
    seconds for others who write. Raises `TransientError` when the database is away or others write for longer (inside
    `transaction(engine)`), `DragomanError` when others are encrypted with a key that the cipher has not.
    """
    take_turn(connection)
    _require_keys(connection, cipher)
    names = ChainNames(cipher)
    named = [chain_names(names, one) for one in corrections]
    latest = latest_of(connection, {name for some in named for name in some}, cipher)
    rows, written = [], []
    for some, one in zip(named, corrections, strict=True):
        name = next((name for name in some if name in latest), some[0])
        before = latest.get(name)
        if before is not None and before.target_text == one.target_text:
            written.append(Written(before.id, is_new=False))
            continue
        row = _successor(one, name, before)
        latest[name] = Latest(row.id, row.revision, row.target_text)
        rows.append(row)
        written.append(Written(row.id, is_new=True))
    _write(connection, rows, cipher)
    return written


def correct_job(
    connection: Connection,
    job_id: UUID,
    target_text: str,
    signature: Signature,
    cipher: TextCipher | None = None,
    *,
    for_all_clients: bool = False,
) -> Written:
    """Correct the translation of a job in the history, for its client or for all.

    Raises `DragomanError` when the history has no such job, or no text of it, else what `record_corrections` raises.
    """
    recorded = get(connection, job_id, cipher)
    if recorded is None:
        raise DragomanError(f"the history has no job {job_id}: it is not finished yet, or the id is another")
    row = recorded.row
    if row.source_text is None or row.source_language is None or row.target_language is None:
        raise DragomanError(f"the history has no source text and languages of the job {job_id}: give them yourself")
    one = Correction(
        source_text=row.source_text,
        target_text=target_text,
        source_language=row.source_language,
        target_language=row.target_language,
        client_id=None if for_all_clients else row.client_id,
        job_id=job_id,
        **signature.model_dump(),
    )
    return record_corrections(connection, [one], cipher)[0]


def withdraw(
    connection: Connection, correction_id: UUID, signature: Signature, cipher: TextCipher | None = None
) -> KeptCorrection:
    """Let a correction hold no longer, from the next job on; returns the row that says so.

    Raises `DragomanError` for one that is unknown, superseded or withdrawn already, or whose key is not there.
    """
    take_turn(connection)
    _require_keys(connection, cipher)
    found = get_correction(connection, correction_id, cipher)
    if found is None:
        raise DragomanError(f"there is no correction {correction_id}")
    last = revisions(connection, found, cipher)[-1]
    if last.target_text is None:
        raise DragomanError(f"the correction {correction_id} is withdrawn already")
    if last.id != correction_id:
        raise DragomanError(f"the correction {correction_id} was superseded by {last.id}: withdraw that one")
    row = _Row(
        id=new_job_id(),
        chain=last.chain,
        revision=last.revision + 1,
        supersedes=last.id,
        job_id=last.job_id,
        client_id=last.client_id,
        source_language=last.source_language,
        target_language=last.target_language,
        source_text=last.source_text,
        target_text=None,
        **signature.model_dump(),
    )
    _write(connection, [row], cipher)
    written = get_correction(connection, row.id, cipher)
    assert written is not None, "we hold the turn and have just written it"  # noqa: S101 - for the type checker
    return written


def take_turn(connection: Connection) -> None:
    """Keep other writers out until our transaction ends."""
    connection.exec_driver_sql(LIMITS)
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})


def chain_names(names: ChainNames, one: Correction) -> tuple[bytes, ...]:
    """The names that its chain may have, first that of a new one."""
    return names.of(one.client_id, one.source_language, one.target_language, one.source_text)


def _require_keys(connection: Connection, cipher: TextCipher | None) -> None:
    """Whoever has not every key would take a text that has a chain for new."""
    for key_name in connection.exec_driver_sql(KEYS).scalars().all():
        required(cipher, key_name)


def _successor(one: Correction, name: bytes, before: Latest | None) -> _Row:
    return _Row(
        id=new_job_id(),
        chain=name,
        revision=before.revision + 1 if before else 1,
        supersedes=before.id if before else None,
        job_id=one.job_id,
        client_id=one.client_id,
        source_language=one.source_language,
        target_language=one.target_language,
        source_text=one.source_text,
        target_text=one.target_text,
        author=one.author,
        reason=one.reason,
        origin=one.origin,
    )


def _write(connection: Connection, rows: Sequence[_Row], cipher: TextCipher | None) -> None:
    sealed = rows if cipher is None else [_sealed(row, cipher) for row in rows]
    if len(_insert(connection, sealed)) < len(rows):
        raise TransientError("somebody wrote a correction without taking a turn: try again")


def _sealed(row: _Row, cipher: TextCipher) -> _Row:
    texts = cipher.seal_values(row.id, {column: getattr(row, column) for column in CORRECTION_TEXTS})
    return row._replace(**texts, text_key=cipher.key_name)
