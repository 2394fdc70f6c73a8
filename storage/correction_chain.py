"""The names of a correction's chain: which client, pair and source text it speaks of. Pure.

A digest of a short text tells the text to whoever guesses it. So where texts are encrypted, a chain gets a name under
a key; one that was begun before keeps its name until it is encrypted again, so there are several names to look for.
"""

import hashlib

from .text_cipher import TextCipher

CHAIN_BYTES = 16


class ChainNames:
    """Names chains with the keys of a cipher, or without any."""

    def __init__(self, cipher: TextCipher | None = None) -> None:
        self._keys = (*(cipher.name_keys if cipher else ()), b"")

    def of(
        self, client_id: str | None, source_language: str, target_language: str, source_text: str
    ) -> tuple[bytes, ...]:
        """Every name the chain may have, first that of a new one; `client_id` None = for all clients.

        None of the four may hold a NUL character, so that no two lists of them are joined alike.
        """
        named = "\0".join((client_id or "", source_language, target_language, source_text)).encode()
        return tuple(hashlib.blake2b(named, digest_size=CHAIN_BYTES, key=key).digest() for key in self._keys)
