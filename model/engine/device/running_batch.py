"""All segments that are decoded now, in lanes by beam size. Knows no queue, no futures and no text.

One thread uses it, inside `ordered`. What is launched here is done in the order of decoding, except where it says so.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....errors import ConfigurationError
from ...architectures.network import Network
from ...decoding import Hypothesis
from ...decoding.options import check_prefix
from ...vocabularies.vocabulary import END, PAD
from ..request import Request
from .decoder import Decoder
from .fused import FusedTransformer
from .grid import groups_by_length, rounded_up
from .lane import Lane, Segment
from .lane_state import LaneShape
from .settings import DeviceSettings
from .streams import Mark, Streams

# Lengths of buffers are multiples of it, as attention kernels want them.
LENGTH_MULTIPLE = 16


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Segments whose sources are there once `mark` is reached."""

    lane: Lane
    segments: list[Segment]
    mark: Mark


class RunningBatch:
    """A network and the segments it decodes; takes the network over (see `FusedTransformer`).

    Raises `ConfigurationError` for a network that is no Transformer.
    """

    def __init__(self, network: Network, device: torch.device, settings: DeviceSettings) -> None:
        self._settings = settings
        self._fused = FusedTransformer.take_over(network, device, settings.dtype)
        self._streams = _streams(device, settings)
        decoder = Decoder(self._fused)
        self.lanes = [
            Lane(_shape(self._fused, settings, size), decoder, self._streams, settings) for size in settings.beam_sizes
        ]
        self._encoded: list[_Encoded] = []

    def ordered(self) -> AbstractContextManager[object]:
        """The order of decoding, in which everything else is called."""
        return self._streams.decoding()

    @property
    def is_empty(self) -> bool:
        """Whether no segment is decoded or about to be."""
        return not self._encoded and not any(lane.live for lane in self.lanes)

    @property
    def requests(self) -> list[Request]:
        """Those that were admitted and have not finished."""
        live = [segment for lane in self.lanes for segment in lane.live]
        return [segment.request for segment in live + [one for group in self._encoded for one in group.segments]]

    def lane_of(self, request: Request) -> Lane:
        """Where the request would be decoded; raises `ConfigurationError`, saying why, if there is no such lane."""
        options = request.options
        _require(
            options.sampling is None and not options.looks_at_attention and not options.no_repeat_ngram,
            "sampling, alignment, the coverage penalty and no-repeat n-grams are not decoded on the device: "
            "take the reference engine",
        )
        lane = next((lane for lane in self.lanes if lane.shape.beam_size >= options.beam_size), None)
        if lane is None:
            widest = self.lanes[-1].shape.beam_size
            raise ConfigurationError(f"a beam of {options.beam_size} is too wide: this engine's widest has {widest}")
        check_prefix(options.prefix, request.limit)
        _check_size(request, lane, self._settings)
        return lane

    def check(self, request: Request) -> None:
        """Raise `ConfigurationError`, saying why, for a request that can never be decoded."""
        self.lane_of(request)
        if request.shortlist is not None:
            _check_shortlist(request.shortlist, request.options.prefix, self._fused.config.vocabulary_size)

    def admit(self, requests: Sequence[Request]) -> None:
        """Encode requests beside the decoding; they join a later run. They were checked, and there are free slots.

        Raises `ConfigurationError`, and admits none, where the device has no room for the buffers of a lane.
        """
        by_lane: dict[Lane, list[Request]] = {}
        for request in requests:
            by_lane.setdefault(self.lane_of(request), []).append(request)
        for lane in by_lane:
            lane.allocate()
        for lane, together in by_lane.items():
            lengths = [len(request.source) for request in together]
            for length, places in groups_by_length(lengths, self._settings.encoder_rows):
                self._encode(lane, [lane.reserve(together[place]) for place in places], length)

    def advance(self) -> Iterator[tuple[Request, list[Hypothesis]]]:
        """Launch a run of every lane, then read an earlier one; yields what finished there, with its hypotheses."""
        self._open_encoded()
        for lane in self.lanes:
            if lane.live:
                lane.launch()
        for lane in self.lanes:
            if lane.runs >= self._settings.runs_in_flight:
                yield from ((segment.request, found) for segment, found in lane.collect())

    def drop_cancelled(self) -> list[Request]:
        """Give up segments whose futures were cancelled and return them; those about to join follow when they have."""
        dropped = []
        for lane in self.lanes:
            cancelled = [segment for segment in lane.live if segment.request.future.cancelled()]
            lane.drop(cancelled)
            dropped += [segment.request for segment in cancelled]
        return dropped

    def close(self) -> None:
        """Give back the memory of the buffers; nothing is decoded any more."""
        self._streams.release()
        self._encoded.clear()
        for lane in self.lanes:
            lane.close()

    def _encode(self, lane: Lane, segments: list[Segment], length: int) -> None:
        # A network may have fewer positions than the multiple that lengths are rounded up to.
        length = min(length, self._fused.config.max_positions)
        with self._streams.encoding(), self._streams.attention_kernels():
            source = self._streams.to_device(self._padded(segments, length))
            key_values = self._fused.source_key_values(source)
            lane.put_source(segments, key_values[:, : len(segments)])
            self._encoded.append(_Encoded(lane, segments, self._streams.mark()))

    def _padded(self, segments: Sequence[Segment], length: int) -> Tensor:
        """Sources (B, S), and where shapes are fixed, dummy rows up to the number that is always encoded."""
        sources: list[Sequence[int]] = [segment.request.source for segment in segments]
        if self._settings.shapes == "fixed":
            sources += [(END,)] * (self._settings.encoder_rows - len(sources))
        return torch.tensor([[*source, *[PAD] * (length - len(source))] for source in sources])

    def _open_encoded(self) -> None:
        """Let encoded segments join; a lane that would stand still without them waits for them on the device."""
        later = []
        for one in self._encoded:
            if one.mark.is_reached or not one.lane.live:
                self._streams.wait_for(one.mark)
                one.lane.open(one.segments)
            else:
                later.append(one)
        self._encoded = later


