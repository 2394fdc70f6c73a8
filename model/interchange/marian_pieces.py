"""How the pieces of a Marian model are renumbered: our PAD, UNKNOWN, BEGIN, END first, all others in Marian's order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import ConfigurationError
from ..vocabularies.marian import FIRST_PIECE, MarianVocabulary
from .marian_files import MarianFiles


@dataclass(frozen=True, slots=True)
class MarianPieces:
    """The vocabulary, and for each of our source and target pieces the number that it had in the Marian model."""

    vocabulary: MarianVocabulary
    source_numbers: tuple[int, ...]
    target_numbers: tuple[int, ...]


def renumber(files: MarianFiles) -> MarianPieces:
    """Raises `ConfigurationError` if marks are missing, or the config and the vocabulary number them differently."""
    start = files.number("decoder_start_token_id")
    if start >= len(files.vocabulary if files.target_vocabulary is None else files.target_vocabulary):
        raise ConfigurationError(f"the config says decoder_start_token_id {start}: the vocabulary has no such piece")
    source_numbers = _order(files, files.vocabulary, start)
    if files.target_vocabulary is None:
        _check_end(files, files.vocabulary)
        vocabulary = MarianVocabulary(files.models, _names(files.vocabulary, source_numbers))
        return MarianPieces(vocabulary, source_numbers, source_numbers)
    _check_end(files, files.target_vocabulary)
    target_numbers = _order(files, files.target_vocabulary, start)
    names = _names(files.vocabulary, source_numbers), _names(files.target_vocabulary, target_numbers)
    return MarianPieces(MarianVocabulary(files.models, *names), source_numbers, target_numbers)


def _order(files: MarianFiles, vocabulary: Mapping[str, int], start: int) -> tuple[int, ...]:
    pad, unknown, end = (_mark(files, vocabulary, mark) for mark in ("pad_token", "unk_token", "eos_token"))
    others = [number for number in range(len(vocabulary)) if number not in (pad, unknown, end)]
    # A list of source pieces alone may have no piece of the number that begins a target; nobody will ask for it.
    begin = start if start < len(vocabulary) else pad
    return pad, unknown, begin, end, *others


def _mark(files: MarianFiles, vocabulary: Mapping[str, int], mark: str) -> int:
    name = files.name_of(mark)
    if name not in vocabulary:
        raise ConfigurationError(f"the vocabulary of the Marian model lacks its {mark} {name!r}")
    return vocabulary[name]


def _check_end(files: MarianFiles, vocabulary: Mapping[str, int]) -> None:
    end = _mark(files, vocabulary, "eos_token")
    if files.number("eos_token_id") != end:
        raise ConfigurationError(
            f"the config says eos_token_id {files.number('eos_token_id')}, the vocabulary numbers it {end}: "
            "take both from one model"
        )


def _names(vocabulary: Mapping[str, int], numbers: Sequence[int]) -> list[str]:
    by_number = {number: name for name, number in vocabulary.items()}
    return [by_number[number] for number in numbers[FIRST_PIECE:]]
