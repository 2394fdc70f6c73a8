"""What can go wrong between a caller and Kafka. Knows the error root only."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from ..errors import ConfigurationError, TransientError

_MOST_NAMED = 5  # job ids in a sentence; all of them are in the attribute


class BrokerUnavailableError(TransientError):
    """No broker answered in time."""


class MissingTopicError(ConfigurationError):
    """A topic does not exist on the brokers."""


class BufferFullError(TransientError):
    """The local buffer stayed full for the whole delivery timeout; the job was not taken."""


class DeliveryError(TransientError):
    """Jobs are not known to be on the broker. `failures` maps their ids to what the client said.

    They may have arrived all the same. Publishing them again with the same job ids is safe.
    """

    def __init__(self, failures: Mapping[UUID, str]) -> None:
        self.failures = dict(failures)
        causes = ", ".join(sorted(set(self.failures.values())))
        super().__init__(
            f"{len(self.failures)} job(s) were not delivered ({causes}): {_named(self.failures)}; "
            "publish again with the same job id, which is safe"
        )


class ResultTimeoutError(TransientError):
    """Results did not come in time; `missing` holds the ids of the jobs without one."""

    def __init__(self, missing: Iterable[UUID], timeout_seconds: float) -> None:
        self.missing = frozenset(missing)
        super().__init__(
            f"no result within {timeout_seconds:g} s for {len(self.missing)} job(s): {_named(self.missing)}; "
            "the jobs are safe on the broker. Is a worker running? `dragoman worker` starts one"
        )


def _named(job_ids: Iterable[UUID]) -> str:
    ordered = sorted(map(str, job_ids))
    more = len(ordered) - _MOST_NAMED
    return ", ".join(ordered[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
