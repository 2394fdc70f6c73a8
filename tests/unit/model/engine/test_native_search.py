"""Searches over the core in C find what the reference finds, on any options and on real sentences."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dragoman.compose import demo
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.checkpoint import load_checkpoint
from dragoman.model.decoding import Hypothesis, Rows, SearchOptions, search
from dragoman.model.engine.native_core import NativeCore
from dragoman.model.engine.request import Request
from dragoman.model.shipped import default_checkpoint
from dragoman.model.translator import Translator
from dragoman.model.vocabularies.vocabulary import END
from dragoman.model.weights import quantised

CPU = torch.device("cpu")
GREEDY = SearchOptions(beam_size=1)
# Of conftest's `random_network`.
VOCABULARY_SIZE = 300


def asked_of(beam_size: int, length_penalty: float, with_shortlists: bool) -> list[Request]:
    """Requests with any prefix, limit and fewest pieces."""
    numbers = random.Random(10 * beam_size + int(with_shortlists))
    asked = []
    for _ in range(10):
        prefix = tuple(numbers.sample((5, 6, 7, 8, 9, 10, 11, 12), numbers.choice((0, 0, 0, 2, 8))))
        options = SearchOptions(
            beam_size=beam_size,
            n_best=numbers.randrange(1, beam_size + 1),
            length_penalty=length_penalty,
            min_pieces=numbers.choice((0, 0, 3, 20)),
            prefix=prefix,
        )
        source = (*numbers.sample(range(4, VOCABULARY_SIZE), numbers.randrange(16)), END)
        shortlist = None
        if with_shortlists:
            pieces = {END, *prefix, *numbers.sample(range(4, VOCABULARY_SIZE), numbers.choice((1, 3, 50)))}
            shortlist = np.array(sorted(pieces), np.int32)
        limit = len(prefix) + numbers.choice((0, 1, 4, 12))
        asked.append(Request(source, options, limit, tuple, shortlist=shortlist))
    return asked


def reference(network: Transformer, one: Request) -> list[Hypothesis]:
    rows = Rows((one.limit,), CPU, allowed=() if one.shortlist is None else (one.shortlist,))
    with torch.inference_mode():
        return search(network.step, network.start(torch.tensor([one.source])), rows, one.options)[0]


@pytest.mark.parametrize("with_shortlists", [False, True], ids=["whole", "shortlists"])
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("beam_size", [1, 2, 3, 4, 5])
def test_n_best_hypotheses_are_those_of_the_reference(
    random_network: Callable[..., Transformer],
    continuous_engine: Callable[..., Any],
    beam_size: int,
    length_penalty: float,
    with_shortlists: bool,
) -> None:
    network = random_network(norm="post", activation="swish", output_bias="learned")
    asked = asked_of(beam_size, length_penalty, with_shortlists)
    continuous_engine(NativeCore(network, "float32", 1)).submit(asked)
    for one in asked:
        found, expected = one.future.result(timeout=60), reference(network, one)
        assert [each.pieces for each in found] == [each.pieces for each in expected]
        assert [each.score for each in found] == pytest.approx([each.score for each in expected], abs=1e-5)


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    """The demo's own, 248."""
    return (Path(demo.__file__).parent / "sentences.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def reference_texts(sentences: list[str]) -> Callable[[Callable[[Any], Any]], list[str]]:
    """What the reference translates with the shipped weights, changed in some way."""

    def translate(change: Callable[[Any], Any]) -> list[str]:
        checkpoint = load_checkpoint(default_checkpoint(), CPU)
        change(checkpoint.network)
        return [one.text for one in Translator(checkpoint, CPU).translate(sentences, GREEDY)]

    return translate


def unchanged(_: Transformer) -> None:
    """The weights as they are."""


def rounded(network: Transformer) -> None:
    """Every matrix to 8 bits and back."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 2:
                parameter.copy_(quantised(parameter).dequantised())


# Of float32 all, of rows of 16-bit integers all but near ties, of 8-bit (or 7-bit) ones nine of ten.
@pytest.mark.parametrize(
    ("precision", "change", "share"),
    [("float32", unchanged, 1.0), ("int8-exact", rounded, 0.99), ("int8", rounded, 0.9)],
)
def test_shipped_model_translates_the_sentences_as_the_reference(
    sentences: list[str], reference_texts: Callable[..., list[str]], precision: Any, change: Any, share: float
) -> None:
    translator = Translator.load(default_checkpoint(), "cpu", "native", precision)
    found = [one.text for one in translator.translate(sentences, GREEDY)]
    translator.close()
    same = [text == expected for text, expected in zip(found, reference_texts(change), strict=True)]

    assert len(same) >= 200
    assert np.mean(same) >= share
