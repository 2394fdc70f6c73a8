"""One JSON object a line. Knows three ways to name the two sides, not what stands in them.

`{"source": ..., "target": ...}`, `{"en": ..., "fr": ...}` or `{"translation": {"en": ..., "fr": ...}}`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError
from .language_tags import matching_tag
from .lines import text_lines


def read_jsonl(path: Path, languages: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """The pair of each line; empty lines are passed over, raises `ConfigurationError` naming the file and line."""
    for number, line in enumerate(text_lines(path), 1):
        if line.strip():
            yield _pair(line, languages, f"{path}, line {number}")


def _pair(line: str, languages: tuple[str, str], place: str) -> tuple[str, str]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{place}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"{place}: a JSON object is wanted, this is {line.strip()[:40]!r}")
    sides = _sides(found, languages)
    if not all(isinstance(side, str) for side in sides):
        first, second = languages
        raise ConfigurationError(
            f"{place}: no texts under 'source' and 'target', {first!r} and {second!r}, or the same within 'translation'"
        )
    return sides


def _sides(found: dict[str, Any], languages: tuple[str, str]) -> tuple[Any, Any]:
    if "source" in found and "target" in found:
        return found["source"], found["target"]
    texts = found["translation"] if isinstance(found.get("translation"), dict) else found
    source, target = (matching_tag(texts, language) for language in languages)
    return texts.get(source or ""), texts.get(target or "")
