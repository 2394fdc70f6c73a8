"""What is the recurrent networks' own; what all architectures share is in test_architecture_contract."""

import math
from collections.abc import Callable

import pytest
import torch
from dragoman.model.architectures.dropout import Dropout
from dragoman.model.architectures.recurrent import RecurrentConfig, RecurrentNetwork
from dragoman.model.architectures.recurrent_layers import LAYERS, BidirectionalEncoder, Cell, mark_real
from dragoman.model.architectures.source_attention import AttentionKind, source_attention
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

LENGTHS = torch.tensor([5, 2, 4])
MASK = torch.arange(5) < LENGTHS[:, None]
SOURCE = torch.tensor([[9, 17, 23, 31, END], [33, 8, END, PAD, PAD]])
TARGET = torch.tensor([[BEGIN, 12, 30, 7], [BEGIN, 24, 19, 5]])


def packed_outputs(layer: nn.Module, cell: Cell, x: Tensor) -> Tensor:
    """The usual way: a layer with biases over packed sequences."""
    usual = LAYERS[cell](x.shape[-1], 8, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for end in ("", "_reverse"):
            weight = layer.get_parameter(f"weight_ih_l0{end}")
            usual.get_parameter(f"weight_ih_l0{end}").copy_(weight[:, :-1])
            usual.get_parameter(f"bias_ih_l0{end}").copy_(weight[:, -1])
            usual.get_parameter(f"weight_hh_l0{end}").copy_(layer.get_parameter(f"weight_hh_l0{end}"))
            usual.get_parameter(f"bias_hh_l0{end}").zero_()
        packed, _ = usual(pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False))
    outputs: Tensor = pad_packed_sequence(packed, batch_first=True)[0]
    return outputs


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_encoder_gives_what_packed_sequences_give(cell: Cell) -> None:
    torch.manual_seed(4)
    encoder = BidirectionalEncoder(cell, width=6, state=16, layers=1)
    x = torch.randn(3, 5, 6)
    with torch.no_grad():
        values, _ = encoder(x, MASK, Dropout(0.0))

    torch.testing.assert_close(values[MASK], packed_outputs(encoder.layers[0], cell, x)[MASK])


def test_encoder_ends_with_the_last_real_place_forward_and_the_first_backward() -> None:
    torch.manual_seed(5)
    values, ends = BidirectionalEncoder("gru", width=6, state=16, layers=2)(torch.randn(3, 5, 6), MASK, Dropout(0.0))

    assert torch.equal(ends[:, :8], values[range(3), LENGTHS - 1, :8])
    assert torch.equal(ends[:, 8:], values[:, 0, 8:])


def test_padding_is_zero_and_marked_as_no_token() -> None:
    marked = mark_real(torch.ones(3, 5, 2), MASK)

    assert marked[1].tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_forget_gates_begin_open() -> None:
    network = RecurrentNetwork(RecurrentConfig(40, width=6, state=8))
    of_encoder = network.get_parameter("encoder.layers.0.weight_ih_l0_reverse")[:, -1]
    of_decoder = [network.get_parameter(f"decoder.cells.layers.0.bias_{end}_l0") for end in ("ih", "hh")]

    assert of_encoder.tolist() == [0] * 4 + [1] * 4 + [0] * 8
    assert (of_decoder[0] + of_decoder[1]).tolist() == [0] * 8 + [1] * 8 + [0] * 16


def test_recurrent_matrices_begin_orthogonal() -> None:
    network = RecurrentNetwork(RecurrentConfig(40, width=6, state=8))
    matrix = network.get_parameter("decoder.cells.layers.0.weight_hh_l0")

    torch.testing.assert_close(matrix.T @ matrix, torch.eye(8), rtol=0, atol=1e-5)


def dot_score(_: nn.Module, query: Tensor, value: Tensor) -> Tensor:
    return query @ value


def general_score(attention: nn.Module, query: Tensor, value: Tensor) -> Tensor:
    return query @ attention.get_parameter("key.weight") @ value


def concat_score(attention: nn.Module, query: Tensor, value: Tensor) -> Tensor:
    """v . tanh(W [query; value]) with W cut in two."""
    matrix = torch.cat([attention.get_parameter("query.weight"), attention.get_parameter("key.weight")], 1)
    return attention.get_parameter("vector.weight")[0] @ torch.tanh(matrix @ torch.cat([query, value]))


@pytest.mark.parametrize(
    ("kind", "score"),
    [
        ("luong-dot", dot_score),
        ("luong-general", general_score),
        ("luong-concat", concat_score),
        ("bahdanau", concat_score),
    ],
)
def test_attention_is_the_formula_of_the_paper(
    kind: AttentionKind, score: Callable[[nn.Module, Tensor, Tensor], Tensor]
) -> None:
    torch.manual_seed(6)
    attention = source_attention(kind, 4)
    query, values = torch.randn(1, 1, 4), torch.randn(1, 3, 4)
    _, weights = attention(query, attention.remember(values, torch.ones(1, 3, dtype=torch.bool)))

    scores = torch.stack([score(attention, query[0, 0], value) for value in values[0]])
    torch.testing.assert_close(weights[0, 0], scores.softmax(0))


def test_input_feeding_makes_a_step_depend_on_the_one_before() -> None:
    torch.manual_seed(7)
    network = RecurrentNetwork(RecurrentConfig(40, width=6, state=8, input_feeding=True)).eval()
    state = network.start(SOURCE)
    network.step(TARGET[:, 0], state)
    fed = network.step(TARGET[:, 1], state)

    again = network.start(SOURCE)
    network.step(TARGET[:, 0], again)
    again.fed = None
    assert not torch.allclose(network.step(TARGET[:, 1], again), fed, atol=1e-4)


@pytest.mark.parametrize("shape", [{"attention": "bahdanau"}, {"input_feeding": True}, {}])
def test_dropout_acts_in_training_only(shape: dict[str, object]) -> None:
    torch.manual_seed(8)
    network = RecurrentNetwork(RecurrentConfig(40, width=6, state=8, decoder_layers=2, dropout=0.5, **shape))

    assert not torch.equal(network.train()(SOURCE, TARGET), network(SOURCE, TARGET))
    assert torch.equal(network.eval()(SOURCE, TARGET), network(SOURCE, TARGET))


def test_lexicon_adds_the_logarithm_of_what_it_says_of_the_places_looked_at() -> None:
    torch.manual_seed(8)
    network = RecurrentNetwork(RecurrentConfig(40, width=6, state=8, lexicon=True)).eval().requires_grad_(False)
    assert network.lexicon is not None
    silent = network.step(torch.tensor([BEGIN]), network.start(SOURCE[:1]))
    # Whatever the decoder looks at, 12 is its translation.
    network.lexicon[:, 12] = 1
    added = network.step(torch.tensor([BEGIN]), network.start(SOURCE[:1])) - silent

    assert added[0, 12].item() == pytest.approx(math.log(1.001) - math.log(0.001), abs=1e-4)
    assert added[0].count_nonzero() == 1