def _streams(device: torch.device, settings: DeviceSettings) -> Streams:
    if device.type == "cuda":
        from .cuda import CudaStreams

        return CudaStreams(device, captures=settings.launch == "graphs")
    return Streams(device)


def _shape(fused: FusedTransformer, settings: DeviceSettings, beam_size: int) -> LaneShape:
    """The shape of a lane, as many segments as its share of the memory holds, perhaps none."""
    most = fused.config.max_positions
    source, target = (
        rounded_up(min(pieces or most, most), LENGTH_MULTIPLE)
        for pieces in (settings.source_pieces, settings.target_pieces)
    )
    width, vocabulary = fused.config.width, len(fused.output_weight)
    one = LaneShape(beam_size, 1, source, target, len(fused.layers), fused.heads, width, vocabulary, fused.dtype)
    share = settings.cache_bytes // len(settings.beam_sizes)
    segments = min(max(1, settings.rows // beam_size), share // one.bytes_per_segment)
    return replace(one, segments=segments)


def _check_size(request: Request, lane: Lane, settings: DeviceSettings) -> None:
    shape = lane.shape
    _require(
        len(request.source) <= shape.source,
        f"a source of {len(request.source)} pieces does not fit, there is room for {shape.source}: split it into "
        "sentences, or raise source_pieces",
    )
    _require(
        request.limit < shape.target,
        f"a translation of up to {request.limit} pieces does not fit, there is room for {shape.target - 1}: "
        "lower the maximum, or raise target_pieces",
    )
    megabytes, share = shape.bytes_per_segment / 2**20, settings.cache_bytes / len(settings.beam_sizes) / 2**20
    _require(
        shape.segments > 0,
        f"a segment of beam size {request.beam_size} takes {megabytes:.1f} MiB of keys and values, and there are "
        f"{share:.1f} MiB for that beam size: raise cache_bytes, or lower source_pieces, target_pieces or the beam",
    )


def _check_shortlist(shortlist: NDArray[np.int32], prefix: Sequence[int], pieces: int) -> None:
    # On a device a number out of bounds would be another segment's piece, or the end of the engine.
    _require(
        len(shortlist) > 0 and shortlist.min() >= 0 and shortlist.max() < pieces,
        f"a shortlist that is empty or names a piece that the network does not have: it has {pieces}",
    )
    missing = {END, *prefix} - {*shortlist.tolist()}
    _require(not missing, f"the shortlist lacks {sorted(missing)}, which END or the prefix needs")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ConfigurationError(otherwise)
