"""Finds events of the outbox that hold a text. Knows that a payload is JSON, and that some fields are base64."""

import binascii
import json
from base64 import b64decode
from collections.abc import Iterator

from sqlalchemy import Connection, select

from .outbox import delete_events, opened_event
from .tables import outbox
from .text_cipher import TextCipher
from .words import normalised

ENCODED_FIELDS = frozenset({"original_key", "original_value", "original_headers"})
FETCHED = 500


def drop_events_containing(
    connection: Connection, containing: str, client_id: str | None = None, cipher: TextCipher | None = None
) -> int:
    """Delete the waiting events that hold the text in any field, whatever its case; returns how many.

    A message that could not be read as a job has a row without texts, but its dead letter holds it as it was.
    """
    wanted = normalised(containing)
    with connection.execute(select(outbox), execution_options={"yield_per": FETCHED}) as rows:
        events = ((row.event_id, opened_event(row, cipher).payload) for row in rows)
        found = [event_id for event_id, payload in events if _is_meant(bytes(payload), wanted, client_id)]
    delete_events(connection, found)
    return len(found)


def _is_meant(payload: bytes, wanted: str, client_id: str | None) -> bool:
    texts = list(_texts(payload))
    return (client_id is None or client_id in texts) and any(wanted in normalised(held) for held in texts)


def _texts(payload: bytes) -> Iterator[str]:
    written = payload.decode("utf-8", "replace")
    yield written
    try:
        document = json.loads(written)
    except (ValueError, RecursionError):
        return
    yield from _strings(document, is_encoded=False)


def _strings(value: object, *, is_encoded: bool) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        if is_encoded:
            try:
                yield from _texts(b64decode(value, validate=True))
            except binascii.Error:
                return
    elif isinstance(value, dict):
        for name, held in value.items():
            yield name
            yield from _strings(held, is_encoded=name in ENCODED_FIELDS)
    elif isinstance(value, list):
        for held in value:
            yield from _strings(held, is_encoded=is_encoded)
