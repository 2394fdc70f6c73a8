"""What a failing model does to a text: says a thing again and again, or gives the source back. Pure; knows no model."""

import re

# Words of a phrase that is said again and again, at most, and how often in a row before it counts.
LONGEST_PHRASE = 8
FEWEST_TURNS = 4
# A name or a number is the same in any language; a sentence is not.
FEWEST_COPIED_WORDS = 4
# A translation may say again twice what its source does, and so many words beside that.
FREE_WORDS = 8


def is_copy(source: str, target: str) -> bool:
    """Whether the translation is the source itself, a sentence of some length."""
    words = [word for word in _units(source) if any(map(str.isalpha, word))]
    return len(words) >= FEWEST_COPIED_WORDS and _units(source.casefold()) == _units(target.casefold())


def is_loop(source: str, target: str) -> bool:
    """Whether the translation says a phrase again and again, and the source does not."""
    return repeated_units(target) > 2 * repeated_units(source) + FREE_WORDS


def repeated_units(text: str) -> int:
    """Words (characters, where there are no spaces) in the longest run of one phrase said again and again."""
    units = _units(text)
    return max((_longest_run(units, size) for size in range(1, LONGEST_PHRASE + 1)), default=0)


def _longest_run(units: list[str], size: int) -> int:
    """Units in the longest run of a phrase of `size` of them; 0 if none has turns enough."""
    longest = same = 0
    for place in range(size, len(units)):
        same = same + 1 if units[place] == units[place - size] else 0
        longest = max(longest, same)
    run = longest + size
    return run if longest and run >= size * FEWEST_TURNS else 0


def _units(text: str) -> list[str]:
    words = re.findall(r"\w+|[^\w\s]", text)
    return words if len(text.split()) > 1 else list(text.strip())
