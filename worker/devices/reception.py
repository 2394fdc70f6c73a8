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
        """Those that can be begun; a follower takes the place of one that cannot."""
        outcomes: list[Outcome] = []
        wanted = [found for entry in entries if (found := self._wanted(entry, outcomes)) is not None]
        if outcomes:
            self._pipeline.finished.put(outcomes)
        return wanted

    def _wanted(self, entry: Entry, outcomes: list[Outcome]) -> Entry | None:
        if self._is_wanted(entry.segment, outcomes):
            return entry
        # Its followers have the same text under another job: one of them may still be wanted.
        followers = entry.followers
        if followers is None:
            followers = self._pipeline.waiting_room.followers(entry.segment)
        for place, follower in enumerate(followers):
            if self._is_wanted(follower, outcomes):
                return Entry(follower, followers[place + 1 :], entry.attempt)
        return None

    def _is_wanted(self, segment: Segment, outcomes: list[Outcome]) -> bool:
        """What left us while it waited is not worth a pass; what is too late is answered."""
        if not self._pipeline.assignments.admits(segment.delivery):
            self._pipeline.assignments.give_back([segment.delivery])
            return False
        refusal = expiry(segment.job)
        if refusal is not None:
            outcomes.append(refused(self._pipeline.identity, segment.delivery, segment.job, refusal))
        return refusal is None
