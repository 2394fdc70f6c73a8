"""Corrections that hold today, as pairs to learn from. The view knows which those are."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from .corpus_pairs import FETCHED, StoredPair, may_be_read, opened_texts
from .history import HistoryFilter
from .text_cipher import TextCipher

CURRENT = """
SELECT id, text_key, source_text, target_text FROM current_correction
WHERE source_language = :source_language AND target_language = :target_language
  AND (CAST(:client_id AS text) IS NULL OR client_id = :client_id)
  AND (CAST(:since AS timestamptz) IS NULL OR created_at >= :since)
  AND (CAST(:until AS timestamptz) IS NULL OR created_at < :until)
ORDER BY created_at DESC, id
"""


def current_corrections(
    connection: Connection, filters: HistoryFilter, cipher: TextCipher | None = None
) -> Iterator[StoredPair]:
    """The corrections of a language pair, the latest first; of the filters, client and times count too.

    Left out are encrypted ones whose key the cipher has not.
    """
    bounds = {
        "source_language": filters.source_language,
        "target_language": filters.target_language,
        "client_id": filters.client_id,
        "since": filters.since,
        "until": filters.until,
    }
    with connection.execute(text(CURRENT), bounds, execution_options={"yield_per": FETCHED}) as found:
        for id_, key, source, target in found:
            if may_be_read(key, cipher):
                yield StoredPair(*opened_texts(cipher, key, id_, (source, target)), "correction")
