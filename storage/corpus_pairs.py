"""Pairs of texts in the history that a model may learn from. Knows which rows are never given away.

A row without its texts (rejected, erased, or never stored because its job said so) has nothing to give.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from sqlalchemy import Connection, select

from .history import HistoryFilter
from .tables import translation
from .text_cipher import TextCipher

# Rows fetched at once.
FETCHED = 5_000


class StoredPair(NamedTuple):
    """A text and its translation; `made_by` is the model version, None for a person."""

    source_text: str
    target_text: str
    origin: Literal["correction", "model"]
    score: float | None = None
    made_by: str | None = None


def translated_pairs(
    connection: Connection, filters: HistoryFilter, cipher: TextCipher | None = None
) -> Iterator[StoredPair]:
    """What a model wrote, the latest first; its copies from the cache and for twins are left out.

    So are encrypted texts whose key the cipher has not.
    """
    columns = translation.c
    texts = (columns.source_text, columns.target_text)
    rows = (
        select(columns.job_id, columns.text_key, *texts, columns.score, columns.model_version_id)
        .where(filters.condition(), columns.status == "translated", columns.answered_by == "model")
        .where(*(column.is_not(None) for column in texts))
        .order_by(columns.recorded_at.desc())
    )
    with connection.execute(rows, execution_options={"yield_per": FETCHED}) as found:
        for job_id, key, source, target, score, version in found:
            if key is None:
                yield StoredPair(source, target, "model", score, version)
            elif cipher is not None and cipher.knows(key):
                opened = cipher.open_values(key, job_id, {"source_text": source, "target_text": target})
                yield StoredPair(opened["source_text"], opened["target_text"], "model", score, version)
