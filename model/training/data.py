"""Batches of pieces out of a stream of pairs, endless and repeatable. Knows a vocabulary and no tensors.

An epoch of pairs is cut into pools. A pool is encoded, sorted into batches of like lengths and given out in random
order while the next one is made in a thread. Every pool is a function of the stream, the vocabulary, the options and
its own number, so that a run goes on at any batch without encoding what came before it.
"""

import itertools
import random
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from threading import Event

from ...errors import ConfigurationError
from ..corpora.corpus_file import LabelledPair
from ..corpora.stream import PairStream
from ..vocabularies.vocabulary import Vocabulary
from .encoding import PAIRS_AT_ONCE, EncodedPairs, Encoder, Example, encode_pairs
from .packing import Numbers, divisible, packed
from .prefetch import prefetched

__all__ = ["BatchOptions", "BatchStream", "DataPosition", "Example"]

# Begin or language mark, and end mark.
MARKS = 2
# Pairs of a pool where none are asked for: at least so many, and so many for each token of a batch. A batch of 25,000
# tokens is then 3 % padding (benchmarks/NOTES.md); with 100,000 pairs it would be 9 %. Only a pool is mixed: files that
# are sorted by length, as Tatoeba's are, would give pools of short sentences first and of long ones last.
POOL_PAIRS, POOL_PAIRS_A_TOKEN = 500_000, 25


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How pairs become batches; the same on all ranks but for `rank`.

    `batch_tokens` bounds rows times the longest row of either side, padding and marks included. Pairs with a side of
    more than `max_pieces` pieces are dropped. `pool_pairs` are sorted at once: the more, the less padding; None is as
    many as keep it low.
    `sampling_alpha` > 0 cuts sources at random (subword regularisation).
    """

    batch_tokens: int
    max_pieces: int
    pool_pairs: int | None = None
    sampling_alpha: float = 0.0
    seed: int = 1
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.batch_tokens < self.max_pieces + MARKS:
            raise ConfigurationError(
                f"{self.batch_tokens} batch tokens do not hold one segment of {self.max_pieces} pieces and its "
                f"{MARKS} marks: raise batch_tokens or lower max_pieces"
            )
        if min(self.max_pieces, self.sorted_pairs) < 1 or not 0 <= self.rank < self.world_size:
            raise ConfigurationError(
                f"max_pieces {self.max_pieces} and pool_pairs {self.pool_pairs} must be at least 1, "
                f"and rank {self.rank} below world_size {self.world_size}"
            )

    @property
    def sorted_pairs(self) -> int:
        """Most pairs that a pool has."""
        if self.pool_pairs is not None:
            return self.pool_pairs
        return max(POOL_PAIRS, POOL_PAIRS_A_TOKEN * self.batch_tokens)


@dataclass(frozen=True, slots=True, order=True)
class DataPosition:
    """The next batch: its epoch, its pool within the epoch, and its number within this rank's share of the pool."""

    epoch: int = 0
    pool: int = 0
    batch: int = 0


@dataclass(frozen=True, slots=True)
class _Pool:
    """Encoded pairs and this rank's batches of them; `after` is where the pool behind it starts."""

    start: DataPosition
    after: DataPosition
    pairs: EncodedPairs
    batches: Sequence[Numbers]


