"""How `dragoman translate` writes a translation: text, ranked hypotheses, or JSON."""

import json
from collections.abc import Callable
from typing import Any

from ..model.decoding import SearchOptions
from ..model.translator import Translation

# What is written for the line of that number; None stands for a line without a translation.
Format = Callable[[int, Translation | None], str]


def output_format(options: SearchOptions, *, as_json: bool) -> Format:
    """The format that fits what was asked for; what it gives holds no line feed but between ranked hypotheses."""
    if as_json:
        return _json
    return _ranking if options.n_best > 1 else _text


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
