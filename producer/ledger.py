"""Which jobs are on their way, which failed: counting, safe between threads. Knows no broker."""

import threading
from collections import Counter
from uuid import UUID


class DeliveryLedger:
    """Every job taken is settled exactly once, as delivered or failed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._on_the_way: Counter[UUID] = Counter()
        self._failures: dict[UUID, str] = {}
        self.delivered = 0
        self.failed = 0

    @property
    def outstanding(self) -> int:
        """Jobs taken and not settled."""
        with self._changed:
            return self._on_the_way.total()

    def take(self, job_id: UUID) -> None:
        """Note that a job is on its way."""
        with self._changed:
            self._on_the_way[job_id] += 1

    def give_back(self, job_id: UUID) -> None:
        """Note that a job was not taken after all."""
        with self._changed:
            self._remove(job_id)

    def settle(self, job_id: UUID, error: str | None) -> None:
        """Note what became of a job."""
        with self._changed:
            self._remove(job_id)
            if error is None:
                self.delivered += 1
            else:
                self.failed += 1
                self._failures[job_id] = error
            self._changed.notify_all()

    def wait_until_settled(self, timeout_seconds: float) -> bool:
        """Wait until nothing is on its way; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._on_the_way, timeout_seconds)

    def take_failures(self) -> dict[UUID, str]:
        """Return the failures that no one was told of yet."""
        with self._changed:
            failures, self._failures = self._failures, {}
            return failures

    def on_the_way(self) -> list[UUID]:
        """Return the ids of the jobs that are not settled."""
        with self._changed:
            return list(self._on_the_way)

    def _remove(self, job_id: UUID) -> None:
        self._on_the_way[job_id] -= 1
        if self._on_the_way[job_id] <= 0:
            del self._on_the_way[job_id]
