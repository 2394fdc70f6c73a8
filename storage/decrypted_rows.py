"""Decrypts texts in rows that are exported already: CSV and JSON as the server writes them, Arrow. Knows no file.

What is not encrypted passes as it is. `text_key` of what was decrypted is NULL: it says what the texts of a row are.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from .tables import TEXT_COLUMNS
from .text_cipher import TextCipher

KEY = "text_key"
# A cell as COPY writes it, and what follows it. Nothing is NULL, and "" an empty text.
CSV_CELL = re.compile(rb'("(?:[^"]|"")*"|[^,\n]*)[,\n]')
TEXT_AS_JSON = "metadata"


class DecryptedRows:
    """Rows of the history with these columns, in this order, decrypted; raises `DragomanError` for a missing key."""

    def __init__(self, cipher: TextCipher, columns: Sequence[str]) -> None:
        self._cipher = cipher
        self._columns = columns
        self._places = {name: columns.index(name) for name in ("job_id", KEY, *TEXT_COLUMNS)}

    def csv(self, content: bytes) -> bytes:
        """Whole rows of CSV."""
        cells = CSV_CELL.findall(content)
        width = len(self._columns)
        return b"".join(self._csv_row(cells[start : start + width]) for start in range(0, len(cells), width))

    def jsonl(self, content: bytes) -> bytes:
        """Whole lines, an object each."""
        return b"".join(map(self._json_line, content.splitlines(keepends=True)))

    def arrow(self, batch: Any) -> Any:
        """A record batch whose JSON is text."""
        import pyarrow

        keys = batch.column(KEY).to_pylist()
        if not any(keys):
            return batch
        held = [batch.column(name).to_pylist() for name in ("job_id", *TEXT_COLUMNS)]
        rows = [
            dict(zip(TEXT_COLUMNS, texts, strict=True)) if key is None else self._opened_text(key, job_id, texts)
            for key, job_id, *texts in zip(keys, *held, strict=True)
        ]
        for name in (KEY, *TEXT_COLUMNS):
            place = batch.schema.get_field_index(name)
            field = batch.schema.field(place)
            values = [row.get(name) for row in rows]
            batch = batch.set_column(place, field, pyarrow.array(values, type=field.type))
        return batch

    def _csv_row(self, cells: list[bytes]) -> bytes:
        key = cells[self._places[KEY]]
        if key:
            texts = [_uncelled(cells[self._places[name]]) for name in TEXT_COLUMNS]
            job_id = cells[self._places["job_id"]].decode()
            for name, value in self._opened_text(key.decode(), job_id, texts).items():
                cells[self._places[name]] = _celled(value)
            cells[self._places[KEY]] = b""
        return b",".join(cells) + b"\n"

    def _json_line(self, line: bytes) -> bytes:
        row = json.loads(line)
        if row[KEY] is None:
            return line
        row |= self._opened(row[KEY], row["job_id"], {name: row[name] for name in TEXT_COLUMNS}) | {KEY: None}
        return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def _opened_text(self, key: str, job_id: str, texts: Sequence[str | None]) -> dict[str, Any]:
        """Values whose JSON is text."""
        values = dict(zip(TEXT_COLUMNS, texts, strict=True))
        return _with(_json_text, self._opened(key, job_id, _with(json.loads, values)))

    def _opened(self, key: str, job_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return self._cipher.open_values(key, UUID(job_id), values)


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _with(convert: Callable[[Any], Any], values: Mapping[str, Any]) -> dict[str, Any]:
    held = values[TEXT_AS_JSON]
    return {**values, TEXT_AS_JSON: None if held is None else convert(held)}


def _uncelled(cell: bytes) -> str | None:
    if not cell:
        return None
    return (cell[1:-1].replace(b'""', b'"') if cell.startswith(b'"') else cell).decode()


def _celled(value: str | None) -> bytes:
    return b"" if value is None else b'"' + value.replace('"', '""').encode() + b'"'
