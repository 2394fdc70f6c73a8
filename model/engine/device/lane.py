"""The running segments of one beam size: their slots, the runs of steps, what finished. Knows no queue and no futures.

There is a lane for each class of beam sizes, and not one batch with rows for the widest beam: greedy segments would
take K rows of every product. The price is that a batch of mixed beam sizes reads the weights once a class.
Letters: M segments, T positions, K rows of a segment.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from ...decoding import Hypothesis
from ...vocabularies.vocabulary import BEGIN, END
from ..request import Request
from .choosing import take_beams, take_likeliest
from .decoder import Decoder, Extent
from .grid import SHORTEST, doubling, fitting, segment_sizes
from .lane_state import NO_PIECE, LaneShape, LaneState, Opening
from .settings import DeviceSettings
from .slots import Slots
from .streams import Mark, Streams
from .trails import Finished, Trails, hypotheses

# Segments moved at once: their keys and values are copied on the way, and the copies must not take much.
MOVED_TOGETHER = 16


@dataclass(slots=True, eq=False)
class Segment:
    """A request with a slot; `steps` were launched since it was opened, so it has at most as many pieces."""

    request: Request
    slot: int
    steps: int = 0


@dataclass(frozen=True, slots=True)
class _Run:
    """Steps that were launched: who took part in which slot and, once `mark` is reached, which slots are done."""

    segments: tuple[tuple[int, Segment], ...]
    done: Tensor
    mark: Mark


class Lane:
    """Segments of up to `shape.beam_size` rows that are decoded together; the engine's thread alone uses it."""

    def __init__(self, shape: LaneShape, decoder: Decoder, streams: Streams, settings: DeviceSettings) -> None:
        self.shape = shape
        self._decoder, self._streams, self._settings = decoder, streams, settings
        self._kept: LaneState | None = None
        self._slots = Slots(shape.segments)
        self._live: dict[Segment, None] = {}
        self._runs: deque[_Run] = deque()
        self._moved: Mark = Mark()
        self._grid = _grid(shape, settings)

    @property
    def free(self) -> int:
        """How many segments there is still room for."""
        return self._slots.free

    @property
    def live(self) -> list[Segment]:
        """The segments that are open."""
        return list(self._live)

    @property
    def runs(self) -> int:
        """How many runs were launched and not yet read."""
        return len(self._runs)

    @property
    def cache_bytes(self) -> int:
        """What the buffers take; 0 until the lane is first used."""
        return 0 if self._kept is None else self._kept.bytes

    def allocate(self) -> None:
        """Make the buffers, if there are none; raises `ConfigurationError` where the device has no room."""
        if self._kept is None:
            self._kept = LaneState.allocate(self.shape, self._streams.device)
            # Other orders of work must not be ahead of it.
            self._moved = self._streams.mark()

    def reserve(self, request: Request) -> Segment:
        """Give the request a slot; raises `IndexError` if there is none."""
        return Segment(request, self._slots.take())

    def put_source(self, segments: Sequence[Segment], key_values: Tensor) -> None:
        """Keep keys and values (L, M, S, 2, H, d) of the segments' sources; in the order of encoding."""
        self._streams.wait_for(self._moved)
        self._state.put_source(self._slots_of(segments), key_values)

    def open(self, segments: Sequence[Segment]) -> None:
        """Let the segments take part in the next run; their sources were put."""
        opening = _opening([segment.request for segment in segments], self.shape.target)
        moved = Opening(*(self._streams.to_device(getattr(opening, field.name)) for field in fields(Opening)))
        self._state.open(self._slots_of(segments), moved, BEGIN)
        self._shortlist(segments)
        self._live.update(dict.fromkeys(segments))

    def launch(self) -> None:
        """Start a run of steps of all live segments; nothing waits for it."""
        self._compact()
        extent, times = self._extent(), self._settings.steps_per_run
        self._streams.launch((self.shape.beam_size, extent), lambda: self._step(extent), times)
        for segment in self._live:
            segment.steps += times
        done = self._streams.to_host(self._state.done[: extent.segments])
        took_part = tuple((segment.slot, segment) for segment in self._live)
        self._runs.append(_Run(took_part, done, self._streams.mark()))

    def collect(self) -> list[tuple[Segment, list[Hypothesis]]]:
        """What finished in the oldest run, waiting for that; its slots are free again."""
        run = self._runs.popleft()
        run.mark.wait()
        done: list[bool] = run.done.tolist()
        finished = [segment for slot, segment in run.segments if done[slot] and segment in self._live]
        if not finished:
            return []
        found = self._hypotheses(finished, run.mark)
        for segment in finished:
            self._forget(segment)
        return list(zip(finished, found, strict=True))

    def drop(self, segments: Sequence[Segment]) -> None:
        """Give up live segments."""
        if segments:
            self._state.stop(self._slots_of(segments))
        for segment in segments:
            self._forget(segment)

    def close(self) -> None:
        """Give back the buffers."""
        self._live.clear()
        self._runs.clear()
        self._kept = None

    @property
    def _state(self) -> LaneState:
        if self._kept is None:
            raise RuntimeError("a lane was used before it was allocated")
        return self._kept

    def _shortlist(self, segments: Sequence[Segment]) -> None:
        """Let those that have a shortlist take only what is on it; others cost nothing here."""
        listed = [(one, one.request.shortlist) for one in segments if one.request.shortlist is not None]
        if listed:
            # 64 bits: slots times pieces may be more than 32 hold.
            places = [pieces + np.int64(one.slot * self.shape.vocabulary) for one, pieces in listed]
            on_device = self._streams.to_device(torch.from_numpy(np.concatenate(places)))
            self._state.shortlist(self._slots_of([one for one, _ in listed]), on_device)

    def _forget(self, segment: Segment) -> None:
        del self._live[segment]
        self._slots.give(segment.slot)

    def _step(self, extent: Extent) -> None:
        scores = self._decoder.scores(self._state, extent)
        take = take_likeliest if self.shape.beam_size == 1 else take_beams
        take(self._state, extent, scores)

    def _extent(self) -> Extent:
        times = self._settings.steps_per_run
        source = max(len(segment.request.source) for segment in self._live)
        target = max(min(segment.steps + times, segment.request.limit + 1) for segment in self._live)
        needed = max(segment.slot for segment in self._live) + 1, source, target
        segments, source, target = map(fitting, self._grid, needed)
        shortlists = any(segment.request.shortlist is not None for segment in self._live)
        return Extent(segments, source, target, shortlists)

    def _compact(self) -> None:
        """Move segments to lower slots where that makes the steps smaller."""
        sizes = self._grid[0]
        wanted = fitting(sizes, len(self._live))
        if wanted == fitting(sizes, max(segment.slot for segment in self._live) + 1):
            return
        new_slots = dict(self._slots.moves([segment.slot for segment in self._live], wanted))
        pairs = list(new_slots.items())
        for first in range(0, len(pairs), MOVED_TOGETHER):
            from_slots, to_slots = zip(*pairs[first : first + MOVED_TOGETHER], strict=True)
            self._state.move(self._on_device(from_slots), self._on_device(to_slots))
        for segment in self._live:
            segment.slot = new_slots.get(segment.slot, segment.slot)
        # A source put into a slot that was moved away from must not be there before.
        self._moved = self._streams.mark()

    def _hypotheses(self, segments: Sequence[Segment], after: Mark) -> list[list[Hypothesis]]:
        """Read what finished segments left; runs launched since then do not delay it, and change nothing of it."""
        state, length = self._state, max(segment.steps for segment in segments)
        kept = (state.finished_scores, state.finished_at, state.finished_parents, state.finished_gains)
        trails = (state.trail_pieces, state.trail_parents, state.trail_gains)
        with self._streams.copying():
            self._streams.wait_for(after)
            self._streams.wait_for(self._moved)
            slots = self._slots_of(segments)
            parts = [part[slots] for part in kept] + [part[:, :length][slots] for part in trails]
            on_host = [self._streams.to_host(part) for part in parts]
            copied = self._streams.mark()
        copied.wait()
        # The slots may be opened again from here on.
        rows = zip(segments, *(part.tolist() for part in on_host), strict=True)
        return [hypotheses(Trails(*row[5:]), Finished(*row[1:5]), row[0].request.options) for row in rows]

    def _slots_of(self, segments: Sequence[Segment]) -> Tensor:
        return self._on_device([segment.slot for segment in segments])

    def _on_device(self, numbers: Sequence[int]) -> Tensor:
        return self._streams.to_device(torch.tensor(numbers))


