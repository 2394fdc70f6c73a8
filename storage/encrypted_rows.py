"""Notices encrypted rows among exported ones, as they pass: CSV and JSON as the server writes them, Arrow.

Knows no file, and no key: `decrypted_rows.py` has those.
"""

from collections.abc import Sequence
from typing import Any

from .decrypted_rows import CSV_CELL, KEY

# Inside a text quotation marks are escaped, and JSON of a column has a space behind its colons.
JSON_KEY = f'"{KEY}":"'.encode()
# What stands before the key is yes or no, and what follows it a time: neither is ever quoted.
BEFORE_KEY = (b",t", b",f")


class EncryptedRows:
    """Rows of the history with these columns, in this order; `passed` = there was an encrypted one."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.passed = False
        self._place, self._width = columns.index(KEY), len(columns)

    def csv(self, content: bytes) -> bytes:
        """Whole rows of CSV, unchanged."""
        self.passed = self.passed or self._is_in_csv(content)
        return content

    def jsonl(self, content: bytes) -> bytes:
        """Whole lines, an object each, unchanged."""
        self.passed = self.passed or JSON_KEY in content
        return content

    def arrow(self, batch: Any) -> Any:
        """A record batch, unchanged."""
        self.passed = self.passed or batch.column(KEY).null_count < batch.num_rows
        return batch

    def _is_in_csv(self, content: bytes) -> bool:
        # A line of a text can look like the end of such a row: that takes reading all cells, which is slow.
        is_suspect = any(map(_may_end_encrypted_row, content.split(b"\n")))
        return is_suspect and any(CSV_CELL.findall(content)[self._place :: self._width])


def _may_end_encrypted_row(line: bytes) -> bool:
    before, _, end = line.rpartition(b",")[0].rpartition(b",")
    return end != b"" and before.endswith(BEFORE_KEY)
