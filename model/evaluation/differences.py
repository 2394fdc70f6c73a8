"""Which words differ between two texts. Knows words only."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

# A word, a run of white space, or one other sign.
WORD = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text; `differs` if the other text does not have it there."""

    text: str
    differs: bool


def differing_spans(text: str, other: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Cut both texts into spans, those of one that the other lacks marked; together they are the texts again."""
    words, others = WORD.findall(text), WORD.findall(other)
    left: list[Span] = []
    right: list[Span] = []
    for kind, start, end, other_start, other_end in SequenceMatcher(None, words, others, autojunk=False).get_opcodes():
        _append(left, "".join(words[start:end]), kind != "equal")
        _append(right, "".join(others[other_start:other_end]), kind != "equal")
    return _joined(left), _joined(right)


def _append(spans: list[Span], text: str, differs: bool) -> None:
    if text:
        spans.append(Span(text, differs and not text.isspace()))


def _joined(spans: list[Span]) -> tuple[Span, ...]:
    """Differing words with nothing but white space between them are one span."""
    joined: list[Span] = []
    for span in spans:
        gap = len(joined) > 1 and span.differs and joined[-1].text.isspace() and joined[-2].differs
        if gap:
            space, before = joined.pop(), joined.pop()
            joined.append(Span(before.text + space.text + span.text, differs=True))
        else:
            joined.append(span)
    return tuple(joined)
