"""The decisions on which the protocol rests, each a method that a broken variant overrides.

Knows states; the actions that ask it are in `actions.py`.
"""

from .state import Bounds, Entry, Event, Held, Offsets, Shared, Topic, Worker


class Protocol:
    """What worker/ and storage/ do."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds

    def job(self, partition: int, offset: int) -> int:
        """The idempotency key in a message."""
        return self.bounds.log[partition][offset]

    def acquire(self, topic: Topic) -> tuple[Topic, int]:
        """Raise the epoch and read where to start, in one statement: `storage/leases.py:ACQUIRE`.

        A partition that the database has never heard of is seeded from Kafka (`worker/broker.py:Position.start`).
        """
        if topic.epoch == 0:
            # What expired before any worker came is nobody's gap: no quarantine has it, in the code neither.
            before = frozenset(range(topic.first_offset))
            topic = topic._replace(next_offset=topic.first_offset, quarantined=before)
        return topic._replace(epoch=topic.epoch + 1), topic.next_offset

    def watermark(self, held: Held, gathered: Offsets) -> int:
        """The first message that is not finished once these are: `worker/offsets.py:OffsetTracker.next_offset`."""
        return min(held.in_flight - gathered, default=held.position)

    def holds(self, shared: Shared, entry: Entry) -> bool:
        """Whether rows and progress of this partition may be written: `storage/settlement.py:_write_held`."""
        return shared.topics[entry.partition].epoch == entry.epoch

    def accepted(self, shared: Shared, settlement: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """The partitions of a settlement that are written; each answers for itself."""
        return tuple(entry for entry in settlement if self.holds(shared, entry))

    def progressing(self, shared: Shared, settlement: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """The partitions whose lease advances: `storage/settlement.py:ADVANCE_LEASES`."""
        return self.accepted(shared, settlement)

    def is_new(self, shared: Shared, job: int, entry: Entry, offset: int) -> bool:
        """Whether the row is inserted: `ON CONFLICT DO NOTHING` on the job id."""
        return shared.rows[job] == 0

    def events(self, recorded: list[int], named: list[int]) -> list[int]:
        """Jobs that get an event: those that RETURNING named (`storage/settlement.py:_first_events`)."""
        return recorded

    def told_kafka(self, worker: Worker) -> dict[int, int]:
        """Offsets by partition that Kafka is told before they are in the database: none.

        Afterwards it is told what the database has, so that needs no step (`Assignments.settled_offsets`).
        """
        return {}

    def told_when_lost(self, held: Held) -> int:
        """The offset that Kafka is told by `on_lost`: none (`worker/intake.py:lost`)."""
        return 0

    def recorded_later(self, shared: Shared, partition: int, held: Held) -> tuple[Entry, ...]:
        """Outcomes that are recorded although their partition was forgotten: none (`Settler.work` drops them)."""
        return ()

    def when_unsure(self, worker: Worker) -> Worker:
        """COMMIT got no answer: keep the settlement and repeat it (`worker/settler.py:_write`)."""
        return worker

    def relay(self, event: Event, ids: int) -> list[tuple[str, Event, int]]:
        """The relay's next step with an event: publish, wait, then delete (`worker/relay.py:publish_round`).

        One that dies before the delete leaves PUBLISHED behind; publishing that again changes nothing, because the
        id is the same.
        """
        if event is Event.OWED:
            return [("publishes", Event.PUBLISHED, 1)]
        if event is Event.PUBLISHED:
            return [("deletes", Event.DONE, ids)]
        return []