def _grid(shape: LaneShape, settings: DeviceSettings) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The numbers of segments, source and target positions that steps may have."""
    if settings.shapes == "fixed":
        return (shape.segments,), (shape.source,), (shape.target,)
    return segment_sizes(shape.segments), doubling(SHORTEST, shape.source), doubling(SHORTEST, shape.target)


def _opening(requests: Sequence[Request], positions: int) -> Opening:
    """What the requests ask for, on the host; prefixes have room for T `positions`."""
    options = [request.options for request in requests]
    prefix = torch.full((len(requests), positions), NO_PIECE)
    for row, one in enumerate(options):
        prefix[row, : len(one.prefix)] = torch.tensor(one.prefix, dtype=torch.int64)
    return Opening(
        source_length=torch.tensor([len(request.source) for request in requests]),
        min_pieces=torch.tensor([_fewest_pieces(request) for request in requests]),
        limit=torch.tensor([request.limit for request in requests]),
        beam_size=torch.tensor([one.beam_size for one in options]),
        length_penalty=torch.tensor([one.length_penalty for one in options], dtype=torch.float32),
        prefix=prefix,
    )


def _fewest_pieces(request: Request) -> int:
    """How many pieces come before END; none where there is nothing but END (the marks before it never come)."""
    if request.shortlist is not None and request.shortlist[-1] <= END:
        return 0
    return min(request.options.min_pieces, request.limit)
