"""The running batch over a core: rows of finished segments leave at once, waiting segments take their places.

Orca (Yu et al. 2022) calls it iteration-level scheduling; here for encoder-decoder networks. Knows the core's calls and
the segments' searches; knows no network and no text.
"""

import threading
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError
from ..decoding import Hypothesis
from .beam_segment import BeamSegment
from .core import Core, NewSegment, StepRows
from .delivery import deliver, fail
from .engine import Engine
from .limits import EngineLimits
from .occupancy import Occupancy as Occupancy
from .request import Request
from .running import GreedySegment, RunningSegment
from .turns import DeviceTurns
from .waiting import Waiting

# What suits a CPU: more rows make its matrix products hardly faster.
ROWS, CACHE_BYTES = 64, 1 << 30
# Steps from one look for cancelled futures to the next.
CANCEL_STEPS = 8
# How long an idle engine sleeps before it looks whether it was closed.
IDLE_SECONDS = 1.0


class ContinuousEngine(Engine):
    """Greedy and beam search, mixed in one running batch, over any core; see `Engine`."""

    has_own_weights = True
    takes_shortlists = True
    pads = False

    def __init__(self, core: Core, turns: DeviceTurns, limits: EngineLimits | None = None) -> None:
        self.name = core.name
        self.limits = (limits or EngineLimits()).suited(ROWS, CACHE_BYTES)
        self.rows = self.limits.rows
        self.occupancy = Occupancy()
        self._core = core
        self._turns = turns
        self._waiting = Waiting(self.limits.waiting)
        self._running: list[RunningSegment] = []
        # Taken from those that wait, and perhaps not yet running.
        self._opening: Sequence[Request] = ()
        self._used_bytes = 0
        self._bytes: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name="dragoman-engine", daemon=True)
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """See `Engine.is_closed`."""
        return self._waiting.is_closed

    @property
    def counted_occupancy(self) -> Occupancy:
        """See `Engine.counted_occupancy`."""
        return self.occupancy

    def submit(self, requests: Sequence[Request], timeout_seconds: float | None = None) -> None:
        """See `Engine.submit`; a segment that can never fit gets a `ConfigurationError` that says why."""
        possible = []
        for request in requests:
            refusal = self._refusal(request)
            if refusal:
                fail([request], ConfigurationError(refusal))
            else:
                possible.append(request)
        self._waiting.put(possible, timeout_seconds)

    def close(self) -> None:
        """Fail what waits and what runs, stop the thread, give back the memory."""
        left = self._waiting.close()
        fail(left, ConfigurationError("the translator was closed before this segment was translated"))
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _refusal(self, request: Request) -> str:
        if request.beam_size > self.limits.rows:
            return f"a beam of {request.beam_size} does not fit a batch of {self.limits.rows} rows: narrow the beam"
        needed = self._core.bytes_of(_new_segment(request))
        if needed > self.limits.cache_bytes:
            return (
                f"a segment of {len(request.source)} source and up to {request.limit} target pieces with a beam of "
                f"{request.beam_size} needs {needed >> 20} MiB, the cache has {self.limits.cache_bytes >> 20}: split "
                "it, narrow the beam or lower its longest translation, or give the engine more cache_bytes"
            )
        return ""

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for step in count():
                if not self._running and not self._waiting.wait(IDLE_SECONDS):
                    continue
                if self._waiting.is_closed:
                    break
                with self._turns.turn(self):
                    self._admit()
                    if step % CANCEL_STEPS == 0:
                        self._drop_cancelled()
                    if self._running:
                        self._step()
        except Exception as broken:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            error = broken
        finally:
            self._stop(error)

    def _stop(self, error: BaseException | None) -> None:
        stopped = ConfigurationError("the translator was closed before this segment was translated")
        running = [segment.request for segment in self._running]
        fail([*running, *self._waiting.close()], error or stopped)
        fail([request for request in self._opening if not request.future.done()], error or stopped)
        self._running.clear()
        self._turns.leave(self)
        self._core.close()

    def _admit(self) -> None:
        rows = sum(segment.request.beam_size for segment in self._running)
        self._opening = self._waiting.take(self._room(rows), self.limits.rows)
        if self._opening:
            self._open(self._opening)
        self._opening = ()

    def _room(self, rows: int) -> Callable[[Request], bool]:
        """Says of each request in turn whether there is room for it too."""
        limits = self.limits
        rows_left, bytes_left = limits.rows - rows, limits.cache_bytes - self._used_bytes
        pieces_left, first = limits.encode_pieces, True

        def fits(request: Request) -> bool:
            nonlocal rows_left, bytes_left, pieces_left, first
            needed = self._core.bytes_of(_new_segment(request))
            if request.beam_size > rows_left or needed > bytes_left:
                return False
            if len(request.source) > pieces_left and not first:
                return False
            rows_left -= request.beam_size
            bytes_left -= needed
            pieces_left -= len(request.source)
            first = False
            return True

        return fits

    def _open(self, requests: Sequence[Request]) -> None:
        new = [_new_segment(request) for request in requests]
        try:
            numbers = self._core.open(new)
        except (MemoryError, ConfigurationError) as error:
            self._open_one_by_one(requests, error)
            return
        for request, segment, number in zip(requests, new, numbers, strict=True):
            kind = GreedySegment if request.beam_size == 1 else BeamSegment
            self._running.append(kind(request, number))
            self._bytes[number] = self._core.bytes_of(segment)
            self._used_bytes += self._bytes[number]

    def _open_one_by_one(self, requests: Sequence[Request], error: Exception) -> None:
        """One segment that cannot be opened must not fail the others."""
        if len(requests) == 1:
            fail(requests, error)
            return
        for request in requests:
            self._open([request])

    def _step(self) -> None:
        rows, starts = _step_rows(self._running)
        width = max(segment.width for segment in self._running)
        pieces, scores = self._core.step(rows, width)
        self.occupancy.steps += 1
        self.occupancy.rows += len(rows.segments)
        self.occupancy.places += self.limits.rows
        finished: list[tuple[RunningSegment, list[Hypothesis]]] = []
        for segment, start, end in zip(self._running, starts, [*starts[1:], len(rows.segments)], strict=True):
            found = segment.take(pieces[start:end, : segment.width], scores[start:end, : segment.width])
            if found is not None:
                finished.append((segment, found))
        self._leave([segment for segment, _ in finished])
        for segment, found in finished:
            deliver(segment.request, found)

    def _leave(self, segments: Sequence[RunningSegment]) -> None:
        if not segments:
            return
        self._core.release([segment.segment for segment in segments])
        gone = set(map(id, segments))
        self._running = [segment for segment in self._running if id(segment) not in gone]
        self._used_bytes -= sum(self._bytes.pop(segment.segment) for segment in segments)
        self.occupancy.segments += len(segments)

    def _drop_cancelled(self) -> None:
        cancelled = [segment for segment in self._running if segment.request.future.cancelled()]
        self._leave(cancelled)
        for segment in cancelled:
            segment.request.future.set_running_or_notify_cancel()


def _new_segment(request: Request) -> NewSegment:
    # BEGIN and every piece but END are fed.
    return NewSegment(request.source, request.beam_size, request.limit + 1, request.shortlist)


def _step_rows(running: Sequence[RunningSegment]) -> tuple[StepRows, list[int]]:
    """The rows of the next step, and where those of each segment begin."""
    counts = [len(segment.pieces) for segment in running]
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1]

    def repeated(values: list[int], kind: type = np.int32) -> NDArray[np.int32]:
        return np.repeat(np.array(values, kind), counts)

    rows = StepRows(
        segments=np.repeat(np.array([segment.segment for segment in running], np.int64), counts),
        places=(np.arange(sum(counts)) - np.repeat(starts, counts)).astype(np.int32),
        parents=np.array([parent for segment in running for parent in segment.parents], np.int32),
        pieces=np.array([piece for segment in running for piece in segment.pieces], np.int32),
        positions=repeated([segment.position for segment in running]),
        forced=repeated([segment.forced for segment in running]),
        endless=repeated([segment.is_endless for segment in running]),
    )
    return rows, starts.tolist()
