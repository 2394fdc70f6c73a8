"""What every engine does: takes requests at any time, answers each through its future. Knows no text."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from .occupancy import Occupancy
from .request import Request


class Engine(ABC):
    """Decodes the segments of many callers together on one device. Thread-safe.

    `name` is the engine and its arithmetic, such as "native int8". An engine that `has_own_weights` needs the network
    no more; one that does not take shortlists leaves segments with one to the reference. One that `pads` fills sources
    up to a common length. `rows` are those of its running batch, 0 where it has none.
    """

    name: str
    has_own_weights: bool
    takes_shortlists: bool
    pads: bool
    rows: int = 0

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more requests: it was closed, or an error has ended it."""
        return False

    @property
    def counted_occupancy(self) -> Occupancy | None:
        """How full its running batch has been, where it counts."""
        return None

    @abstractmethod
    def submit(self, requests: Sequence[Request], timeout_seconds: float | None = None) -> None:
        """Let the requests wait for their turn; each future then gets its answer or its error.

        Blocks while too many wait. Raises `TimeoutError` if that takes longer than `timeout_seconds`, and
        `ConfigurationError` once the engine is closed. A future may be cancelled until it has its answer: its segment
        leaves the running batch within a few steps.
        """

    @abstractmethod
    def close(self) -> None:
        """Fail what waits, stop the thread, give back the memory."""
