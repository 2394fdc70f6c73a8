"""Looks for a text in every table of a database, in every form in which it can lie there."""

from base64 import b64decode
from collections.abc import Iterator
from re import findall

from dragoman.storage.engine import transaction
from sqlalchemy import Connection, Engine, text

TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1
"""
BASE64_RUN = rb"[A-Za-z0-9+/]{16,}={0,2}"


def tables_holding(engine: Engine, canary: str) -> list[str]:
    """Tables with a row that holds the canary, whatever its case: as text, as bytes, as base64 inside of either."""
    wanted = canary.casefold().encode()
    with transaction(engine) as connection:
        tables = list(connection.execute(text(TABLES)).scalars())
        return [_whole(table) for table in tables if any(wanted in form for form in _forms(connection, table))]


def _whole(table: str) -> str:
    """The table of a partition."""
    return next((whole for whole in ("search_document", "translation") if table.startswith(whole)), table)


def _forms(connection: Connection, table: str) -> Iterator[bytes]:
    for (row,) in connection.execute(text(f"SELECT t::text FROM {table} AS t")):
        plain = row.encode()
        texts = [plain, *(bytes.fromhex(found) for found in findall(r"\\x((?:[0-9a-f]{2})+)", row))]
        for held in texts:
            yield held.lower()
            for run in findall(BASE64_RUN, held):
                yield b64decode(run[: len(run) // 4 * 4]).lower()
