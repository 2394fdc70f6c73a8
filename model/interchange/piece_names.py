"""How each piece of a vocabulary is written, in the order of their numbers: for engines that take pieces by name."""

from collections.abc import Sequence

import sentencepiece

from ...errors import ConfigurationError
from ..vocabularies.characters import CharacterVocabulary
from ..vocabularies.marian import MarianVocabulary
from ..vocabularies.subwords import LANGUAGE_PIECE, SubwordVocabulary
from ..vocabularies.vocabulary import Vocabulary

# PAD, UNKNOWN, BEGIN, END
SPECIAL_PIECES = ("<pad>", "<unk>", "<s>", "</s>")


def piece_names(vocabulary: Vocabulary) -> tuple[list[str], list[str]]:
    """Names of the source pieces and of the target pieces, each once, by their numbers.

    Raises `ConfigurationError` for a kind of vocabulary whose pieces have no names.
    """
    source, target = _names(vocabulary)
    return [*SPECIAL_PIECES, *source], [*SPECIAL_PIECES, *target]


def _names(vocabulary: Vocabulary) -> tuple[Sequence[str], Sequence[str]]:
    if isinstance(vocabulary, MarianVocabulary):
        return vocabulary.source_pieces, vocabulary.target_pieces
    if isinstance(vocabulary, CharacterVocabulary):
        names = [*map(LANGUAGE_PIECE.format, vocabulary.languages), *vocabulary.characters]
        return names, names
    if isinstance(vocabulary, SubwordVocabulary):
        processor = sentencepiece.SentencePieceProcessor(model_proto=vocabulary.serialized)
        names = [processor.id_to_piece(number) for number in range(len(SPECIAL_PIECES), len(vocabulary))]
        return names, names
    raise ConfigurationError(f"the pieces of a vocabulary of the kind {vocabulary.kind} have no names")
