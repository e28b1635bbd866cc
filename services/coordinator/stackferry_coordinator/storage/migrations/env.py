"""Runs the schema's migrations on the connection that it's given."""

from alembic import context
from stackferry_coordinator.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
