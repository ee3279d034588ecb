"""Alembic's entry: it runs on the connection that it is handed, inside that one's transaction."""

from alembic import context

from stafett.drivers import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    transaction_per_migration=False,
    transactional_ddl=False,  # the caller's transaction holds it all
)
context.run_migrations()
