"""Pairs of texts in the history that a model may learn from. Knows which rows are never given away.

A row without its texts (rejected, erased, or never stored because its job said so) has nothing to give.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, select

from .history import HistoryFilter
from .tables import translation
from .text_cipher import TextCipher, opened

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
            if may_be_read(key, cipher):
                yield StoredPair(*opened_texts(cipher, key, job_id, (source, target)), "model", score, version)


def may_be_read(key: str | None, cipher: TextCipher | None) -> bool:
    """Whether the cipher has the key, or none is needed."""
    return key is None or (cipher is not None and cipher.knows(key))


def opened_texts(cipher: TextCipher | None, key: str | None, row_id: UUID, texts: tuple[str, str]) -> tuple[str, str]:
    """A source and a target text as they were."""
    values = opened(cipher, key, row_id, dict(zip(("source_text", "target_text"), texts, strict=True)))
    return values["source_text"], values["target_text"]
