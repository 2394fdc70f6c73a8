"""LSTM and GRU encoder-decoders with attention: Bahdanau et al. 2015 (arXiv:1409.0473), Luong et al. 2015
(arXiv:1508.04025).

The encoder reads the source in both directions; the decoder's first state is tanh of a linear layer over what both
directions end with, as in Bahdanau et al. Knows tensors only: no text, no files. Letters: B batch, N rows of a running
decode, S source length, T target length, D width, H width of a state, V vocabulary.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..arithmetic import mix
from ..vocabularies.vocabulary import PAD
from .dropout import Dropout
from .embedded import EmbeddedNetwork, Embeddings, EmbeddingShape
from .recurrent_decoders import BahdanauDecoder, Decoder, InputFeedingDecoder, LuongDecoder, RecurrentState
from .recurrent_layers import STATE_PARTS, BidirectionalEncoder, Cell, CellState, DecoderCells, initialise_recurrent
from .shape_checks import check_shape
from .source_attention import AttentionKind, source_attention

# What a lexicon's probabilities are raised by before the logarithm, as its authors have it: a piece that it does not
# know loses 7 in its score, which the decoder can make up for.
LEXICON_FLOOR = 1e-3
# Most pieces of a lexicon: it has a number for each pair of them, and decoding holds a row for each place of a source.
LEXICON_PIECES = 4000


@dataclass(frozen=True, slots=True)
class RecurrentConfig:
    """Shape of a recurrent network: embeddings of `width`, states of `state` numbers, half of them each direction's.

    `input_feeding` belongs to Luong's attention: Bahdanau's feeds what it read to the next state anyway. With `lexicon`
    the logarithm of what a table of translations says of the pieces that the decoder looks at is added to the scores
    (Arthur et al. 2016, arXiv:1606.02006); for Luong's attention without input feeding. A recurrent network has no
    positions; `max_positions` is how far it is trusted. Raises `ValueError` for an impossible shape.
    """

    vocabulary_size: int
    width: int = 256
    state: int = 256
    encoder_layers: int = 1
    decoder_layers: int = 1
    cell: Cell = "lstm"
    attention: AttentionKind = "luong-general"
    input_feeding: bool = False
    dropout: float = 0.2
    max_positions: int = 512
    embeddings: Embeddings = "tied"
    output_bias: Literal["none", "learned"] = "learned"
    source_vocabulary_size: int | None = None
    lexicon: bool = False

    def __post_init__(self) -> None:
        check_shape(self)
        self._check_lexicon()
        if self.state % 2:
            raise ValueError(f"a state of {self.state} cannot be split into two directions of equal width")
        if self.input_feeding and self.attention == "bahdanau":
            raise ValueError("input_feeding is part of Luong's attention: take it off, or take a luong attention")
        _ = self.matrices

    @property
    def matrices(self) -> EmbeddingShape:
        return EmbeddingShape(
            self.vocabulary_size, self.source_vocabulary_size, self.width, self.embeddings, self.output_bias
        )

    def _check_lexicon(self) -> None:
        if not self.lexicon:
            return
        if self.input_feeding or self.attention == "bahdanau":
            raise ValueError("lexicon needs a luong attention without input_feeding: take it off, or change these")
        pieces = max(self.vocabulary_size, self.source_vocabulary_size or 0)
        if pieces > LEXICON_PIECES:
            raise ValueError(
                f"a lexicon of {pieces} pieces is too large: take it off, or at most {LEXICON_PIECES} pieces"
            )


class RecurrentNetwork(EmbeddedNetwork):
    """Source pieces in, scores of the next target piece out.

    `lexicon` (source V, V), if the shape has one, holds p(target piece | source piece); it is set, not learned. What
    the decoder gives is then D + V wide: the logarithms stand behind the rest.
    """

    lexicon: Tensor | None

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config.matrices)
        self.config = config
        self.encoder = BidirectionalEncoder(config.cell, config.width, config.state, config.encoder_layers)
        self.bridge = nn.Linear(config.state, config.decoder_layers * STATE_PARTS[config.cell] * config.state)
        self.decoder = _decoder(config)
        self.dropout = Dropout(config.dropout)
        shape = (config.source_vocabulary_size or config.vocabulary_size, config.vocabulary_size)
        self.register_buffer("lexicon", torch.zeros(shape) if config.lexicon else None)
        self._initialise()

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Decoder output (B, T, D) at every position of `target` (B, T), which begins with BEGIN."""
        state = self.start(source)
        pieces = self.dropout(self._embed(self.embedding, target))
        drops = [self.dropout.mask(cell[0][:, None]) for cell in state.cells[1:]]
        output: Tensor = self.dropout(self.decoder(pieces, state, drops))
        return _with_translations(output, state)

    def logits(self, hidden: Tensor) -> Tensor:
        """Decoder output (..., D) -> scores of every piece (..., V)."""
        if self.lexicon is None:
            return super().logits(hidden)
        scores: Tensor = super().logits(hidden[..., : self.config.width])
        return scores + hidden[..., self.config.width :]

    def start(self, source: Tensor) -> RecurrentState:
        """Encode `source` (B, S) once and return the state that `step` continues from."""
        mask = source != PAD
        embedded = self.dropout(self._embed(self.embedding_of_source, source))
        values, ends = self.encoder(embedded, mask, self.dropout)
        state = RecurrentState(self.decoder.attention.remember(values, mask), self._first_cells(ends))
        state.translations = None if self.lexicon is None else self.lexicon[source]
        return state

    def step(self, pieces: Tensor, state: RecurrentState) -> Tensor:
        """Feed the last pieces (N,) and get the scores of the next ones (N, V); `state` moves one position on."""
        output = self.decoder.step(self._embed(self.embedding, pieces), state)
        return self.logits(_with_translations(output[:, None], state)[:, 0])

    def restore_buffers(self) -> None:
        """Lay the weights out as cuDNN wants them; nothing is computed."""
        for layer in self._recurrent_layers():
            layer.flatten_parameters()

    def _embed(self, embedding: nn.Embedding, pieces: Tensor) -> Tensor:
        # Rows begin with length 1, for the output's sake; as inputs they need unit variance, as in the Transformer.
        embedded: Tensor = embedding(pieces) * math.sqrt(self.config.width)
        return embedded

    def _first_cells(self, ends: Tensor) -> list[CellState]:
        parts = torch.tanh(self.bridge(ends)).chunk(self.bridge.out_features // self.config.state, -1)
        count = STATE_PARTS[self.config.cell]
        return [tuple(parts[first : first + count]) for first in range(0, len(parts), count)]

    def _recurrent_layers(self) -> list[nn.LSTM | nn.GRU]:
        return [module for module in self.modules() if isinstance(module, nn.LSTM | nn.GRU)]

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for layer in self._recurrent_layers():
            initialise_recurrent(layer)
        self.initialise_embeddings()


def _with_translations(output: Tensor, state: RecurrentState) -> Tensor:
    """Decoder output (B, T, D) and, where there is a lexicon, the logarithms of what it says: (B, T, D + V)."""
    if state.translations is None or state.looks is None:
        return output
    translations = mix(state.looks, state.translations)  # (B, T, S) and (B, S, V) -> (B, T, V)
    return torch.cat([output, (translations + LEXICON_FLOOR).log().type_as(output)], -1)


def _decoder(config: RecurrentConfig) -> Decoder:
    attention = source_attention(config.attention, config.state)
    kind: type[Decoder]
    if config.attention == "bahdanau":
        kind, fed, read = BahdanauDecoder, config.state, 2 * config.state + config.width
    elif config.input_feeding:
        kind, fed, read = InputFeedingDecoder, config.width, 2 * config.state
    else:
        kind, fed, read = LuongDecoder, 0, 2 * config.state
    cells = DecoderCells(config.cell, config.width + fed, config.state, config.decoder_layers)
    return kind(cells, attention, nn.Linear(read, config.width))
