"""Which pairs are fit for training. Knows texts, no files and no tensors."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

# Why a pair is dropped, in the order in which it is asked; "duplicate" is found last, over all files.
REASONS = (
    "empty",
    "too long",
    "length ratio",
    "control characters",
    "copied",
    "few letters",
    "other script",
    "duplicate",
)

# C0 and C1 controls but for white space, and halves of characters (JSON can spell them).
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
# White space that ends a line or is doubled; no-break and other typographic spaces stay.
_LINE_BREAKS = re.compile(r"[\t-\r\x85\u2028\u2029]")
_WHITE_SPACE = re.compile(r"[ \t-\r\x85\u2028\u2029]+")
_LATIN = "\u0041-\u007a\u00aa-\u024f\u1e00-\u1eff"
_CYRILLIC, _GREEK, _ARABIC = "\u0400-\u052f", "\u0370-\u03ff\u1f00-\u1fff", "\u0600-\u06ff\u0750-\u077f\ufb50-\ufefc"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_LATIN_LANGUAGES = (
    "af ca cs cy da de en es et eu fi fr ga gl hr hu id is it lt lv ms mt nl no pl pt ro sk sl sq sv sw tr vi"
)
# The letters of each language, as far as known; of other languages nothing is dropped.
SCRIPTS = dict.fromkeys(re.findall("[a-z]+", _LATIN_LANGUAGES), _LATIN) | {
    "ar": _ARABIC,
    "be": _CYRILLIC,
    "bg": _CYRILLIC,
    "el": _GREEK,
    "fa": _ARABIC,
    "he": "\u0590-\u05ff",
    "hi": "\u0900-\u097f",
    "ja": _HAN + "\u3040-\u30ff",
    "ko": "\u1100-\u11ff\uac00-\ud7af",
    "mk": _CYRILLIC,
    "ru": _CYRILLIC,
    "th": "\u0e00-\u0e7f",
    "uk": _CYRILLIC,
    "zh": _HAN,
}


@dataclass(frozen=True, slots=True)
class CleaningRules:
    """What a pair must be like. Lengths are in characters, shares between 0 (not asked) and 1.

    One side may have `max_length_ratio` times the characters of the other, and any number if it has no more than
    `ratio_free_characters` ("Go!" has few letters in any language). A source that is its own target is dropped
    if it has more than `copy_free_letters`: names and numbers stay the same. `min_letter_share` and
    `min_script_share` bound the letters among the characters and the letters of the language's script among the
    letters. `normalisation` and white space are put right before anything is asked.
    """

    max_characters: int = 400
    max_length_ratio: float = 3.0
    ratio_free_characters: int = 30
    copy_free_letters: int = 12
    min_letter_share: float = 0.0
    min_script_share: float = 0.0
    normalisation: Literal["none", "NFC"] = "NFC"
    duplicates: Literal["drop", "keep"] = "drop"

    def tidy(self, text: str) -> str:
        """One line without white space at its ends, normalised."""
        if self.normalisation == "NFC" and not text.isascii():
            text = unicodedata.normalize("NFC", text)
        # Most text is printable, which costs a tenth of a search.
        if "  " in text or (not text.isprintable() and _LINE_BREAKS.search(text)):
            text = _WHITE_SPACE.sub(" ", text)
        return text.strip()

    def fault(self, texts: tuple[str, str], languages: tuple[str, str]) -> str | None:
        """Why a tidied pair is not fit for training, one of `REASONS`, or None."""
        source, target = texts
        shorter, longer = min(len(source), len(target)), max(len(source), len(target))
        if shorter == 0:
            return "empty"
        if longer > self.max_characters:
            return "too long"
        if longer > self.ratio_free_characters and longer > self.max_length_ratio * shorter:
            return "length ratio"
        if _has_control(source) or _has_control(target):
            return "control characters"
        if shorter == longer and self._is_copy(source, target):
            return "copied"
        if self.min_letter_share and any(_letters(text) < self.min_letter_share * len(text) for text in texts):
            return "few letters"
        if self.min_script_share and not all(map(self._is_in_script, texts, languages)):
            return "other script"
        return None

    def _is_copy(self, source: str, target: str) -> bool:
        return source.casefold() == target.casefold() and _letters(source) > self.copy_free_letters

    def _is_in_script(self, text: str, language: str) -> bool:
        base = language.lower().partition("-")[0]
        script = SCRIPTS.get(base)
        if script is None:
            return True
        own = sum(map(str.isalpha, re.sub(f"[^{script}]", "", text)))
        return own >= self.min_script_share * _letters(text)


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _has_control(text: str) -> bool:
    # U+FFFD is what a decoder leaves where text was broken.
    return "\ufffd" in text or (not text.isprintable() and _CONTROL.search(text) is not None)
