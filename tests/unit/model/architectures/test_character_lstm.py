"""The character LSTM is that of the tutorial; what all architectures share is in test_architecture_contract."""

import pytest
import torch
from dragoman.model.architectures.character_lstm import CharacterLstm, CharacterLstmConfig, padded_left
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD
from torch import Tensor, nn

SOURCE = torch.tensor([[9, 17, 23, END], [33, END, PAD, PAD]])
TARGET = torch.tensor([[BEGIN, 12, 30], [BEGIN, 24, 19]])


@pytest.fixture(scope="module")
def network() -> CharacterLstm:
    torch.manual_seed(9)
    return CharacterLstm(CharacterLstmConfig(40, width=8)).eval().requires_grad_(requires_grad=False)


def keras_step(layer: nn.LSTM, piece: int, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The equations of a Keras LSTM whose input is one-hot: a row of the kernel, one bias a gate."""
    weight, recurrent = layer.get_parameter("weight_ih_l0"), layer.get_parameter("weight_hh_l0")
    kernel, bias = weight[:, :-1].T, weight[:, -1]
    gates = (kernel[piece] + recurrent @ state[0] + bias).chunk(4)
    enter, forget, leave = (gates[number].sigmoid() for number in (0, 1, 3))
    cell = forget * state[1] + enter * gates[2].tanh()
    return leave * cell.tanh(), cell


def test_scores_are_those_of_the_tutorial_s_equations(network: CharacterLstm) -> None:
    state = (torch.zeros(8), torch.zeros(8))
    for piece in (33, END):
        state = keras_step(network.encoder, piece, state)
    for piece in TARGET[1].tolist():
        state = keras_step(network.decoder, piece, state)

    expected = network.output.weight @ state[0] + network.output.bias
    torch.testing.assert_close(network.logits(network(SOURCE, TARGET))[1, -1], expected, rtol=0, atol=1e-5)


def test_parameters_are_as_many_as_the_tutorial_s() -> None:
    network = CharacterLstm(CharacterLstmConfig(90))

    # Keras counts 4 * ((inputs + units) * units + units) for an LSTM and (units + 1) * outputs for a dense layer.
    assert sum(parameter.numel() for parameter in network.parameters()) == 2 * 4 * ((90 + 256) * 256 + 256) + 257 * 90


def test_padding_moves_to_the_left() -> None:
    assert padded_left(SOURCE).tolist() == [[9, 17, 23, END], [PAD, PAD, 33, END]]


def test_padding_leaves_a_state_of_zeros_exactly_as_it_is(network: CharacterLstm) -> None:
    state = network.start(torch.full((1, 3), PAD))

    assert [part.abs().sum() for part in state.cell] == [0, 0]


def test_forget_gate_begins_open() -> None:
    bias = CharacterLstm(CharacterLstmConfig(40, width=2)).get_parameter("encoder.weight_ih_l0")[:, -1]

    assert bias.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def test_no_attention_is_kept_where_there_is_none(network: CharacterLstm) -> None:
    state = network.start(SOURCE)
    state.keep_attention = True
    network.step(TARGET[:, 0], state)

    assert state.attention is None
