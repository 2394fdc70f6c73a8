"""Step functions without a network."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch

SCRIPTED_VOCABULARY = 12
Prefix = tuple[int, ...]


@dataclass
class ScriptedState:
    """Rows that remember their pieces and which segment they belong to."""

    segments: list[int]
    pieces: list[Prefix]
    keep_attention: bool = False
    attention: torch.Tensor | None = None

    def select(self, rows: torch.Tensor) -> None:
        self.segments = [self.segments[row] for row in rows.tolist()]
        self.pieces = [self.pieces[row] for row in rows.tolist()]


class Script:
    """Scores of the next piece from a seed, the segment and the pieces so far: as good as random, always the same."""

    def __init__(self, seed: int, vocabulary_size: int = SCRIPTED_VOCABULARY) -> None:
        self.seed, self.vocabulary_size = seed, vocabulary_size
        self.rows_seen: list[int] = []

    def start(self, segments: int) -> ScriptedState:
        return ScriptedState(list(range(segments)), [()] * segments)

    def step(self, last: torch.Tensor, state: ScriptedState) -> torch.Tensor:
        self.rows_seen.append(len(last))
        state.pieces = [(*before, piece) for before, piece in zip(state.pieces, last.tolist(), strict=True)]
        rows = [self.scores(segment, row) for segment, row in zip(state.segments, state.pieces, strict=True)]
        return torch.stack(rows)

    def scores(self, segment: int, pieces: Prefix) -> torch.Tensor:
        generator = torch.Generator().manual_seed(hash((self.seed, segment, pieces)) % 2**63)
        return torch.randn(self.vocabulary_size, generator=generator)

    def log_probability(self, segment: int, pieces: Prefix) -> list[float]:
        """Of each of `pieces` and the END after them, with nothing taken away."""
        begin, end = 2, 3
        steps = [((begin, *pieces[:length]), piece) for length, piece in enumerate((*pieces, end))]
        return [float(self.scores(segment, before).log_softmax(-1)[piece]) for before, piece in steps]


class LookingScript(Script):
    """Each piece looks at one of the source's places: `looks` says which, by the piece last taken."""

    def __init__(self, seed: int, looks: Mapping[int, tuple[float, ...]]) -> None:
        super().__init__(seed)
        self.looks = looks

    def step(self, last: torch.Tensor, state: ScriptedState) -> torch.Tensor:
        scores = super().step(last, state)
        if state.keep_attention:
            state.attention = torch.tensor([self.looks[piece] for piece in last.tolist()])
        return scores


@pytest.fixture(scope="session")
def script() -> type[Script]:
    return Script


@pytest.fixture(scope="session")
def looking_script() -> type[LookingScript]:
    return LookingScript
