"""Writes TMX 1.4b. Knows its elements, keeps nothing."""

from collections.abc import Iterable, Iterator
from importlib.metadata import version

from ..correction_queries import KeptCorrection
from .xml_output import attribute, content


def tmx(corrections: Iterable[KeptCorrection]) -> Iterator[str]:
    """The parts of a TMX file: one unit a correction, its id, author, time and reason with it."""
    tool_version = version("dragoman")
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4">\n'
        f'<header creationtool="dragoman" creationtoolversion="{tool_version}" segtype="sentence" '
        'o-tmf="dragoman" adminlang="en" srclang="*all*" datatype="plaintext"/>\n<body>\n'
    )
    for one in corrections:
        yield _unit(one)
    yield "</body>\n</tmx>\n"


def _unit(one: KeptCorrection) -> str:
    note = f"<note>{content(one.reason)}</note>" if one.reason else ""
    return (
        f'<tu tuid="{one.id}" srclang={attribute(one.source_language)} creationid={attribute(one.author)} '
        f'creationdate="{one.created_at:%Y%m%dT%H%M%SZ}">{note}'
        f"{_variant(one.source_language, one.source_text)}{_variant(one.target_language, one.target_text or '')}</tu>\n"
    )


def _variant(language: str, text: str) -> str:
    return f"<tuv xml:lang={attribute(language)}><seg>{content(text)}</seg></tuv>"
