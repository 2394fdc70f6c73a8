"""Static batches behind the face of an engine: for networks and options that the running batch does not know.

Knows requests and a function that translates a batch of them; knows no network.
"""

import threading
from collections.abc import Callable, Sequence
from itertools import groupby

from ...errors import ConfigurationError
from ..batching import BatchLimits, pack
from ..decoding import Hypothesis
from .delivery import deliver, fail
from .engine import Engine
from .request import Request
from .waiting import Waiting

# Of requests with equal options: the hypotheses of each, in their order.
TranslateBatch = Callable[[Sequence[Request]], list[list[Hypothesis]]]
# Requests that are sorted and cut into batches together.
POOL = 512
LIMITS = BatchLimits(tokens=4096, rows=128)
IDLE_SECONDS = 1.0


class StaticEngine(Engine):
    """Sorts what waits by length, cuts it into padded batches, translates one after the other; see `Engine`."""

    name = "reference float32"
    has_own_weights = False
    takes_shortlists = True
    pads = True

    def __init__(self, translate: TranslateBatch, waiting: int) -> None:
        self._translate = translate
        self._waiting = Waiting(waiting)
        self._thread = threading.Thread(target=self._run, name="dragoman-static-engine", daemon=True)
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """See `Engine.is_closed`."""
        return self._waiting.is_closed

    def submit(self, requests: Sequence[Request], timeout_seconds: float | None = None) -> None:
        """See `Engine.submit`; a segment whose batch has begun is translated even if its future is cancelled."""
        self._waiting.put(requests, timeout_seconds)

    def close(self) -> None:
        """Fail what waits, stop the thread after the batch that runs."""
        fail(self._waiting.close(), ConfigurationError("the translator was closed before this segment was translated"))
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._waiting.is_closed:
            if self._waiting.wait(IDLE_SECONDS):
                self._translate_pool(self._waiting.take(lambda _: True, POOL))

    def _translate_pool(self, requests: Sequence[Request]) -> None:
        # Priority first: requests come in its order, and batches never mix two.
        for _, urgent in groupby(requests, key=lambda request: request.priority):
            alike: dict[object, list[Request]] = {}
            for request in urgent:
                alike.setdefault(request.options, []).append(request)
            for group in alike.values():
                group.sort(key=lambda request: len(request.source))
                for run in pack([len(request.source) for request in group], LIMITS):
                    self._translate_batch([group[place] for place in run])

    def _translate_batch(self, requests: Sequence[Request]) -> None:
        if self._waiting.is_closed:
            fail(requests, ConfigurationError("the translator was closed before this segment was translated"))
            return
        try:
            found = self._translate(requests)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            fail(requests, error)
            return
        for request, hypotheses in zip(requests, found, strict=True):
            deliver(request, hypotheses)
