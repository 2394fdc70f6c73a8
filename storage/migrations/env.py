"""Alembic's entry: runs the revisions on the connection that `migrate.py` hands over. Opens none itself."""

from alembic import context
from dragoman.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
