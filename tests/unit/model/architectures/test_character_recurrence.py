"""The recurrence written out computes what `torch.nn.LSTM` computes, and its gradients."""

import copy
from collections.abc import Iterator

import pytest
import torch
from dragoman.model.architectures import character_recurrence
from dragoman.model.architectures.character_lstm import CharacterLstm, CharacterLstmConfig
from dragoman.model.architectures.character_recurrence import can_run_looked_up, packed, run_looked_up
from dragoman.model.threads import layer_threads, threads_for_layers
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD
from torch import Tensor

V, WIDTH = 40, 16
SOURCE = torch.tensor([[33, END, PAD, PAD, PAD], [9, 17, 23, 9, END], [7, 25, END, PAD, PAD]])
TARGET = torch.tensor([[BEGIN, 24, 19, 19], [BEGIN, PAD, PAD, PAD], [BEGIN, 12, 30, PAD]])
REAL = TARGET != PAD


@pytest.fixture
def network() -> CharacterLstm:
    torch.manual_seed(3)
    network = CharacterLstm(CharacterLstmConfig(V, width=WIDTH)).train()
    for parameter in network.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    return network


@pytest.fixture
def fused(network: CharacterLstm) -> CharacterLstm:
    """The same network as it is evaluated: by `torch.nn.LSTM`."""
    return copy.deepcopy(network).eval()


def trained_loss(network: CharacterLstm) -> Tensor:
    """A loss that weighs every number differently, and its gradients in the parameters."""
    scores = network.logits(network(SOURCE, TARGET)[REAL])
    loss = (scores * torch.linspace(-1, 1, scores.numel()).view_as(scores)).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def gradients(network: CharacterLstm) -> dict[str, Tensor]:
    return {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}


def test_training_runs_looked_up(network: CharacterLstm) -> None:
    assert can_run_looked_up(network.encoder)


def test_outputs_are_those_of_torch(network: CharacterLstm, fused: CharacterLstm) -> None:
    torch.testing.assert_close(network(SOURCE, TARGET)[REAL], fused(SOURCE, TARGET)[REAL], rtol=0, atol=1e-6)


def test_outputs_are_zeros_on_padding(network: CharacterLstm) -> None:
    assert network(SOURCE, TARGET)[~REAL].count_nonzero() == 0


def test_gradients_are_those_of_torch(network: CharacterLstm, fused: CharacterLstm) -> None:
    losses = trained_loss(network), trained_loss(fused)

    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)
    assert len(gradients(network)) == 6
    torch.testing.assert_close(gradients(network), gradients(fused), rtol=1e-5, atol=1e-5)


def test_gradients_of_large_states_are_those_of_torch(network: CharacterLstm, fused: CharacterLstm) -> None:
    for one in (network, fused):
        for parameter in one.parameters():
            parameter.data.mul_(8)
    trained_loss(network), trained_loss(fused)

    torch.testing.assert_close(gradients(network), gradients(fused), rtol=1e-4, atol=1e-4)


def test_autocast_changes_nothing_in_the_recurrence(network: CharacterLstm) -> None:
    plain = network(SOURCE, TARGET)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = network(SOURCE, TARGET)

    assert under_autocast.equal(plain)


