"""The static buffers of a lane: everything that decoding remembers of its segments. Knows no network and no strategy.

Letters: L layers, B segments there is room for, K rows each, S source and T target positions there is room for, D
width, H heads, d = D/H, V vocabulary padded to blocks, M segments that are opened or moved. The rows of a segment are
never reordered: the keys and values that a row of a beam has written stay where they are, and `ancestors` says which of
them each row goes on from. So attention reads the cache of a segment once for all its rows, and a step moves no keys.
"""

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from ....errors import ConfigurationError

# The piece of a prefix where there is none.
NO_PIECE = -1
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class LaneShape:
    """How large the buffers of a lane are."""

    beam_size: int
    segments: int
    source: int
    target: int
    layers: int
    heads: int
    width: int
    vocabulary: int
    dtype: torch.dtype

    @property
    def bytes_per_segment(self) -> int:
        """What one segment takes in all buffers."""
        keys_values = 2 * self.width * self.dtype.itemsize * self.layers
        # pieces, parents, gains (4 bytes each), ancestors (1) of each row, and the prefix (8)
        tables = self.target * (13 * self.beam_size + 8)
        # six numbers of the segment, five of each row, and whether it is done
        numbers = 5 * 8 + 4 + 1 + (8 + 5 * 4) * self.beam_size
        return keys_values * (self.source + self.target * self.beam_size) + tables + numbers + self.vocabulary


@dataclass(frozen=True, slots=True)
class Opening:
    """What M segments begin with: host tensors (M,), and `prefix` (M, T)."""

    source_length: Tensor
    min_pieces: Tensor
    limit: Tensor
    beam_size: Tensor
    length_penalty: Tensor
    prefix: Tensor


