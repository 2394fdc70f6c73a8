"""Texts as XML. Knows which characters XML 1.0 has no way to write."""

import re
from xml.sax.saxutils import escape, quoteattr

# https://www.w3.org/TR/xml/#charsets
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def is_writable(*texts: str | None) -> bool:
    """Whether XML can hold every character of these texts."""
    return not any(text and _UNWRITABLE.search(text) for text in texts)


def content(text: str) -> str:
    """A text between tags; a carriage return, which a parser would alter, as a reference."""
    return escape(text, {"\r": "&#13;"})


def attribute(text: str) -> str:
    """A text as the value of an attribute, with its quotation marks."""
    return quoteattr(text)
