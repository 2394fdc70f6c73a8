"""When the next advisory offset commit may begin. Pure: the caller brings the time."""

# Between two commits at least: lag monitors want to see no more than a few seconds of what is finished.
COMMIT_SECONDS = 1.0
# A commit that waits for its answer holds up the client's part in the group: partitions go nowhere meanwhile. So a
# pause follows that is so many times as long as the wait was, however slow the brokers are.
PAUSE_FACTOR = 3.0


class CommitPace:
    """One commit at a time, and one outstanding for a quarter of the time at most."""

    def __init__(self) -> None:
        self._begun_at_seconds: float | None = None
        self._next_at_seconds = 0.0

    @property
    def is_outstanding(self) -> bool:
        """Whether a commit waits for its answer."""
        return self._begun_at_seconds is not None

    def outstanding_seconds(self, now_seconds: float) -> float:
        """For how long a commit has waited for its answer; 0 when none does."""
        return 0.0 if self._begun_at_seconds is None else now_seconds - self._begun_at_seconds

    def may_begin(self, now_seconds: float) -> bool:
        """Whether it is time for another one."""
        return self._begun_at_seconds is None and now_seconds >= self._next_at_seconds

    def begin(self, now_seconds: float) -> None:
        """One is under way."""
        self._begun_at_seconds = now_seconds

    def end(self, now_seconds: float) -> None:
        """It has its answer, or none will come."""
        pause_seconds = max(COMMIT_SECONDS, PAUSE_FACTOR * self.outstanding_seconds(now_seconds))
        self._next_at_seconds = now_seconds + pause_seconds
        self._begun_at_seconds = None
