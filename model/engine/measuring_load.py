"""Measures an engine under load: what it does at full load, and how long segments take when they come one by one.

Knows engines and the clock. Arrivals are a Poisson process whose times are fixed beforehand, and a segment's latency
counts from when it should have come: a slow engine cannot slow its own load.
"""

import random
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from ..decoding import Hypothesis
from .continuous import Occupancy
from .engine import Engine
from .measuring import FEWEST_PIECES, MOST_PIECES, forced, lengths, random_source
from .request import Request
from .static_engine import StaticEngine

# A translation is about as long as its source; the quotient has this standard deviation.
LENGTH_SPREAD = 0.2


@dataclass(frozen=True, slots=True)
class Segment:
    """A source with END, and the pieces that its translation has."""

    source: tuple[int, ...]
    target_pieces: int


@dataclass(frozen=True, slots=True)
class FullLoad:
    """Segments of the mean length a second while more waited than could run, and the share of rows in use.

    The share is None where nobody counted rows.
    """

    segments_per_second: float
    occupancy: float | None


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds from arrival to answer of each segment, ascending."""

    seconds: tuple[float, ...]

    def share(self, share: float) -> float:
        """What that share of the segments stayed below."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


class StaticBatches(StaticEngine):
    """Length-sorted batches of everything that waits, one after the other, through another engine.

    A batch ends when its last row does: rows leave, and none joins. The other engine stays open when this one closes.
    """

    def __init__(self, engine: Engine, waiting: int) -> None:
        self._engine = engine
        super().__init__(self._through, waiting)

    @property
    def occupancy(self) -> Occupancy:
        """How full the steps of the other engine are; raises `AttributeError` if it does not count."""
        counted: Occupancy = self._engine.occupancy  # type: ignore[attr-defined]
        return counted

    def _through(self, requests: Sequence[Request]) -> list[list[Hypothesis]]:
        inner = [Request(one.source, one.options, one.limit, list) for one in requests]
        self._engine.submit(inner)
        return [request.future.result() for request in inner]


def segments(count: int, pieces: int, seed: int) -> list[Segment]:
    """Random segments of real lengths, in random order; `pieces` is the size of the vocabulary."""
    numbers = random.Random(seed)
    return [
        Segment(random_source(length, pieces, numbers), _target_pieces(length, numbers))
        for length in lengths(count, seed)
    ]


def full_load(engine: Engine, work: Sequence[Segment], rows: int) -> FullLoad:
    """Submit everything at once and look at it from when `rows` segments are done until only as many are left.

    So the batch is as full at the beginning as at the end: from the start on, what runs at the end would have been
    encoded in that time and decoded after it. What counts are target pieces, those of segments that are still running
    too: an engine that takes short segments first would otherwise seem fast. There must be more than twice as many
    segments as `rows`.
    """
    begun, reached = (_Finish(engine, max(1, counted)) for counted in (rows, len(work) - rows))
    requests = [_request(segment) for segment in work]
    for segment, request in zip(work, requests, strict=True):
        for moment in (begun, reached):
            request.future.add_done_callback(partial(moment, segment.target_pieces))
    engine.submit(requests)
    for request in requests:
        request.future.result()
    used, places = (now - then for now, then in zip(reached.counts, begun.counts, strict=True))
    mean_pieces = statistics.mean(segment.target_pieces for segment in work)
    decoded = used if places else reached.pieces - begun.pieces
    return FullLoad(decoded / mean_pieces / (reached.seconds - begun.seconds), used / places if places else None)


def under_load(engine: Engine, work: Sequence[Segment], segments_per_second: float, seed: int) -> Latencies:
    """Submit the segments one by one, at random times of which so many come a second."""
    numbers = random.Random(seed)
    arrival = time.perf_counter()
    clocks = []
    for segment in work:
        arrival += numbers.expovariate(segments_per_second)
        time.sleep(max(0.0, arrival - time.perf_counter()))
        clocks.append(_Clock(arrival))
        request = _request(segment)
        request.future.add_done_callback(clocks[-1])
        engine.submit([request])
    return Latencies(tuple(sorted(clock.seconds() for clock in clocks)))


class _Clock:
    """Takes the time when a future is done."""

    def __init__(self, arrival: float) -> None:
        self._arrival = arrival
        self._done = threading.Event()
        self._future: Future[object] | None = None
        self._seconds = 0.0

    def __call__(self, future: "Future[object]") -> None:
        self._seconds = time.perf_counter() - self._arrival
        self._future = future
        self._done.set()

    def seconds(self) -> float:
        """Wait; raises what the future holds instead of an answer."""
        self._done.wait()
        if self._future is not None:
            self._future.result()
        return self._seconds


class _Finish:
    """Keeps the time, the pieces and the engine's counts of the moment in which the `counted`-th segment was done."""

    def __init__(self, engine: Engine, counted: int) -> None:
        self._engine = engine
        self._left = counted
        self._lock = threading.Lock()
        self.seconds = 0.0
        self.pieces = 0
        self.counts = (0, 0)

    def __call__(self, target_pieces: int, _: object) -> None:
        with self._lock:
            self._left -= 1
            if self._left >= 0:
                self.pieces += target_pieces
            if self._left == 0:
                self.seconds, self.counts = time.perf_counter(), _counts(self._engine)


def _counts(engine: Engine) -> tuple[int, int]:
    """Rows in use and rows that there were, over all steps so far."""
    counted: Occupancy | None = getattr(engine, "occupancy", None)
    return (counted.rows, counted.places) if counted else (0, 0)


def _request(segment: Segment) -> Request:
    return Request(segment.source, forced(1), segment.target_pieces, len)


def _target_pieces(length: int, numbers: random.Random) -> int:
    return min(MOST_PIECES, max(FEWEST_PIECES, round(length * numbers.gauss(1.0, LENGTH_SPREAD))))
