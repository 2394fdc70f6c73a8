"""The catalog: every kind of vocabulary by name. To add one, write its file and its line here."""

from collections.abc import Mapping

from ...errors import ConfigurationError
from .characters import CharacterVocabulary
from .marian import MarianVocabulary
from .subwords import SubwordVocabulary
from .vocabulary import Vocabulary

VOCABULARIES: dict[str, type[Vocabulary]] = {
    CharacterVocabulary.kind: CharacterVocabulary,
    MarianVocabulary.kind: MarianVocabulary,
    SubwordVocabulary.kind: SubwordVocabulary,
}


def load_vocabulary(kind: str, files: Mapping[str, bytes]) -> Vocabulary:
    """The vocabulary of `kind` that gave `files`.

    Raises `ConfigurationError` for an unknown kind, a missing file or a damaged one.
    """
    if kind not in VOCABULARIES:
        raise ConfigurationError(f"there is no vocabulary kind {kind!r}: take one of {', '.join(VOCABULARIES)}")
    try:
        return VOCABULARIES[kind].from_files(files)
    except KeyError as error:
        raise ConfigurationError(f"a vocabulary of the kind {kind} needs a file {error.args[0]}") from error
