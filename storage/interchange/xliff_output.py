"""Writes XLIFF 2.0 and 1.2, one pair of languages a file. Knows their elements, keeps nothing."""

from collections.abc import Iterable, Iterator

from ..correction_queries import KeptCorrection
from .xml_output import attribute, content

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def xliff_2(corrections: Iterable[KeptCorrection], source: str, target: str) -> Iterator[str]:
    """The parts of an XLIFF 2.0 file; every segment is final."""
    yield (
        f'{DECLARATION}<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang={attribute(source)} '
        f'trgLang={attribute(target)}>\n<file id="corrections" xml:space="preserve">\n'
    )
    for one in corrections:
        notes = f"<notes><note>{content(one.reason)}</note></notes>" if one.reason else ""
        yield f'<unit id="{one.id}">{notes}<segment state="final">{_texts(one)}</segment></unit>\n'
    yield "</file>\n</xliff>\n"


def xliff_1(corrections: Iterable[KeptCorrection], source: str, target: str) -> Iterator[str]:
    """The parts of an XLIFF 1.2 file; every unit is approved."""
    yield (
        f'{DECLARATION}<xliff xmlns="urn:oasis:names:tc:xliff:document:1.2" version="1.2">\n'
        f'<file original="corrections" datatype="plaintext" source-language={attribute(source)} '
        f"target-language={attribute(target)}>\n<body>\n"
    )
    for one in corrections:
        note = f"<note>{content(one.reason)}</note>" if one.reason else ""
        yield f'<trans-unit id="{one.id}" approved="yes" xml:space="preserve">{_texts(one)}{note}</trans-unit>\n'
    yield "</body>\n</file>\n</xliff>\n"


def _texts(one: KeptCorrection) -> str:
    return f"<source>{content(one.source_text)}</source><target>{content(one.target_text or '')}</target>"
