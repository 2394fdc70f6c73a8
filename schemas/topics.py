"""The topics as reviewed data: a change here is a change to every installation. Knows no broker."""

from dataclasses import dataclass
from datetime import timedelta

# The most workers that can share a lane at once: Kafka gives a partition to one of them. Adding partitions
# later moves keys to others, so there are more than a first installation needs; 8 is little to one broker.
_PARTITIONS = 8

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: its shape, who writes and reads it, and what for."""

    name: str
    partitions: int
    retention: timedelta
    max_message_bytes: int
    key: str
    written_by: str
    read_by: str
    purpose: str

    def full_name(self, prefix: str) -> str:
        """Return the topic's name in an installation whose setting `topic_prefix` is `prefix`."""
        return prefix + self.name

    @property
    def configuration(self) -> dict[str, str]:
        """Return the topic's Kafka configuration."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(int(self.retention.total_seconds() * 1000)),
            "max.message.bytes": str(self.max_message_bytes),
        }


JOBS_INTERACTIVE = Topic(
    name="jobs.interactive",
    partitions=_PARTITIONS,
    # Longer than any outage of all workers that goes unnoticed; texts should not stay longer than they must.
    retention=timedelta(days=7),
    max_message_bytes=_MIB,
    key="job id, or what the caller orders by",
    written_by="producer",
    read_by="worker",
    purpose="jobs that someone waits for",
)

JOBS_BULK = Topic(
    name="jobs.bulk",
    partitions=_PARTITIONS,
    retention=timedelta(days=7),
    max_message_bytes=_MIB,
    key="job id, or what the caller orders by",
    written_by="producer",
    read_by="worker",
    purpose="jobs where throughput counts: files, backlogs",
)

RESULTS = Topic(
    name="results",
    partitions=_PARTITIONS,
    retention=timedelta(days=3),
    # A translation can be longer than its source, and no result may be too large to leave the outbox.
    max_message_bytes=4 * _MIB,
    key="job id",
    written_by="worker",
    read_by="producer",
    purpose="one result a job: translated, rejected or failed",
)

DEAD_LETTERS = Topic(
    name="dead-letters",
    partitions=1,  # few, and whoever looks wants them in one order
    retention=timedelta(days=30),
    # 4 MiB of original bytes as base64, key and headers beside them.
    max_message_bytes=8 * _MIB,
    key="job id",
    written_by="worker",
    read_by="operators",
    purpose="messages given up for good, with reason and original bytes",
)

TOPICS = (JOBS_INTERACTIVE, JOBS_BULK, RESULTS, DEAD_LETTERS)

JOB_TOPICS = {"interactive": JOBS_INTERACTIVE, "bulk": JOBS_BULK}
