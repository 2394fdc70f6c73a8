"""Encrypts corrections that are not, or not with the first key: whole chains, in batches, which also get a new name.

A running worker goes on finding them: the name that it knows of a chain lets it ask for every name that the chain may
have. Writers are kept out for as long as a batch takes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from .bulk import array_literal, bytea, quoted
from .correction_chain import ChainNames
from .corrections import take_turn
from .engine import transaction
from .text_cipher import TextCipher, opened
from .text_places import CORRECTION_TEXTS

BATCH_ROWS = 1_000
LEFT = "text_key IS DISTINCT FROM :key"
COUNT = f"SELECT count(*) FROM correction WHERE {LEFT}"  # noqa: S608 - our own words
# Behind the last of the batch before lie those that nobody has looked at.
NEXT = f"SELECT number, chain FROM correction WHERE {LEFT} AND number > :after ORDER BY number LIMIT {BATCH_ROWS}"  # noqa: S608 - our own words
ROWS = """
SELECT id, text_key, client_id, source_language, target_language, source_text, target_text, reason FROM correction
WHERE chain = ANY(CAST(:chains AS bytea[]))
"""
REPLACE = """
UPDATE correction AS kept SET text_key = %s, chain = new.chain, source_text = new.source_text,
  target_text = new.target_text, reason = new.reason
FROM unnest(%s::uuid[], %s::bytea[], %s::text[], %s::text[], %s::text[])
  AS new (id, chain, source_text, target_text, reason)
WHERE kept.id = new.id
"""


def corrections_to_reencrypt(connection: Connection, cipher: TextCipher) -> int:
    """How many rows are left."""
    count: int = connection.execute(text(COUNT), {"key": cipher.key_name}).scalar_one()
    return count


def reencrypt_corrections(engine: Engine, cipher: TextCipher) -> Iterator[int]:
    """Encrypt what is left with the first key, and yield how many of those rows each batch did.

    Raises `DragomanError` for a row whose key is not there, `TransientError` when the database is away or others
    write for longer than ten seconds: call it again.
    """
    names, after = ChainNames(cipher), 0
    while True:
        with transaction(engine) as connection:
            take_turn(connection)
            found = connection.execute(text(NEXT), {"key": cipher.key_name, "after": after}).all()
            if not found:
                return
            chains = array_literal({bytes(chain) for _, chain in found}, bytea)
            rows = connection.execute(text(ROWS), {"chains": chains}).all()
            _replace(connection, cipher, names, rows)
        after = found[-1].number
        yield sum(row.text_key != cipher.key_name for row in rows)


def _replace(connection: Connection, cipher: TextCipher, names: ChainNames, rows: Sequence[Row[Any]]) -> None:
    sealed, chains = [], []
    for row in rows:
        plain = opened(cipher, row.text_key, row.id, {column: row._mapping[column] for column in CORRECTION_TEXTS})
        sealed.append(cipher.seal_values(row.id, plain))
        chains.append(names.of(row.client_id, row.source_language, row.target_language, plain["source_text"])[0])
    texts = [array_literal((values[column] for values in sealed), quoted) for column in CORRECTION_TEXTS]
    ids = array_literal((row.id for row in rows), str)
    connection.exec_driver_sql(REPLACE, (cipher.key_name, ids, array_literal(chains, bytea), *texts))
