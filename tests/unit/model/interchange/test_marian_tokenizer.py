"""An imported vocabulary cuts and joins text as `transformers`' MarianTokenizer does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dragoman.model.interchange.marian_files import read_marian_files
from dragoman.model.interchange.marian_pieces import renumber
from dragoman.model.vocabularies.vocabulary import END

TEXTS = [
    "The baker sells warm bread in the morning.",
    "Votre voisin joue-t-il du violon chaque soir ?",
    "",
    "   ",
    "  two   spaces\tand a tab ",
    "☃ snow 日本語 🙂 œuf ﬁne",
    "UPPER lower 0123456789 !?\"'«»",
    "a\u00a0b\u200bc\u2028d\u0000e",
    ">> not a language <",
    "xxxxxxxxxxxxxxxxxxxx" * 10,
]
SHARING = pytest.mark.parametrize("shared", [True, False])


@SHARING
@pytest.mark.parametrize("text", TEXTS)
def test_source_pieces_are_those_of_transformers(
    make_marian: Callable[..., Path], load_tokenizer: Callable[[Path], Any], shared: bool, text: str
) -> None:
    folder = make_marian(share_encoder_decoder_embeddings=shared)
    pieces = renumber(read_marian_files(folder))

    ours = [pieces.source_numbers[piece] for piece in [*pieces.vocabulary.encode([text])[0], END]]

    assert ours == load_tokenizer(folder)(text).input_ids


@SHARING
@pytest.mark.parametrize("text", TEXTS)
def test_target_pieces_are_those_of_transformers(
    make_marian: Callable[..., Path], load_tokenizer: Callable[[Path], Any], shared: bool, text: str
) -> None:
    folder = make_marian(share_encoder_decoder_embeddings=shared)
    pieces = renumber(read_marian_files(folder))

    ours = [pieces.target_numbers[piece] for piece in [*pieces.vocabulary.encode_target([text])[0], END]]

    assert ours == load_tokenizer(folder)(text_target=text).input_ids


@SHARING
def test_every_piece_is_joined_to_every_other_as_transformers_does(
    make_marian: Callable[..., Path], load_tokenizer: Callable[[Path], Any], shared: bool
) -> None:
    folder = make_marian(share_encoder_decoder_embeddings=shared)
    pieces = renumber(read_marian_files(folder))
    size = len(pieces.vocabulary)
    rows = [[(row + step * step) % size for step in range(12)] for row in range(size)]
    theirs = load_tokenizer(folder).batch_decode(
        [[pieces.target_numbers[piece] for piece in row] for row in rows], skip_special_tokens=True
    )

    assert pieces.vocabulary.decode(rows) == theirs


def test_language_piece_before_the_source_is_that_of_transformers(
    make_marian: Callable[..., Path], load_tokenizer: Callable[[Path], Any]
) -> None:
    folder = make_marian(languages=("fra", "pt_BR"))
    pieces = renumber(read_marian_files(folder))
    vocabulary = pieces.vocabulary
    ours = [vocabulary.language_piece("fr"), *vocabulary.encode(["The old mill"])[0], END]

    assert vocabulary.languages == ("fr", "pt_BR")
    assert [pieces.source_numbers[piece] for piece in ours] == load_tokenizer(folder)(">>fra<< The old mill").input_ids
