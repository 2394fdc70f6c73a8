"""What the worker asks of a model. Knows no network; `model.translator.Translator` is one, `EchoTranslator` another."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from ...model.decoding import SearchOptions
from ...model.engine.occupancy import Occupancy
from ...model.translation import Translation


class SourceSideModel(Protocol):
    """A model as admission sees it: which texts it takes, and how they become pieces. Thread-safe."""

    @property
    def version(self) -> str: ...

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]: ...

    @property
    def max_source_pieces(self) -> int: ...

    def encode(self, texts: Sequence[str], target: str) -> list[list[int]]: ...


class SegmentTranslator(SourceSideModel, Protocol):
    """A model loaded on its device: pieces in, translations out.

    `submit_pieces` returns at once, with a future for each source; a lower `priority` comes first. Once `is_closed` an
    error has ended it, and it must be loaded again. `pads` says whether sources are filled up to a common length,
    `rows` how many rows its running batch has (0: it has none).
    """

    @property
    def is_closed(self) -> bool: ...

    @property
    def pads(self) -> bool: ...

    @property
    def rows(self) -> int: ...

    @property
    def occupancy(self) -> Occupancy | None: ...

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]: ...

    def submit_pieces(
        self, sources: Sequence[Sequence[int]], options: SearchOptions, priority: int = 0
    ) -> list[Future[Translation]]: ...

    def close(self) -> None: ...
