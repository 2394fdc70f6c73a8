"""Subword regularisation: texts cut at random, by a seed alone."""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.vocabularies.characters import CharacterVocabulary
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

# Above what a C integer takes, and the one value that SentencePiece takes for none.
SEEDS = [0, 1, 2**32 - 1, 2**63]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def vocabulary(request: pytest.FixtureRequest, sentences: tuple[str, ...]) -> SubwordVocabulary:
    algorithm: Literal["unigram", "bpe"] = request.param
    return SubwordVocabulary.train(sentences, 340, algorithm=algorithm)


@pytest.mark.parametrize("seed", SEEDS)
def test_same_seed_gives_the_same_pieces_again(
    vocabulary: SubwordVocabulary, sentences: tuple[str, ...], seed: int
) -> None:
    first = vocabulary.sample(sentences, 0.3, seed)
    vocabulary.sample(sentences, 0.3, 99)

    assert vocabulary.sample(sentences, 0.3, seed) == first


def test_other_seed_gives_other_pieces(vocabulary: SubwordVocabulary, sentences: tuple[str, ...]) -> None:
    samples = {str(vocabulary.sample(sentences, 0.3, seed)) for seed in (*SEEDS, 2, 3)}

    # 2**32 - 1 and 0 are the same seed to SentencePiece; 2**63 is 2**31.
    assert len(samples) == len({*SEEDS, 2, 3}) - 1


def test_sampled_pieces_are_the_same_beside_other_threads(
    vocabulary: SubwordVocabulary, sentences: tuple[str, ...]
) -> None:
    alone = [vocabulary.sample(sentences, 0.3, seed) for seed in range(40)]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: vocabulary.sample(sentences, 0.3, seed), range(40))) == alone


def test_sampled_pieces_are_the_same_from_a_loaded_vocabulary(
    vocabulary: SubwordVocabulary, sentences: tuple[str, ...]
) -> None:
    loaded = SubwordVocabulary.from_files(vocabulary.files())

    assert loaded.sample(sentences, 0.3, 7) == vocabulary.sample(sentences, 0.3, 7)


def test_text_is_cut_in_several_ways(vocabulary: SubwordVocabulary, sentences: tuple[str, ...]) -> None:
    assert len({str(vocabulary.sample(sentences[:1], 0.3, seed)) for seed in range(20)}) > 5


@settings(deadline=None, max_examples=50)
@given(words=st.lists(st.text(st.sampled_from("abcXYZ019?!'éœßжñ日本🙂"), min_size=1)), seed=st.integers(0))
def test_sampled_pieces_spell_the_text(vocabulary: SubwordVocabulary, words: list[str], seed: int) -> None:
    text = " ".join(words)

    assert vocabulary.decode(vocabulary.sample([text], 0.3, seed)) == [text]


def test_encoding_is_not_sampled_after_sampling(vocabulary: SubwordVocabulary, sentences: tuple[str, ...]) -> None:
    before = vocabulary.encode(sentences)
    vocabulary.sample(sentences, 0.1, 3)

    assert vocabulary.encode(sentences) == before


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.5, float("nan")])
def test_alpha_out_of_range_is_refused(vocabulary: SubwordVocabulary, alpha: float) -> None:
    with pytest.raises(ConfigurationError, match=r"the sampling alpha is .*: it must be above 0 and at most 1"):
        vocabulary.sample(["A text."], alpha, 1)


def test_characters_are_cut_in_one_way_only() -> None:
    vocabulary = CharacterVocabulary("abc")

    assert vocabulary.sample(["cab"], 0.1, 1) == vocabulary.encode(["cab"])
