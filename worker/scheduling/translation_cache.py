"""Translations that this worker made lately, by what was translated. Knows no jobs."""

import sys
from collections import OrderedDict

from ...model.translation import Translation
from .pool import Pool

# Beside texts and pieces: the key, the entry of the dictionary, the translation's own numbers.
ENTRY_BYTES = 600
# What a piece takes in a tuple; the numbers themselves are mostly shared.
PIECE_BYTES = 8

Key = tuple[Pool, tuple[int, ...]]


class TranslationCache:
    """Keeps the translations that were asked for last, within so many bytes. Not thread-safe: its owner locks.

    The same pieces in the same pool give the same bytes whatever else is in their batch, so a kept translation is
    what the model would say again. A model version is part of the pool: another version never answers.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[Key, Translation] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self.size_bytes = 0

    def find(self, pool: Pool, pieces: tuple[int, ...]) -> Translation | None:
        """The translation, if it is kept."""
        key = (pool, pieces)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, pool: Pool, pieces: tuple[int, ...], translation: Translation) -> None:
        """Keep a translation; those that were not asked for longest leave to make room for it."""
        key, size_bytes = (pool, pieces), _size_bytes(pieces, translation)
        if size_bytes > self._limit_bytes or key in self._kept:
            return
        self._kept[key] = translation
        if translation.piece_scores or translation.alignment or translation.attention or translation.alternatives:
            # Scores of pieces, attention and the like are not asked for by jobs, and large.
            text, score = translation.text, translation.score
            self._kept[key] = Translation(text, score, translation.source_pieces, translation.target_pieces)
        self.size_bytes += size_bytes
        while self.size_bytes > self._limit_bytes:
            oldest, dropped = self._kept.popitem(last=False)
            self.size_bytes -= _size_bytes(oldest[1], dropped)


def _size_bytes(pieces: tuple[int, ...], translation: Translation) -> int:
    return ENTRY_BYTES + PIECE_BYTES * len(pieces) + sys.getsizeof(translation.text)
