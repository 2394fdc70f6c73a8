"""SentencePiece vocabulary: unigram or BPE with byte fallback. Knows no tensors and no network.

SentencePiece: Kudo and Richardson 2018, https://aclanthology.org/D18-2012; subword regularisation: Kudo 2018,
arXiv:1804.10959, and for BPE Provilkov et al. 2020, arXiv:1910.13267; a piece that names the target language:
Johnson et al. 2017, arXiv:1611.04558.
"""

import io
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import sentencepiece

from ...errors import ConfigurationError
from .subword_sampling import SPACE, WordCuts, word_cuts
from .vocabulary import BEGIN, END, PAD, UNKNOWN, Vocabulary
from .vocabulary import SPACE_FOR_CONTROL as SPACE_FOR_CONTROL

FILE = "tokenizer.model"
LANGUAGE_PIECE = "<2{}>"
_LANGUAGE = re.compile(r"<2([^<>\s]+)>")
# A call for several texts starts threads, whatever their number; that costs 200 us, and one text takes 5.
THREADED_TEXTS = 256
# What SentencePiece says when it gives up, and what that means.
_REASONS = (
    (re.compile(r"smaller than required_chars\. \d+ vs (\d+)"), "its characters and the marks alone are {}"),
    (re.compile(r"set it to a value <= (\d+)"), "it has text for {} at most"),
    (re.compile(r"sentences_\.empty|all_chars_count"), "it has no text"),
    (re.compile(r"vocab_size\(\)\) > \(0"), "there must be some"),
)


@dataclass(frozen=True, slots=True)
class SubwordRules:
    """How a corpus is read when pieces are learned from it.

    Normalisation "nmt_nfkc" and "nfkc" fold no-break spaces, ligatures and full-width letters to the plain ones;
    "identity" keeps every character, among them the no-break spaces of French, and only joins plain spaces. Of a
    corpus with more lines than `max_lines` as many are drawn by `seed`; lines of more than `max_line_bytes` in UTF-8
    are left out.
    """

    normalisation: Literal["nmt_nfkc", "nfkc", "identity"] = "nmt_nfkc"
    max_lines: int = 1_000_000
    max_line_bytes: int = 4192
    seed: int = 1