@dataclass(frozen=True, slots=True)
class LaneState:
    """One tensor a line, the segments on the dimension that the comment calls B; none is ever replaced or resized."""

    self_cache: Tensor  # (L, B, T, K, 2, H, d): keys and values of the target so far
    cross_cache: Tensor  # (L, B, S, 2, H, d): keys and values of the source
    source_length: Tensor  # (B,)
    # What the next step reads, and where it stands.
    pieces: Tensor  # (B, K)
    position: Tensor  # (B,): pieces so far
    totals: Tensor  # (B, K): log-probability so far; -inf is a row that does not run
    ancestors: Tensor  # (B, K, T): the place of the row that wrote what this row saw at T; -1: nobody yet
    # What the segment was asked for.
    prefix: Tensor  # (B, T)
    min_pieces: Tensor  # (B,)
    limit: Tensor  # (B,)
    beam_size: Tensor  # (B,): up to K
    length_penalty: Tensor  # (B,)
    forbidden: Tensor  # (B, V): True: a piece that is not on the segment's shortlist; without one never
    # What came out: at each position, of each row, its piece, the row before it, and what the piece added.
    trail_pieces: Tensor  # (B, T, K)
    trail_parents: Tensor  # (B, T, K)
    trail_gains: Tensor  # (B, T, K)
    # The finished hypotheses, best first; -inf is a free place.
    finished_scores: Tensor  # (B, K)
    finished_at: Tensor  # (B, K): pieces before END
    finished_parents: Tensor  # (B, K): the row that END came after
    finished_gains: Tensor  # (B, K): what END added
    done: Tensor  # (B,): True also where no segment is

    @classmethod
    def allocate(cls, shape: LaneShape, device: torch.device) -> Self:
        """Buffers of that shape, all zero; raises `ConfigurationError` where the device has no room for them."""
        try:
            return cls._allocate(shape, device)
        except RuntimeError as error:  # out of memory on CUDA is one too
            gigabytes = shape.bytes_per_segment * shape.segments / 2**30
            raise ConfigurationError(
                f"{device} has no room for {gigabytes:.1f} GiB of keys and values, for {shape.segments} segments of "
                f"beam size {shape.beam_size}: lower cache_bytes, rows, or the longest source and target"
            ) from error

    @classmethod
    def _allocate(cls, shape: LaneShape, device: torch.device) -> Self:
        segments, rows, target = shape.segments, shape.beam_size, shape.target
        kept = (2, shape.heads, shape.width // shape.heads)

        def zeros(*size: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(size, dtype=dtype, device=device)

        def each_row(dtype: torch.dtype) -> Tensor:
            return zeros(segments, rows, dtype=dtype)

        def each_piece(dtype: torch.dtype) -> Tensor:
            return zeros(segments, target, rows, dtype=dtype)

        return cls(
            self_cache=zeros(shape.layers, segments, target, rows, *kept, dtype=shape.dtype),
            cross_cache=zeros(shape.layers, segments, shape.source, *kept, dtype=shape.dtype),
            source_length=zeros(segments).fill_(1),
            pieces=each_row(torch.int64),
            position=zeros(segments),
            totals=each_row(torch.float32),
            ancestors=zeros(segments, rows, target, dtype=torch.int8).fill_(-1),
            prefix=zeros(segments, target).fill_(NO_PIECE),
            min_pieces=zeros(segments),
            limit=zeros(segments),
            beam_size=zeros(segments).fill_(1),
            length_penalty=zeros(segments, dtype=torch.float32),
            forbidden=zeros(segments, shape.vocabulary, dtype=torch.bool),
            trail_pieces=each_piece(torch.int32),
            trail_parents=each_piece(torch.int32),
            trail_gains=each_piece(torch.float32),
            finished_scores=each_row(torch.float32).fill_(NEVER),
            finished_at=each_row(torch.int32),
            finished_parents=each_row(torch.int32),
            finished_gains=each_row(torch.float32),
            done=zeros(segments, dtype=torch.bool).fill_(value=True),
        )

    @property
    def bytes(self) -> int:
        """What all buffers take together."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def put_source(self, slots: Tensor, key_values: Tensor) -> None:
        """Keep the keys and values of sources (L, M, S', 2, H, d) in `slots` (M,); what lay there is gone."""
        self.cross_cache.index_fill_(1, slots, 0)
        self.cross_cache[:, :, : key_values.shape[2]].index_copy_(1, slots, key_values)

    def open(self, slots: Tensor, opening: Opening, begin: int) -> None:
        """Let segments begin in `slots` (M,) with the piece `begin`; `opening` lies on the device of the buffers.

        What the last segment left there is gone: not even an overflow of its numbers reaches the next one.
        """
        self.self_cache.index_fill_(1, slots, 0)
        for field in fields(Opening):
            getattr(self, field.name).index_copy_(0, slots, getattr(opening, field.name))
        self.pieces.index_fill_(0, slots, begin)
        self.position.index_fill_(0, slots, 0)
        self.totals.index_fill_(0, slots, NEVER)
        self.totals[:, 0].index_fill_(0, slots, 0.0)
        self.ancestors.index_fill_(0, slots, -1)
        self.forbidden.index_fill_(0, slots, 0)
        self.finished_scores.index_fill_(0, slots, NEVER)
        self.done.index_fill_(0, slots, 0)

    def shortlist(self, slots: Tensor, places: Tensor) -> None:
        """Let segments that were opened in `slots` (M,) have the pieces at `places` (P,) of (B*V) and no others."""
        self.forbidden.index_fill_(0, slots, 1)
        self.forbidden.view(-1).index_fill_(0, places, 0)

    def stop(self, slots: Tensor) -> None:
        """Let what runs in `slots` (M,) run no more."""
        self.done.index_fill_(0, slots, 1)

    def move(self, from_slots: Tensor, to_slots: Tensor) -> None:
        """Bring the segments of `from_slots` (M,) to `to_slots` (M,), which hold none."""
        for field in fields(self):
            tensor = getattr(self, field.name)
            dimension = 1 if field.name in ("self_cache", "cross_cache") else 0
            tensor.index_copy_(dimension, to_slots, tensor.index_select(dimension, from_slots))
        self.stop(from_slots)
