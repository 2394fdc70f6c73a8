"""Where texts of clients lie in the database, one entry a table: whoever adds a table with texts adds an entry here.

Rows of a place stay when their texts are removed, and `erased_at` says when. What is made of a place's rows and found
by their job id (search documents, events that wait in the outbox) is removed with them: `erasure.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextPlace:
    """A table with columns `job_id`, `client_id` and `erased_at`, a unique key, and texts.

    `emptied` maps each column with text to the SQL that stands for no text; `at` is when a row was written. Where texts
    may be encrypted (`text_cipher.py`, with the key as row id), `text_key` is the column that says with what.
    """

    table: str
    key: str
    at: str
    emptied: Mapping[str, str]
    text_key: str | None = None


# Of `correction`: what is encrypted. Who wrote one stays readable.
CORRECTION_TEXTS = ("source_text", "target_text", "reason")
TEXT_PLACES = (
    TextPlace(
        "translation",
        key="job_id",
        at="recorded_at",
        emptied={"source_text": "NULL", "target_text": "NULL", "detail": "NULL", "metadata": "'{}'"},
        text_key="text_key",
    ),
)