class BatchStream:
    """Batches of a corpus for one rank, and how well they were filled so far."""

    def __init__(self, stream: PairStream, vocabulary: Vocabulary, options: BatchOptions) -> None:
        self.stream = stream
        self.vocabulary = vocabulary
        self.options = options
        # Pairs of the pools given out so far that had too many pieces.
        self.dropped_pairs = 0
        self._real_tokens = self._padded_tokens = 0
        self._kept: EncodedPairs | None = None

    @property
    def padding_ratio(self) -> float:
        """Share of padding in the batches given so far, source and target side together."""
        return 1 - self._real_tokens / self._padded_tokens if self._padded_tokens else 0.0

    def batches(self, start: DataPosition | None = None) -> Generator[tuple[DataPosition, list[Example]], None, None]:
        """Batches without end from `start` on, each with the position behind it, where a stopped run goes on.

        Close it (or let it go) to end its thread. Raises `ConfigurationError` for a position that this corpus does
        not have, for an empty corpus, and if every pair has too many pieces.
        """
        start = start or DataPosition()
        self._check_position(start)
        stopped = Event()
        with closing(prefetched(self._pools(start, stopped.is_set), stopped)) as pools:
            for pool in pools:
                first = start.batch if (pool.start.epoch, pool.start.pool) == (start.epoch, start.pool) else 0
                yield from self._batches_of(pool, first)

    def _batches_of(self, pool: _Pool, first: int) -> Iterator[tuple[DataPosition, list[Example]]]:
        if first > len(pool.batches):
            raise ConfigurationError(
                f"the run stopped before batch {first} of a pool that has {len(pool.batches)}: corpus, vocabulary or "
                "options have changed since; go on with the old ones or start anew"
            )
        self.dropped_pairs += pool.pairs.dropped
        for number in range(first, len(pool.batches)):
            examples = [pool.pairs.example(row) for row in pool.batches[number].tolist()]
            self._count(examples)
            last = number + 1 == len(pool.batches)
            position = pool.after if last else DataPosition(pool.start.epoch, pool.start.pool, number + 1)
            yield position, examples

    def _count(self, examples: Sequence[Example]) -> None:
        for lengths in ([len(one.source) for one in examples], [len(one.target) for one in examples]):
            self._real_tokens += sum(lengths)
            self._padded_tokens += len(lengths) * max(lengths)

    def _check_position(self, start: DataPosition) -> None:
        if min(start.epoch, start.pool, start.batch) < 0 or start.pool >= self._pool_count(start.epoch):
            raise ConfigurationError(
                f"the corpus has no batch at {start}: corpus or pool_pairs have changed since the run stopped; "
                "go on with the old ones or start anew"
            )

    def _pool_count(self, epoch: int) -> int:
        return max(1, -(-self.stream.size(epoch) // self.options.sorted_pairs))

    def _pools(self, start: DataPosition, stopped: Callable[[], bool]) -> Generator[_Pool, None, None]:
        """All pools from the one of `start` on; runs in the thread and ends soon after `stopped`."""
        first = start.pool
        for epoch in itertools.count(start.epoch):
            found = 0
            for pool in self._pools_of_epoch(epoch, first, stopped):
                found += len(pool.batches)
                yield pool
            if stopped():
                return
            # The rest of an epoch may well have nothing, a whole one may not: this would go on for ever.
            if not found and not first:
                raise ConfigurationError(
                    f"no pair is left for training: all {self.stream.size(epoch)} of an epoch have a side of more than "
                    f"{self.options.max_pieces} pieces (raise max_pieces), or are fewer than the processes"
                )
            first = 0

    def _pools_of_epoch(self, epoch: int, first: int, stopped: Callable[[], bool]) -> Generator[_Pool, None, None]:
        size, count = self.stream.size(epoch), self._pool_count(epoch)
        # Pools of an epoch differ by one pair at most: a small rest would be padded badly.
        bounds = [size * number // count for number in range(count + 1)]
        with closing(self.stream.epoch(epoch, bounds[first])) as pairs:
            for number in range(first, count):
                start = DataPosition(epoch, number)
                own = itertools.islice(pairs, bounds[number + 1] - bounds[number])
                encoded = self._encoded(own, start, stopped)
                if stopped():
                    return
                after = DataPosition(epoch, number + 1) if number + 1 < count else DataPosition(epoch + 1)
                yield _Pool(start, after, encoded, self._packed(encoded, start))

    def _packed(self, pairs: EncodedPairs, start: DataPosition) -> list[Numbers]:
        lengths = pairs.sources.lengths, pairs.targets.lengths
        batches = packed(*lengths, self.options.batch_tokens, self._generator("packing", start))
        return divisible(batches, self.options.world_size)[self.options.rank :: self.options.world_size]

    def _encoded(self, pairs: Iterator[LabelledPair], start: DataPosition, stopped: Callable[[], bool]) -> EncodedPairs:
        """A pool as pieces; one that every epoch has as a whole is encoded once and kept."""
        if self._kept is not None:
            return self._kept
        parts, generator = [], self._generator("encoding", start)
        while not stopped() and (some := list(itertools.islice(pairs, PAIRS_AT_ONCE))):
            encoder = self._encoder(generator.getrandbits(31))
            parts.append(encode_pairs(some, self.vocabulary, encoder, self.options.max_pieces))
        encoded = EncodedPairs.together(parts)
        if self._is_one_pool and not stopped():
            self._kept = encoded
        return encoded

    @property
    def _is_one_pool(self) -> bool:
        return self.stream.is_steady and self._pool_count(0) == 1 and not self.options.sampling_alpha

    def _encoder(self, seed: int) -> Encoder:
        alpha = self.options.sampling_alpha

        def encode(pairs: Sequence[LabelledPair]) -> tuple[list[list[int]], list[list[int]]]:
            sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
            pieces = self.vocabulary.sample(sources, alpha, seed) if alpha else self.vocabulary.encode(sources)
            return pieces, self.vocabulary.encode_target(targets)

        return encode

    def _generator(self, purpose: str, pool: DataPosition) -> random.Random:
        # One for each purpose: packing must not depend on whether the pool was encoded just now or kept.
        return random.Random(f"{purpose} {self.options.seed} {pool.epoch} {pool.pool}")
