"""Beam search finds what `generate` of transformers finds, on a Marian model with random weights."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from dragoman.model.decoding import Rows, SearchOptions, search
from dragoman.model.vocabularies.vocabulary import END
from transformers import MarianConfig, MarianMTModel

VOCABULARY_SIZE = 40
# Our pieces in order, by their numbers there: pad and unknown stand on two it may not take, BEGIN is its padding.
THEIRS = torch.tensor([1, 2, VOCABULARY_SIZE - 1, 0, *range(3, VOCABULARY_SIZE - 1)])
FORBIDDEN_THERE = THEIRS[:END].tolist()
MOST_PIECES = 9
# Without it random weights hardly ever end a translation.
END_BIAS = 4.0


@dataclass
class MarianState:
    """Encoded sources and the pieces so far: every step decodes from the beginning."""

    memory: torch.Tensor
    pieces: torch.Tensor

    def select(self, rows: torch.Tensor) -> None:
        self.memory, self.pieces = self.memory[rows], self.pieces[rows]


@pytest.fixture(scope="module")
def marian() -> Any:
    torch.manual_seed(2)
    config = MarianConfig(
        vocab_size=VOCABULARY_SIZE,
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        pad_token_id=VOCABULARY_SIZE - 1,
        decoder_start_token_id=VOCABULARY_SIZE - 1,
        eos_token_id=0,
        forced_eos_token_id=0,
        init_std=0.6,
    )
    model: Any = MarianMTModel(config)
    model.eval()
    model.final_logits_bias[0, 0] = END_BIAS
    return model


def ours(marian: Any, source: torch.Tensor, options: SearchOptions) -> list[list[tuple[int, ...]]]:
    memory = marian.get_encoder()(source).last_hidden_state
    state = MarianState(memory, torch.empty(len(source), 0, dtype=torch.long))

    def step(last: torch.Tensor, state: MarianState) -> torch.Tensor:
        state.pieces = torch.cat([state.pieces, THEIRS[last][:, None]], 1)
        output = marian(encoder_outputs=(state.memory,), decoder_input_ids=state.pieces)
        scores: torch.Tensor = output.logits[:, -1, THEIRS]
        return scores

    found = search(step, state, Rows((MOST_PIECES,) * len(source), torch.device("cpu")), options)
    return [[tuple(THEIRS[list(one.pieces)].tolist()) for one in hypotheses] for hypotheses in found]


def theirs(marian: Any, source: torch.Tensor, options: SearchOptions) -> list[list[tuple[int, ...]]]:
    found = marian.generate(
        source,
        attention_mask=torch.ones_like(source),
        num_beams=options.beam_size,
        num_return_sequences=options.n_best,
        length_penalty=options.length_penalty,
        max_new_tokens=MOST_PIECES + 1,
        suppress_tokens=FORBIDDEN_THERE,
    )
    pieces = [tuple(row[1 : row[1:].index(0) + 1]) for row in found.tolist()]
    return [pieces[first : first + options.n_best] for first in range(0, len(pieces), options.n_best)]


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 1.6])
@pytest.mark.parametrize(("beam_size", "n_best"), [(1, 1), (4, 4)])
def test_hypotheses_are_those_of_transformers(marian: Any, beam_size: int, n_best: int, length_penalty: float) -> None:
    generator = torch.Generator().manual_seed(beam_size)
    source = torch.randint(3, VOCABULARY_SIZE - 1, (24, 6), generator=generator)
    options = SearchOptions(beam_size, length_penalty, n_best=n_best)

    found = ours(marian, source, options)
    assert found == theirs(marian, source, options)
    assert len({len(one) for hypotheses in found for one in hypotheses}) > 2
