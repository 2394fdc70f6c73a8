"""What the database must never show, as triggers and queries. Knows tables; knows no worker."""

from collections.abc import Mapping
from uuid import UUID

from dragoman.worker.message import Partition
from sqlalchemy import Connection, text

INSTALL = """
CREATE TABLE audit_stale (job_id uuid, row_epoch bigint, lease_epoch bigint);
CREATE TABLE audit_outbox_event (job_id uuid, topic text, event_id uuid);
CREATE FUNCTION audit_epoch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit_stale SELECT NEW.job_id, NEW.lease_epoch, lease.epoch FROM ingest_lease AS lease
  WHERE lease.topic = NEW.kafka_topic AND lease.partition = NEW.kafka_partition AND lease.epoch <> NEW.lease_epoch;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER audit_epoch AFTER INSERT ON translation DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION audit_epoch();
CREATE FUNCTION audit_outbox() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit_outbox_event VALUES (NEW.job_id, NEW.topic, NEW.event_id);
  RETURN NULL;
END $$;
CREATE TRIGGER audit_outbox AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION audit_outbox();
"""
OWN_TABLES = ("audit_stale", "audit_outbox_event")
STALE = "SELECT job_id, row_epoch, lease_epoch FROM audit_stale"
# Every row has put its events into the outbox once each (a rejected one also a dead letter), and nothing else has.
EVENTS = """
SELECT job_id, topic, expected.job_id IS NOT NULL AS belongs_to_a_row, count(event_id) AS inserted
FROM (
  SELECT job_id, 'results' AS topic FROM translation
  UNION ALL SELECT job_id, 'dead-letters' FROM translation WHERE status = 'rejected'
) AS expected FULL JOIN audit_outbox_event USING (job_id, topic)
GROUP BY job_id, topic, expected.job_id
HAVING count(event_id) <> 1 OR expected.job_id IS NULL
"""
LEASES = "SELECT topic, partition, next_offset FROM ingest_lease"
RECORDED = "SELECT job_id FROM translation"
OWED = "SELECT event_id FROM outbox"
EVENT_IDS = "SELECT event_id FROM audit_outbox_event"


class Audit:
    """Looks at a database after every step."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def events_and_epochs(self) -> list[str]:
        """Writes under an epoch that was over, and rows without their one event each."""
        stale = [f"written under an old epoch: {row}" for row in self._connection.execute(text(STALE))]
        return stale + [f"not exactly one event: {row}" for row in self._connection.execute(text(EVENTS))]

    def lost(self, log: Mapping[Partition, list[UUID]]) -> list[str]:
        """Messages that lie before next_offset and have no row."""
        recorded = self.recorded()
        return [
            f"passed without a row: offset {offset} of {partition}"
            for partition, next_offset in self.leases().items()
            for offset, job_id in enumerate(log[partition][:next_offset])
            if job_id not in recorded
        ]

    def unpublished(self, published: set[UUID]) -> list[str]:
        """Events that are neither in the outbox nor in Kafka, and published ones that belong to no row."""
        owed, inserted = set(self._ids(OWED)), set(self._ids(EVENT_IDS))
        lost = [f"event lost: {event_id}" for event_id in inserted - owed - published]
        return lost + [f"event without a row: {event_id}" for event_id in published - inserted]

    def leases(self) -> dict[Partition, int]:
        return {(topic, number): offset for topic, number, offset in self._connection.execute(text(LEASES))}

    def recorded(self) -> set[UUID]:
        return set(self._ids(RECORDED))

    def owed(self) -> int:
        return len(self._ids(OWED))

    def _ids(self, statement: str) -> list[UUID]:
        return list(self._connection.execute(text(statement)).scalars())
