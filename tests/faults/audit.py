"""Triggers that note in the database what must never happen, and which events were ever owed. Knows our tables."""

from sqlalchemy import Connection, text

INSTALL = (
    "CREATE TABLE audit_violation (at timestamptz NOT NULL DEFAULT clock_timestamp(), what text NOT NULL)",
    "CREATE TABLE audit_outbox_event (event_id uuid NOT NULL, job_id uuid NOT NULL, topic text NOT NULL)",
    # I4: at COMMIT, the epoch of a row is the present one.
    """
CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE present bigint;
BEGIN
  SELECT max(epoch) INTO present FROM ingest_lease
  WHERE topic = NEW.kafka_topic AND partition = NEW.kafka_partition;
  IF present IS DISTINCT FROM NEW.lease_epoch THEN
    INSERT INTO audit_violation (what) VALUES (format(
      'I4: job %s was recorded under epoch %s of %s/%s, which is at %s',
      NEW.job_id, NEW.lease_epoch, NEW.kafka_topic, NEW.kafka_partition, present));
  END IF;
  RETURN NULL;
END $$""",
    """
CREATE CONSTRAINT TRIGGER audit_row AFTER INSERT ON translation
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_row()""",
    # I3: neither epoch nor progress ever goes back.
    """
CREATE FUNCTION audit_lease() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.epoch < OLD.epoch OR NEW.next_offset < OLD.next_offset THEN
    INSERT INTO audit_violation (what) VALUES (format(
      'I3: the lease of %s/%s went back from epoch %s, offset %s to epoch %s, offset %s',
      NEW.topic, NEW.partition, OLD.epoch, OLD.next_offset, NEW.epoch, NEW.next_offset));
  END IF;
  RETURN NULL;
END $$""",
    "CREATE TRIGGER audit_lease AFTER UPDATE ON ingest_lease FOR EACH ROW EXECUTE FUNCTION audit_lease()",
    # I2: every event that was ever owed, also after the relay has deleted it.
    """
CREATE FUNCTION audit_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_outbox_event SELECT event_id, job_id, topic FROM fresh;
  RETURN NULL;
END $$""",
    """
CREATE TRIGGER audit_outbox AFTER INSERT ON outbox
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION audit_outbox()""",
)


def install_audit(connection: Connection) -> None:
    """Put the triggers on the tables of an upgraded database."""
    for statement in INSTALL:
        connection.execute(text(statement))
