"""Pairs of texts in the history that a model may learn from. Knows which rows are never given away.

A row without its texts (rejected, erased, or never stored because its job said so) has nothing to give.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from sqlalchemy import Connection, select

from .history import HistoryFilter
from .tables import translation

# Rows fetched at once.
FETCHED = 5_000


class StoredPair(NamedTuple):
    """A text and its translation; `made_by` is the model version, None for a person."""

    source_text: str
    target_text: str
    origin: Literal["correction", "model"]
    score: float | None = None
    made_by: str | None = None


def translated_pairs(connection: Connection, filters: HistoryFilter) -> Iterator[StoredPair]:
    """What a model wrote, the latest first; its copies from the cache and for twins are left out."""
    columns = translation.c
    rows = (
        select(columns.source_text, columns.target_text, columns.score, columns.model_version_id)
        .where(filters.condition(), columns.status == "translated", columns.answered_by == "model")
        .where(columns.source_text.is_not(None), columns.target_text.is_not(None))
        .order_by(columns.recorded_at.desc())
    )
    with connection.execute(rows, execution_options={"yield_per": FETCHED}) as found:
        for source, target, score, version in found:
            yield StoredPair(source, target, "model", score, version)
