"""`EchoTranslator` gives back the source text: for tests, and to measure what the pipeline itself costs."""

from collections.abc import Sequence
from concurrent.futures import Future

from ...model.decoding import SearchOptions
from ...model.engine.occupancy import Occupancy
from ...model.translation import Translation


class EchoTranslator:
    """A `SegmentTranslator` without a network: one piece a character."""

    version = "echo@0"
    pairs: tuple[tuple[str, str], ...] = (("en", "fr"),)
    max_source_pieces = 400
    is_closed = False
    pads = True
    rows = 0
    occupancy: Occupancy | None = None

    def encode(self, texts: Sequence[str], target: str) -> list[list[int]]:  # noqa: ARG002
        """One piece a character."""
        return [list(map(ord, text)) for text in texts]

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:  # noqa: ARG002
        """The text whose characters the pieces are."""
        return [Translation("".join(map(chr, source)), 0.0, len(source), len(source)) for source in sources]

    def submit_pieces(
        self,
        sources: Sequence[Sequence[int]],
        options: SearchOptions,
        priority: int = 0,  # noqa: ARG002
    ) -> list[Future[Translation]]:
        """The same, as futures that are done; an error goes to each of them."""
        futures: list[Future[Translation]] = [Future() for _ in sources]
        try:
            translations = self.translate_pieces(sources, options)
        except Exception as error:  # noqa: BLE001 - as engines do: whatever it is, those who wait get it
            for future in futures:
                future.set_exception(error)
        else:
            for future, translation in zip(futures, translations, strict=True):
                future.set_result(translation)
        return futures

    def close(self) -> None:
        """There is nothing to give back."""
