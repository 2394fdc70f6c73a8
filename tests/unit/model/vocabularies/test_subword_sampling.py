"""Subword regularisation: texts cut at random, by a seed alone."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.vocabularies.characters import CharacterVocabulary
from dragoman.model.vocabularies.subwords import FILE, SubwordVocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

# Also above what a C integer takes.
SEEDS = [0, 1, 2**32 - 1, 2**63]
ELSEWHERE = """
import json, sys
from pathlib import Path
from dragoman.model.vocabularies.subwords import FILE, SubwordVocabulary

folder = Path(sys.argv[1])
vocabulary = SubwordVocabulary.from_files({FILE: (folder / FILE).read_bytes()})
texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
print(json.dumps(vocabulary.sample(texts, 0.3, 7)))
"""


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

    assert len(samples) == len({*SEEDS, 2, 3})


def test_sampled_pieces_are_the_same_in_another_process(
    vocabulary: SubwordVocabulary, sentences: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    (folder / FILE).write_bytes(vocabulary.serialized)
    (folder / "texts.json").write_text(json.dumps(sentences), encoding="utf-8")
    other = subprocess.run([sys.executable, "-c", ELSEWHERE, str(folder)], capture_output=True, check=True, text=True)

    assert json.loads(other.stdout) == vocabulary.sample(sentences, 0.3, 7)


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


def test_likely_cuts_come_more_often_when_alpha_is_great(sentences: tuple[str, ...]) -> None:
    vocabulary = SubwordVocabulary.train(sentences, 340)
    [plain] = vocabulary.encode(sentences[:1])
    shares = [
        sum(vocabulary.sample(sentences[:1], alpha, seed) == [plain] for seed in range(200)) for alpha in (0.1, 0.5, 1)
    ]

    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_no_merge_is_left_out_when_alpha_is_next_to_nothing(sentences: tuple[str, ...]) -> None:
    vocabulary = SubwordVocabulary.train(sentences, 340, algorithm="bpe")

    assert vocabulary.sample(sentences, 1e-12, 1) == vocabulary.encode(sentences)


def test_words_fall_apart_when_all_merges_are_left_out(sentences: tuple[str, ...]) -> None:
    vocabulary = SubwordVocabulary.train(sentences, 340, algorithm="bpe")
    [pieces] = vocabulary.sample(["I am here."], 1.0, 1)

    assert [vocabulary.decode([[piece]]) for piece in pieces] == [
        [mark] for mark in ("", *"I", "", *"am", "", *"here.")
    ]


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
