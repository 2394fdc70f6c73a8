"""Options that make no sense are refused with a sentence when they are made."""

import math
from collections.abc import Callable

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.decoding import Sampling, SearchOptions
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SearchOptions(beam_size=0), "a beam of 0 holds nothing"),
        (lambda: SearchOptions(n_best=0), "0 best hypotheses are none"),
        (lambda: SearchOptions(beam_size=2, n_best=3), "a beam of 2 has no 3 best hypotheses: widen the beam"),
        (lambda: SearchOptions(length_penalty=math.nan), "the length penalty is nan"),
        (lambda: SearchOptions(coverage_penalty=-0.1), "the coverage penalty is -0.1"),
        (lambda: SearchOptions(coverage_penalty=math.inf), "the coverage penalty is inf"),
        (lambda: SearchOptions(no_repeat_ngram=-1), "-1-grams do not exist"),
        (lambda: SearchOptions(min_pieces=-1), "at least -1 pieces"),
        (lambda: SearchOptions(max_pieces=-1), "at most -1 pieces"),
        (lambda: SearchOptions(min_pieces=5, max_pieces=4), "at least 5 and at most 4 pieces contradict each other"),
        (lambda: SearchOptions(prefix=(7, 8, 9), max_pieces=2), "a prefix of 3 pieces does not fit"),
        (lambda: Sampling(temperature=0.0), "the temperature is 0.0"),
        (lambda: Sampling(temperature=math.inf), "the temperature is inf"),
        (lambda: Sampling(top_k=-1), "top-k is -1"),
        (lambda: Sampling(top_p=0.0), "top-p is 0.0"),
        (lambda: Sampling(top_p=1.1), "top-p is 1.1"),
        (lambda: Sampling(seed=-1), "the seed is -1"),
    ],
)
def test_impossible_option_is_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        make()


@pytest.mark.parametrize("piece", [PAD, BEGIN, END])
def test_prefix_of_a_mark_is_refused(piece: int) -> None:
    with pytest.raises(ConfigurationError, match="a prefix holds pieces of text"):
        SearchOptions(prefix=(5, piece), max_pieces=9)


def test_prefix_may_hold_an_unknown_piece() -> None:
    assert SearchOptions(prefix=(UNKNOWN,), max_pieces=1).prefix == (UNKNOWN,)


def test_more_samples_than_the_beam_holds_can_be_drawn() -> None:
    assert SearchOptions(beam_size=1, n_best=9, sampling=Sampling()).n_best == 9
