"""The character-level LSTM encoder-decoder of the Keras tutorial "A ten-minute introduction to sequence-to-sequence
learning" (keras.io/examples/nlp/lstm_seq2seq), after Sutskever et al. 2014, arXiv:1409.3215.

One-hot characters; an encoder LSTM of which only the last state (h, c) is kept; a decoder LSTM that begins with it; a
dense softmax. No attention. What is the same as there: one bias vector a gate (torch has two), the way weights begin,
the count of parameters, 8 * width * (V + width + 1) + (width + 1) * V with a vocabulary of V for both sides. What
differs: the tutorial pads every segment to the longest of the corpus with the character " ", which both LSTMs read
and the accuracy counts; here padding is not read, so a segment's result does not depend on its neighbours. The
tutorial numbers the characters of source and target apart and marks a target by a tab and a newline; here they share
one vocabulary with BEGIN and END, and END closes the source too.

Knows tensors only: no text, no files. Letters: B batch, N rows of a running decode, S source length, T target length,
D width, V vocabulary.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from ..vocabularies.vocabulary import PAD
from .character_recurrence import can_run_looked_up, packed, run_looked_up
from .network import Network
from .recurrent_layers import CellState, initialise_recurrent, run_fused
from .shape_checks import check_shape


@dataclass(frozen=True, slots=True)
class CharacterLstmConfig:
    """Shape of a character LSTM: states of `width` numbers. Raises `ValueError` for an impossible shape.

    The network has no positions; `max_positions` is how far it is trusted.
    """

    vocabulary_size: int
    width: int = 256
    max_positions: int = 2048

    def __post_init__(self) -> None:
        check_shape(self)


class CharacterState:
    """What decoding remembers of N rows: hidden state and memory cell, each (N, D)."""

    def __init__(self, cell: CellState) -> None:
        self.cell = cell
        self.keep_attention = False
        self.attention: Tensor | None = None

    def select(self, rows: Tensor) -> Self:
        """Keep `rows` (N',), in that order, in place; a row may be taken several times or not at all."""
        self.cell = tuple(part[rows] for part in self.cell)
        return self


class CharacterLstm(Network):
    """Source characters in, scores of the next target character out."""

    def __init__(self, config: CharacterLstmConfig) -> None:
        super().__init__()
        self.config = config
        # One input more than characters: its column of the input matrix is the bias (see `recurrent_layers`).
        self.encoder, self.decoder = (
            nn.LSTM(config.vocabulary_size + 1, config.width, bias=False, batch_first=True) for _ in range(2)
        )
        self.output = nn.Linear(config.width, config.vocabulary_size)
        self._initialise()

    @property
    def has_compiled_layers(self) -> bool:
        """Whether the recurrence can be written out here."""
        return all(can_run_looked_up(layer) for layer in (self.encoder, self.decoder))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Decoder output (B, T, D) at every position of `target` (B, T), which begins with BEGIN.

        In training on a CPU the recurrence is written out (`character_recurrence`): a third faster, the same numbers.
        """
        if self.training and self.has_compiled_layers:
            return self._forward_looked_up(source, target)
        output, _ = run_fused(self.decoder, self._one_hot(target), self.start(source).cell)
        return output

    def logits(self, hidden: Tensor) -> Tensor:
        """Decoder output (..., D) -> scores of every piece (..., V)."""
        scores: Tensor = self.output(hidden)
        return scores

    def start(self, source: Tensor) -> CharacterState:
        """Encode `source` (B, S) once and return the state that `step` continues from."""
        _, cell = run_fused(self.encoder, self._one_hot(padded_left(source)))
        return CharacterState(cell)

    def step(self, pieces: Tensor, state: CharacterState) -> Tensor:
        """Feed the last pieces (N,) and get the scores of the next ones (N, V); `state` moves one position on."""
        output, state.cell = run_fused(self.decoder, self._one_hot(pieces[:, None]), state.cell)
        return self.logits(output[:, 0])

    def restore_buffers(self) -> None:
        """Lay the weights out as cuDNN wants them; nothing is computed."""
        self.encoder.flatten_parameters()
        self.decoder.flatten_parameters()

    def _forward_looked_up(self, source: Tensor, target: Tensor) -> Tensor:
        """As `forward`, but zeros where the target has padding."""
        zeros = self.output.weight.new_zeros(len(source), self.config.width)
        _, state = run_looked_up(self.encoder, packed(source), (zeros, zeros))
        rows = packed(target)
        outputs, _ = run_looked_up(self.decoder, rows, state)
        hidden = outputs.new_zeros(target.numel(), self.config.width).index_copy(0, rows.places, outputs)
        return hidden.view(*target.shape, self.config.width)

    def _one_hot(self, pieces: Tensor) -> Tensor:
        """Pieces (B, S) -> (B, S, V+1): 1 at the character and in the last column; padding is all 0.

        A product with these is no slower than a look-up here: it is a small part beside the recurrent product, and it
        lets the LSTM run fused.
        """
        real = (pieces != PAD)[..., None].type_as(self.output.weight)
        characters = real.new_zeros(*pieces.shape, self.config.vocabulary_size)
        return torch.cat([characters.scatter_(-1, pieces[..., None], real), real], -1)

    def _initialise(self) -> None:
        for layer in (self.encoder, self.decoder):
            initialise_recurrent(layer)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)


def padded_left(source: Tensor) -> Tensor:
    """Move the padding of `source` (B, S) from the right to the left, where a state of zeros outlasts it."""
    length = source.shape[1]
    padding = (source == PAD).sum(1, keepdim=True)
    places = (torch.arange(length, device=source.device) - padding) % length
    return source.gather(1, places)
