"""Encrypts texts that are not, or not with the first key: in batches, so that it may be stopped and called again."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from .bulk import array_literal, quoted, written_json
from .engine import transaction
from .search_index import drop_documents, lock_documents
from .tables import TEXT_COLUMNS
from .text_cipher import TextCipher

BATCH_ROWS = 1_000
# A no-trace or erased row has nothing to encrypt.
LEFT = "text_key IS DISTINCT FROM :key AND erased_at IS NULL AND NOT no_trace"
COUNT = f"SELECT count(*) FROM translation WHERE {LEFT}"  # noqa: S608 - our own words
ROWS = f"""
SELECT job_id, text_key, source_text, target_text, detail, metadata FROM translation
WHERE {LEFT} AND (CAST(:after AS uuid) IS NULL OR job_id > CAST(:after AS uuid)) ORDER BY job_id LIMIT {BATCH_ROWS}
"""  # noqa: S608 - our own words
# A row that was erased meanwhile stays erased.
REPLACE = """
UPDATE translation AS kept SET source_text = new.source_text, target_text = new.target_text, detail = new.detail,
  metadata = new.metadata, text_key = %s
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::jsonb[])
  AS new (job_id, source_text, target_text, detail, metadata)
WHERE kept.job_id = new.job_id AND kept.erased_at IS NULL
"""


def rows_to_reencrypt(connection: Connection, cipher: TextCipher) -> int:
    """How many rows are left."""
    count: int = connection.execute(text(COUNT), {"key": cipher.key_name}).scalar_one()
    return count


def reencrypt(engine: Engine, cipher: TextCipher) -> Iterator[int]:
    """Encrypt what is left with the first key, and yield the size of each batch that is done.

    Search documents of texts that were not encrypted are removed. Raises `DragomanError` for a row whose key is not
    there, `TransientError` when the database is away: call it again.
    """
    after = None
    while True:
        with transaction(engine) as connection:
            lock_documents(connection)
            rows = connection.execute(text(ROWS), {"key": cipher.key_name, "after": after}).all()
            if rows:
                _replace(connection, cipher, rows)
        if not rows:
            return
        after = rows[-1].job_id
        yield len(rows)


def _replace(connection: Connection, cipher: TextCipher, rows: Sequence[Row[Any]]) -> None:
    sealed = [_sealed(cipher, row) for row in rows]
    texts = [
        array_literal((values[column] for values in sealed), quoted)
        for column in ("source_text", "target_text", "detail")
    ]
    metadata = array_literal((values["metadata"] for values in sealed), written_json)
    jobs = array_literal((row.job_id for row in rows), str)
    connection.exec_driver_sql(REPLACE, (cipher.key_name, jobs, *texts, metadata))
    drop_documents(connection, [row.job_id for row in rows if row.text_key is None])


def _sealed(cipher: TextCipher, row: Row[Any]) -> dict[str, Any]:
    values = {column: row._mapping[column] for column in TEXT_COLUMNS}
    plain = values if row.text_key is None else cipher.open_values(row.text_key, row.job_id, values)
    return cipher.seal_values(row.job_id, plain)
