"""Encrypts texts before they are written and decrypts them when they are read: AES-256-GCM, keys of the settings.

What is encrypted is bound to its row and column (as associated data), so that it cannot be moved elsewhere unnoticed.
The name of the key stands beside it, in a column `text_key`: NULL there says that the row is not encrypted, whatever
its texts look like. Knows no SQL.
"""

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from ..errors import ConfigurationError, DragomanError
from .records import HistoryRow, OutboxEvent, Settlement
from .tables import TEXT_COLUMNS

KEY_BYTES = 32
# What NIST SP 800-38D recommends for GCM; random, so a key serves some four thousand million texts.
NONCE_BYTES = 12
# The only field of a JSON column that is encrypted.
FIELD = "encrypted"
PAYLOAD = "payload"


class TextCipher:
    """Encrypts with the first key, decrypts with each."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self.key_name = next(iter(keys))
        # Keys for the names of what must be found by its text: each follows from one of ours, and tells nothing of it.
        self.name_keys = tuple(_name_key(key) for key in keys.values())
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}

    @classmethod
    def of_setting(cls, written: str) -> "TextCipher":
        """Read NAME:BASE64,NAME:BASE64; raises `ConfigurationError`, which quotes no key."""
        keys: dict[str, bytes] = {}
        for entry in written.split(","):
            name, colon, encoded = entry.strip().partition(":")
            if not (colon and name.isidentifier()) or name in keys:
                raise ConfigurationError(
                    "DRAGOMAN_TEXT_KEYS: write NAME:KEY,NAME:KEY, each name once, of letters, digits and underscores"
                )
            keys[name] = _key(name, encoded)
        return cls(keys)

    def knows(self, key_name: str) -> bool:
        """Whether it has the key of this name."""
        return key_name in self._ciphers

    def seal(self, settlement: Settlement) -> Settlement:
        """The settlement as it is written."""
        return replace(
            settlement,
            rows=tuple(self.seal_row(row) for row in settlement.rows),
            events=tuple(tuple(self.seal_event(event) for event in events) for events in settlement.events),
        )

    def seal_row(self, row: HistoryRow) -> HistoryRow:
        """The row as it is written."""
        sealed = self.seal_values(row.job_id, {column: getattr(row, column) for column in TEXT_COLUMNS})
        return row._replace(**sealed, text_key=self.key_name)

    def open_row(self, row: HistoryRow) -> HistoryRow:
        """The row as it was; raises `DragomanError` when the key is missing or somebody changed the text."""
        if row.text_key is None:
            return row
        held = {column: getattr(row, column) for column in TEXT_COLUMNS}
        return row._replace(**self.open_values(row.text_key, row.job_id, held))

    def seal_event(self, event: OutboxEvent) -> OutboxEvent:
        """The event as it lies in the outbox."""
        sealed = self._seal(event.event_id, PAYLOAD, event.payload)
        return event._replace(payload=sealed, text_key=self.key_name)

    def open_event(self, event: OutboxEvent) -> OutboxEvent:
        """The event as Kafka gets it; raises as `open_row` does."""
        if event.text_key is None:
            return event
        opened = self._open(event.text_key, event.event_id, PAYLOAD, event.payload)
        return event._replace(payload=opened, text_key=None)

    def seal_values(self, row_id: UUID, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of a row's columns, text or JSON, as they are written; nothing stays nothing."""
        return {column: self._seal_value(row_id, column, value) for column, value in values.items()}

    def open_values(self, key_name: str, row_id: UUID, values: Mapping[str, Any]) -> dict[str, Any]:
        """The reverse; raises `DragomanError`."""
        return {column: self._open_value(key_name, row_id, column, value) for column, value in values.items()}

    def _seal_value(self, row_id: UUID, column: str, value: Any) -> Any:
        if not value:
            return value
        if isinstance(value, Mapping):
            return {FIELD: self._seal_value(row_id, column, json.dumps(dict(value), ensure_ascii=False))}
        return b64encode(self._seal(row_id, column, value.encode())).decode()

    def _open_value(self, key_name: str, row_id: UUID, column: str, value: Any) -> Any:
        if not value:
            return value
        if isinstance(value, Mapping):
            return json.loads(self._open_value(key_name, row_id, column, value[FIELD]))
        return self._open(key_name, row_id, column, _bytes(value)).decode()

    def _seal(self, row_id: UUID, column: str, held: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._ciphers[self.key_name].encrypt(nonce, held, _place(row_id, column))

    def _open(self, key_name: str, row_id: UUID, column: str, sealed: bytes) -> bytes:
        required(self, key_name)
        try:
            return self._ciphers[key_name].decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _place(row_id, column))
        except (InvalidTag, ValueError):
            raise DragomanError(
                f"{column} of {row_id} was changed, or the key {key_name} of DRAGOMAN_TEXT_KEYS is not the one it was "
                "encrypted with"
            ) from None


def cipher_of(keys: SecretStr | None) -> TextCipher | None:
    """The cipher that a setting asks for."""
    return TextCipher.of_setting(keys.get_secret_value()) if keys else None


def required(cipher: TextCipher | None, key_name: str) -> TextCipher:
    """The cipher for what is encrypted with this key; raises `DragomanError` where it, or any, is lacking."""
    if cipher is None or not cipher.knows(key_name):
        raise DragomanError(f"texts are encrypted with the key {key_name}, which DRAGOMAN_TEXT_KEYS lacks: add it")
    return cipher


def opened(
    cipher: TextCipher | None, key_name: str | None, row_id: UUID, values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Values of a row as they were, encrypted or not (None); raises `DragomanError`."""
    if key_name is None:
        return values
    return required(cipher, key_name).open_values(key_name, row_id, values)


def _bytes(written: str) -> bytes:
    """What is no base64 cannot be decrypted either, and is reported as such."""
    try:
        return b64decode(written, validate=True)
    except ValueError:
        return b""


def _name_key(key: bytes) -> bytes:
    return hashlib.blake2b(b"names", digest_size=KEY_BYTES, key=key).digest()


def _place(row_id: UUID, column: str) -> bytes:
    return row_id.bytes + column.encode()


def _key(name: str, encoded: str) -> bytes:
    key = _bytes(encoded)
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"DRAGOMAN_TEXT_KEYS: the key {name} is not {KEY_BYTES} bytes in base64: make one with "
            "`openssl rand -base64 32`"
        )
    return key