class SubwordVocabulary(Vocabulary):
    """One joint vocabulary for source and target; every string can be encoded (byte fallback)."""

    kind: ClassVar[str] = "subwords"

    def __init__(self, serialized: bytes) -> None:
        """Load from the bytes of a SentencePiece model; raises `ConfigurationError` if they are not one."""
        self.serialized = serialized
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(serialized)
        except RuntimeError as error:
            raise ConfigurationError(f"not a SentencePiece model: {error}") from error
        special = self._processor
        ids = special.pad_id(), special.unk_id(), special.bos_id(), special.eos_id()
        if ids != (PAD, UNKNOWN, BEGIN, END):
            raise ConfigurationError("the SentencePiece model must number pad, unk, bos, eos as 0, 1, 2, 3")
        self._languages = self._find_languages()
        self._cuts: dict[float, WordCuts] = {}
        self._folds_controls = "\n" not in self._processor.normalize("\n.")

    @classmethod
    def train(
        cls,
        lines: Iterable[str],
        size: int,
        languages: Sequence[str] = (),
        algorithm: Literal["unigram", "bpe"] = "unigram",
        rules: SubwordRules = SubwordRules(),
    ) -> Self:
        """Learn `size` pieces from `lines`; each of `languages` gets a piece that asks for it as target.

        Raises `ConfigurationError` if the corpus has too little text for `size`, or too many characters.
        """
        _check_languages(languages)
        model = io.BytesIO()
        plain = (line.translate(SPACE_FOR_CONTROL) for line in _drawn(lines, rules))
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=plain,
                model_writer=model,
                model_type=algorithm,
                vocab_size=size,
                normalization_rule_name=rules.normalisation,
                max_sentence_length=rules.max_line_bytes,
                character_coverage=1.0,
                byte_fallback=True,
                pad_id=PAD,
                unk_id=UNKNOWN,
                bos_id=BEGIN,
                eos_id=END,
                control_symbols=[LANGUAGE_PIECE.format(language) for language in languages],
                minloglevel=2,
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"no vocabulary of {size} pieces can be learned from this corpus: {_reason(error)}"
            ) from error
        return cls(model.getvalue())

    def __len__(self) -> int:
        return int(self._processor.get_piece_size())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Pieces of each text, without begin or end marks; a line feed counts as a space."""
        lines = self._lines(texts)
        if len(lines) < THREADED_TEXTS:
            return [self._processor.encode(line) for line in lines]
        pieces: list[list[int]] = self._processor.encode(lines)
        return pieces

    def sample(self, texts: Sequence[str], alpha: float, seed: int) -> list[list[int]]:
        """Pieces of each text, cut at random, by `seed` alone: the same in every process.

        Unigram draws a cut of each word with its probability to the power of `alpha` (Kudo 2018: 0.1 to 0.5; less is
        wilder). BPE leaves out a merge with probability `alpha` (Provilkov et al. 2020: 0.1; more is wilder). Raises
        `ConfigurationError` for an `alpha` that is not above 0 and at most 1.
        """
        if not 0 < alpha <= 1:
            raise ConfigurationError(f"the sampling alpha is {alpha}: it must be above 0 and at most 1")
        if alpha not in self._cuts:
            self._cuts[alpha] = word_cuts(self._processor, alpha)
        cuts, numbers = self._cuts[alpha], random.Random(seed)
        words = (self._processor.normalize(line).split(SPACE) for line in self._lines(texts))
        return [[piece for word in line if word for piece in cuts.draw(word, numbers)] for line in words]

    def decode(self, pieces: Sequence[Sequence[int]]) -> list[str]:
        """Text of each list of pieces: one line, whatever the pieces."""
        return [self._processor.decode(list(row)).translate(SPACE_FOR_CONTROL) for row in pieces]

    @property
    def languages(self) -> tuple[str, ...]:
        """The target languages that have a piece of their own."""
        return tuple(self._languages)

    def language_piece(self, language: str) -> int:
        """The piece that, put before the source, asks for `language`."""
        return self._languages[language] if language in self._languages else super().language_piece(language)

    def files(self) -> dict[str, bytes]:
        """The SentencePiece model."""
        return {FILE: self.serialized}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Load what `files` gave; raises `ConfigurationError` if it is damaged."""
        return cls(files[FILE])

    def _lines(self, texts: Sequence[str]) -> list[str]:
        return list(texts) if self._folds_controls else [text.translate(SPACE_FOR_CONTROL) for text in texts]

    def _find_languages(self) -> dict[str, int]:
        control = (i for i in range(len(self)) if self._processor.is_control(i))
        found = ((_LANGUAGE.fullmatch(self._processor.id_to_piece(i)), i) for i in control)
        return {match[1]: i for match, i in found if match}


def _check_languages(languages: Sequence[str]) -> None:
    for language in languages:
        if not _LANGUAGE.fullmatch(LANGUAGE_PIECE.format(language)) or languages.count(language) > 1:
            raise ConfigurationError(f"the languages of a vocabulary must differ and have names: not {language!r}")


def _drawn(lines: Iterable[str], rules: SubwordRules) -> list[str]:
    """Up to `max_lines` of `lines`, each with the same chance (Vitter 1985, algorithm R)."""
    generator = random.Random(rules.seed)
    drawn: list[str] = []
    for number, line in enumerate(line for line in lines if len(line) <= rules.max_line_bytes):
        if number < rules.max_lines:
            drawn.append(line)
        elif (place := generator.randrange(number + 1)) < rules.max_lines:
            drawn[place] = line
    return drawn


def _reason(error: Exception) -> str:
    found = ((pattern.search(str(error)), meaning) for pattern, meaning in _REASONS)
    return next((meaning.format(*match.groups()) for match, meaning in found if match), str(error))
