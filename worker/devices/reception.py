"""Looks at segments once more before they are begun: are they still ours, and not too late? Knows no device."""

from collections.abc import Iterable, Sequence

from ..admission import expiry
from ..outcomes import refused
from ..pipeline import Pipeline
from ..work import Outcome, Segment
from .entry import Entry


class Reception:
    """Lets in what is worth a pass; gives back or answers the rest. Thread-safe, as the pipeline is."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def begin(self, segments: Iterable[Segment]) -> list[Entry]:
        """Entries for what can be begun."""
        return self.still_wanted([Entry(segment) for segment in segments])

    def still_wanted(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those that can be begun: of partitions that are still ours, and in time."""
        outcomes: list[Outcome] = []
        admitted = self._pipeline.assignments.admitted(entry.segment.delivery for entry in entries)
        wanted = [
            entry
            for entry, is_ours in zip(entries, admitted, strict=True)
            if self._is_wanted(entry.segment, outcomes, is_ours=is_ours)
        ]
        if outcomes:
            self._pipeline.finished.put(outcomes)
        return wanted

    def _is_wanted(self, segment: Segment, outcomes: list[Outcome], *, is_ours: bool) -> bool:
        if not is_ours:
            self._pipeline.waiting_room.abandon([segment])
            self._pipeline.assignments.give_back([segment.delivery])
            return False
        refusal = expiry(segment.job)
        if refusal is not None:
            self._pipeline.waiting_room.abandon([segment])
            outcomes.append(refused(self._pipeline.identity, segment.delivery, segment.job, refusal))
        return refusal is None