def test_torch_trains_it_where_there_is_no_compiler(
    network: CharacterLstm, fused: CharacterLstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(character_recurrence, "_library", lambda: None)

    assert network(SOURCE, TARGET).equal(fused(SOURCE, TARGET))


@pytest.mark.parametrize(("width", "dtype"), [(WIDTH + 1, torch.float32), (WIDTH, torch.float64)])
def test_torch_runs_widths_and_numbers_that_the_compiled_code_does_not_take(width: int, dtype: torch.dtype) -> None:
    assert not can_run_looked_up(CharacterLstm(CharacterLstmConfig(V, width=width)).to(dtype).encoder)


@pytest.fixture
def in_parts_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(character_recurrence, "PART_ROWS", 2)


@pytest.fixture
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("in_parts_of_two")
def test_gradients_are_those_of_torch_when_rows_are_in_parts(network: CharacterLstm, fused: CharacterLstm) -> None:
    losses = trained_loss(network), trained_loss(fused)

    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients(network), gradients(fused), rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_torch_for_more_pieces_than_one_product_takes() -> None:
    torch.manual_seed(4)
    network = CharacterLstm(CharacterLstmConfig(V, width=72)).train()
    lengths = torch.randint(1, 40, (70, 1))
    pieces = torch.randint(END + 1, V, (70, 40)).where(torch.arange(40) < lengths, PAD)
    weights = torch.linspace(-1, 1, 72)

    (network(pieces, pieces)[pieces != PAD] * weights).sum().backward()
    found = gradients(network)
    network.zero_grad()
    (network.eval()(pieces, pieces)[pieces != PAD] * weights).sum().backward()

    torch.testing.assert_close(found, gradients(network), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("in_parts_of_two", "restored_threads")
def test_recurrence_is_the_same_for_any_number_of_threads(network: CharacterLstm) -> None:
    recurrences = [trained_recurrence(network, threads) for threads in (1, 2, 3)]

    assert all(part.equal(same) for part, same in zip(recurrences[0], recurrences[1], strict=True))
    assert all(part.equal(same) for part, same in zip(recurrences[0], recurrences[2], strict=True))


def trained_recurrence(network: CharacterLstm, threads: int) -> list[Tensor]:
    """Outputs of the encoder over rows in parts, what the rows end with, and the gradients of all that it takes."""
    torch.set_num_threads(threads)
    network.zero_grad()
    state = [torch.linspace(-1, 1, 3 * WIDTH).view(3, WIDTH).requires_grad_() for _ in range(2)]
    outputs, (hidden, cell) = run_looked_up(network.encoder, packed(SOURCE), (state[0], state[1]))
    torch.cat([outputs, hidden, cell]).square().sum().backward()  # type: ignore[no-untyped-call]
    leaves = [*state, *network.encoder.parameters()]
    return [outputs, hidden, cell, *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def test_rows_are_packed_place_by_place_the_longest_first() -> None:
    rows = packed(SOURCE)

    assert rows.order.tolist() == [1, 2, 0]
    assert rows.counts.tolist() == [[3, 3, 2, 1, 1]]
    assert rows.pieces.tolist() == [9, 7, 33, 17, 25, END, 23, END, 9, END]
    assert SOURCE.flatten()[rows.places].equal(rows.pieces)


@pytest.mark.usefixtures("in_parts_of_two")
def test_rows_are_dealt_to_as_few_parts_as_hold_them() -> None:
    rows = packed(SOURCE)

    assert rows.order.tolist() == [1, 0, 2]
    assert rows.counts.tolist() == [[2, 2, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert rows.pieces.tolist() == [9, 33, 17, END, 23, 9, END, 7, 25, END]
    assert SOURCE.flatten()[rows.places].equal(rows.pieces)


@pytest.mark.usefixtures("in_parts_of_two")
def test_each_row_ends_with_the_state_behind_its_last_piece() -> None:
    assert packed(SOURCE).ends.tolist() == [9, 6, 12]


def test_row_of_padding_ends_with_the_state_it_began_with() -> None:
    assert packed(torch.tensor([[PAD, PAD], [9, END]])).ends.tolist() == [3, 1]


def test_pytorch_leaves_its_threads_to_the_layers_and_gets_them_back() -> None:
    before = torch.get_num_threads()
    assert layer_threads() == before
    with threads_for_layers():
        assert (torch.get_num_threads(), layer_threads()) == (1, before)
    assert torch.get_num_threads() == layer_threads() == before


def test_only_layers_that_are_written_out_have_threads_of_their_own(network: CharacterLstm) -> None:
    assert network.has_compiled_layers
    assert not network.double().has_compiled_layers
