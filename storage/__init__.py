"""The history in PostgreSQL: tables, migrations, recording, leases, outbox, questions. Knows no Kafka and no model."""
