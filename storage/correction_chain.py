"""The name of a correction's chain: which client, pair and source text it speaks of. Pure."""

import hashlib

CHAIN_BYTES = 16


def chain_of(client_id: str | None, source_language: str, target_language: str, source_text: str) -> bytes:
    """The digest that all revisions of one correction share; `client_id` None = for all clients.

    None of the four may hold a NUL character, so that no two lists of them are joined alike.
    """
    named = "\0".join((client_id or "", source_language, target_language, source_text))
    return hashlib.blake2b(named.encode(), digest_size=CHAIN_BYTES).digest()
