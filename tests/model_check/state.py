"""What the model remembers: the database and Kafka (shared), and each worker. Knows no action.

Values are small, frozen and hashable. Nothing shared names a worker, so states that differ only in which of the
workers is which are one state: the search sorts the workers.

Kafka's committed offsets are not remembered: they are read for a partition only that the database has never heard of
(`worker/broker.py:Position.start`), and then nobody has told Kafka any yet. What is remembered is whether one was told
that lay ahead of the database; as next_offset only grows, one that was not stays behind.
"""

from enum import IntEnum
from typing import NamedTuple

# Offsets of one partition.
Offsets = frozenset[int]
NOTHING: Offsets = frozenset()
# Epochs that are none: given by the group, lease not yet taken; taken over by another worker, as we have noticed.
UNLEASED, FENCED = 0, -1


class Bounds(NamedTuple):
    """How far the search goes: exhaustive for these numbers, silent beyond them."""

    # Job ids by partition and offset. A job that appears twice was published twice.
    log: tuple[tuple[int, ...], ...] = ((0, 1, 0), (1,))
    # Revocations, expulsions, crashes and expiries in one run, together. Commits without an answer: any number.
    disturbances: int = 2
    # At most so many steps in one run; None = all there are. Whether all gets done is judged only then.
    steps: int | None = None
    # At most so many messages come with one poll.
    poll_messages: int = 4
    # Whether retention may remove messages (that costs a disturbance).
    retention: bool = False

    @property
    def jobs(self) -> int:
        return 1 + max(job for messages in self.log for job in messages)

    @property
    def partitions(self) -> range:
        return range(len(self.log))

    def __str__(self) -> str:
        offsets = "+".join(str(len(messages)) for messages in self.log)
        steps = "any number of" if self.steps is None else f"at most {self.steps}"
        return (
            f"3 workers, {len(self.log)} partitions, {offsets} offsets, {self.jobs} jobs, "
            f"at most {self.disturbances} disturbances, {steps} steps{', retention' if self.retention else ''}"
        )


class Event(IntEnum):
    """Where the one event of a job is."""

    NONE = 0
    OWED = 1  # in the outbox
    PUBLISHED = 2  # in the outbox and in Kafka: the relay has not deleted it, or died before
    DONE = 3  # in Kafka only
    GONE = 4  # in neither, though its row exists


class Topic(NamedTuple):
    """One partition: its log in Kafka, and its row of `ingest_lease`."""

    first_offset: int  # what lies before has expired
    owned: bool  # whether the group has given it to a member
    epoch: int  # 0 = the database has never heard of the partition
    next_offset: int
    quarantined: Offsets


class Shared(NamedTuple):
    """PostgreSQL and Kafka."""

    topics: tuple[Topic, ...]
    rows: tuple[int, ...]  # rows of `translation` by job: more than one is an error
    inserted: tuple[int, ...]  # events ever put into the outbox, by job
    events: tuple[Event, ...]
    event_ids: tuple[int, ...]  # different ids under which a job's event was published
    disturbances: int  # that may still come
    stale_write: bool  # the audit trigger: something was written under an epoch that was over
    kafka_ahead: bool  # Kafka was told an offset beyond next_offset


class Held(NamedTuple):
    """One partition in one worker: `worker/assignments.py:Assignment`."""

    member: bool  # whether the group agrees; a frozen worker does not know that it no longer does
    epoch: int  # or UNLEASED, or FENCED
    position: int  # the next message to poll
    in_flight: Offsets  # polled, and not yet gathered by the settler


class Entry(NamedTuple):
    """What a settlement has of one partition: its rows, and `storage/records.py:PartitionProgress`."""

    partition: int
    epoch: int  # the epoch it claims
    polled_epoch: int  # the epoch under which its messages were polled
    offsets: Offsets
    next_offset: int


class Worker(NamedTuple):
    """One worker process."""

    held: tuple[Held | None, ...]  # by partition
    settlement: tuple[Entry, ...]  # the transaction being tried, empty = none
    fenced: bool  # its client is of no use any more: it will join anew


def first_shared(bounds: Bounds) -> Shared:
    """Nothing has been read, the database is empty."""
    topic = Topic(0, owned=False, epoch=0, next_offset=0, quarantined=NOTHING)
    zeros = (0,) * bounds.jobs
    return Shared(
        topics=(topic,) * len(bounds.log),
        rows=zeros,
        inserted=zeros,
        events=(Event.NONE,) * bounds.jobs,
        event_ids=zeros,
        disturbances=bounds.disturbances,
        stale_write=False,
        kafka_ahead=False,
    )


def first_worker(bounds: Bounds) -> Worker:
    """A process that has just started."""
    return Worker((None,) * len(bounds.log), (), fenced=False)
