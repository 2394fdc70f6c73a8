"""Measures engines beside each other: the same segments, the same forced lengths, in turns. Knows engines, no peers.

Sources are random pieces: how long a network takes depends on lengths alone, once those of translations are forced.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..decoding import Hypothesis, SearchOptions
from ..vocabularies.vocabulary import END
from .engine import Engine
from .request import Request

# Lengths of real sentences, in pieces with END.
MEAN_PIECES, SPREAD_PIECES, FEWEST_PIECES, MOST_PIECES = 25, 12, 3, 80
# So many lengths are drawn, sorted, and then looked at in equal distances.
DRAWN_LENGTHS = 2048
# More than any limit: a translation ends at its limit, not before.
ENDLESS = 1 << 30
# The threads of Intel's OpenMP library, which peers bring along, spin for 0.2 s after their work.
SETTLE_SECONDS = 0.3

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Segments that are translated at once: sources (with END), all of one length, into so many pieces each."""

    sources: tuple[tuple[int, ...], ...]
    target_pieces: int

    @property
    def pieces(self) -> int:
        return len(self.sources) * self.target_pieces


class Side(Protocol):
    """Something that translates batches, one after the other."""

    @property
    def name(self) -> str: ...

    def seconds(self, batches: Sequence[Batch], beam_size: int) -> float:
        """How long it takes."""
        ...


class EngineSide:
    """One of our engines; it gets a batch once it has given back the one before."""

    def __init__(self, engine: Engine, shortlist: NDArray[np.int32] | None = None) -> None:
        self._engine = engine
        self._shortlist = shortlist

    @property
    def name(self) -> str:
        return self._engine.name

    def seconds(self, batches: Sequence[Batch], beam_size: int) -> float:
        """See `Side`."""
        start = time.perf_counter()
        for batch in batches:
            self._wait(self._requests(batch, beam_size))
        return time.perf_counter() - start

    def _requests(self, batch: Batch, beam_size: int) -> list[Request]:
        options = forced(beam_size)
        return [
            Request(source, options, batch.target_pieces, target_pieces, shortlist=self._shortlist)
            for source in batch.sources
        ]

    def _wait(self, requests: Sequence[Request]) -> None:
        self._engine.submit(requests)
        for request in requests:
            pieces = request.future.result()
            if pieces != request.limit:
                raise RuntimeError(f"{self.name} gave {pieces} pieces where {request.limit} are forced")


class OpenEngineSide(EngineSide):
    """One of our engines; it gets all batches at once, the longest first, and cuts as it likes."""

    def seconds(self, batches: Sequence[Batch], beam_size: int) -> float:
        """See `Side`."""
        ordered = sorted(batches, key=lambda batch: -batch.target_pieces)
        start = time.perf_counter()
        self._wait([request for batch in ordered for request in self._requests(batch, beam_size)])
        return time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class Compared:
    """Pieces a second of the sides in each turn; the first side is ours."""

    speeds: Mapping[str, tuple[float, ...]]

    def median(self, name: str) -> float:
        return statistics.median(self.speeds[name])

    def ratios(self, ours: str, peer: str) -> list[float]:
        """How many times as fast we were, turn by turn."""
        return [own / other for own, other in zip(self.speeds[ours], self.speeds[peer], strict=True)]


def compare(sides: Sequence[Side], batches: Sequence[Batch], beam_size: int, turns: int) -> Compared:
    """Let the sides translate the same in turns, after one that does not count; each turn begins with another."""
    pieces = sum(batch.pieces for batch in batches)
    speeds: dict[str, list[float]] = {side.name: [] for side in sides}
    for turn in range(turns + 1):
        for place in range(len(sides)):
            side = sides[(place + turn) % len(sides)]
            time.sleep(SETTLE_SECONDS)
            speeds[side.name].append(pieces / side.seconds(batches, beam_size))
    return Compared({name: tuple(measured[1:]) for name, measured in speeds.items()})


def forced(beam_size: int) -> SearchOptions:
    """The options under which a translation has as many pieces as its limit allows."""
    return SearchOptions(beam_size=beam_size, min_pieces=ENDLESS)


def target_pieces(found: Sequence[Hypothesis]) -> int:
    """How many pieces the best hypothesis has."""
    return len(found[0].pieces)


def lengths(count: int, seed: int = 1) -> list[int]:
    """Lengths of sources, with END, as sentences have them."""
    numbers = random.Random(seed)
    drawn = (round(numbers.gauss(MEAN_PIECES, SPREAD_PIECES)) for _ in range(count))
    return [min(MOST_PIECES, max(FEWEST_PIECES, length)) for length in drawn]


def sorted_batches(batches: int, rows: int, pieces: int) -> list[Batch]:
    """What length-sorted batches of real text are: batches of one length each, at equal distances of all lengths.

    A translation is as long as its source; `pieces` is the size of the vocabulary.
    """
    ordered = sorted(lengths(DRAWN_LENGTHS))
    places = [int((number + 0.5) * len(ordered) / batches) for number in range(batches)]
    return [batch_of(rows, ordered[place], pieces, seed) for seed, place in enumerate(places)]


def batch_of(rows: int, length: int, pieces: int, seed: int = 0) -> Batch:
    """A batch of random sources of one length, with END."""
    numbers = random.Random(seed)
    return Batch(tuple(random_source(length, pieces, numbers) for _ in range(rows)), length)


def random_source(length: int, pieces: int, numbers: random.Random) -> tuple[int, ...]:
    """Random pieces and END, `length` together."""
    return (*(numbers.randrange(END + 1, pieces) for _ in range(length - 1)), END)
