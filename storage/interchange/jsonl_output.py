"""Writes one JSON object a line, as `lines.py` reads it."""

import json
from collections.abc import Iterable, Iterator

from ..correction_queries import KeptCorrection
from .lines import FIELDS


def jsonl(corrections: Iterable[KeptCorrection]) -> Iterator[str]:
    """A line for each correction."""
    for one in corrections:
        yield json.dumps({name: getattr(one, name) for name in FIELDS}, ensure_ascii=False) + "\n"
