"""Impossible shapes are refused with a sentence."""

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.catalog import build, describe
from dragoman.model.architectures.network import Network
from torch import nn


@pytest.mark.parametrize(
    ("architecture", "shape", "sentence"),
    [
        ("transformer", {"width": 10, "heads": 4}, "width of 10 cannot be split into 4 heads"),
        ("transformer", {"decoder_heads": 7}, "cannot be split into 7 heads"),
        ("transformer", {"norm": "middle"}, "norm is 'middle': take one of pre, post"),
        ("transformer", {"positions": "guessed"}, "sinusoidal, sinusoidal-halves, learned, rotary"),
        ("transformer", {"activation": "tanh"}, "activation is 'tanh'"),
        ("recurrent", {"lexicon": True, "input_feeding": True}, "lexicon needs a luong attention"),
        ("recurrent", {"lexicon": True, "attention": "bahdanau"}, "lexicon needs a luong attention"),
        ("recurrent", {"lexicon": True, "vocabulary_size": 4001}, "a lexicon of 4001 pieces is too large"),
        ("transformer", {"positions": "rotary", "decoder_heads": 2}, "as many heads in the decoder"),
        ("transformer", {"positions": "rotary", "width": 12, "heads": 4}, "an odd width"),
        ("transformer", {"source_vocabulary_size": 61}, "cannot share a matrix: take embeddings tied-target"),
        ("transformer", {"encoder_layers": 0}, "encoder_layers is 0"),
        ("transformer", {"heads": "4"}, "heads is '4'"),
        ("transformer", {"dropout": 1.0}, "dropout is 1.0"),
        ("transformer", {"dropout": float("nan")}, "dropout is nan"),
        ("recurrent", {"cell": "rnn"}, "take one of lstm, gru"),
        ("recurrent", {"state": 15}, "two directions"),
        ("recurrent", {"attention": "bahdanau", "input_feeding": True}, "part of Luong's attention"),
        ("recurrent", {"input_feeding": "yes"}, "take true or false"),
        ("recurrent", {"embeddings": "shared"}, "tied-inputs"),
        ("character-lstm", {"width": True}, "width is True"),
        ("character-lstm", {"heads": 2}, "heads"),
    ],
)
def test_impossible_shape_is_refused(architecture: str, shape: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        build(architecture, {"vocabulary_size": 60, **shape})


# The last ones are beyond what torch can count.
@pytest.mark.parametrize(
    ("architecture", "shape", "largest"),
    [
        ("transformer", {"width": 10**12}, "width = 10+"),
        ("transformer", {"width": 16, "max_positions": 10**12}, "max_positions = 10+"),
        ("recurrent", {"state": 10**12}, "state = 10+"),
        ("character-lstm", {"width": 4 * 10**18}, "width = 40+"),
        ("transformer", {"width": 10**30}, "width = 10+"),
        ("transformer", {"width": 16, "max_positions": 10**30}, "max_positions = 10+"),
    ],
)
def test_network_that_does_not_fit_into_memory_is_refused(
    architecture: str, shape: dict[str, int], largest: str
) -> None:
    with pytest.raises(
        ConfigurationError, match=f"^a network of this shape does not fit into memory: lower {largest}$"
    ):
        build(architecture, {"vocabulary_size": 60, **shape})


def test_unknown_field_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"character-lstm: it has no field heads, only width, max_positions$"):
        build("character-lstm", {"vocabulary_size": 60, "heads": 2})


def test_unknown_architecture_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="no architecture 'rnn': take one of transformer, recurrent, char"):
        build("rnn", {"vocabulary_size": 60})


def test_network_outside_the_catalog_cannot_be_described() -> None:
    class Stray(Network):
        forward = logits = start = step = restore_buffers = nn.Module.forward

    with pytest.raises(ConfigurationError, match="Stray is not in the catalog"):
        describe(Stray())
