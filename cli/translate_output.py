"""How `dragoman translate` writes a translation: text, ranked hypotheses, or JSON, and where to: standard output."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from ..model.decoding import SearchOptions
from ..model.translator import Translation

# What is written for the line of that number; None stands for a line without a translation.
Format = Callable[[int, Translation | None], str]


def output_format(options: SearchOptions, *, as_json: bool) -> Format:
    """The format that fits what was asked for; what it gives holds no line feed but between ranked hypotheses."""
    if as_json:
        return _json
    return _ranking if options.n_best > 1 else _text


def write_out(text: str) -> None:
    """Write `text` to standard output at once.

    Raises `ConfigurationError` when it is refused, as by a full disk; a closed pipe stays a `BrokenPipeError`, which
    click ends quietly.
    """
    try:
        rest = memoryview(text.encode())
        # Under PYTHONUNBUFFERED a nearly full disk takes a part and raises nothing before the next write.
        while rest:
            rest = rest[sys.stdout.buffer.write(rest) :]
        sys.stdout.buffer.flush()
    except OSError as error:
        _drop_what_is_buffered()
        if isinstance(error, BrokenPipeError):
            raise
        raise ConfigurationError(f"the translations cannot be written: {error.strerror}") from error


def _drop_what_is_buffered() -> None:
    """Lead standard output nowhere: the interpreter flushes it once more at exit, and would fail and say so again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _text(number: int, translation: Translation | None) -> str:  # noqa: ARG001
    return _with_alignment(translation) if translation else ""


def _ranking(number: int, translation: Translation | None) -> str:  # noqa: ARG001
    if translation is None:
        return ""
    every = (translation, *translation.alternatives)
    return "\n".join(f"{one.score:.6f}\t{_with_alignment(one)}" for one in every)


def _with_alignment(translation: Translation) -> str:
    if not translation.alignment:
        return translation.text
    pairs = (f"{source}-{target}" for target, source in enumerate(translation.alignment))
    return f"{translation.text}\t{' '.join(pairs)}"


def _json(number: int, translation: Translation | None) -> str:
    if translation is None:
        return json.dumps({"line": number, "translation": ""})
    alternatives = [_fields(one) for one in translation.alternatives]
    return json.dumps({"line": number} | _fields(translation) | {"alternatives": alternatives}, ensure_ascii=False)


def _fields(translation: Translation) -> dict[str, Any]:
    return {
        "translation": translation.text,
        "score": translation.score,
        "piece_scores": translation.piece_scores,
        "alignment": translation.alignment,
    }
