"""Brings a database to the schema of this release, and refuses one from a later release."""

from __future__ import annotations

import importlib
import pkgutil

import sqlalchemy as sa

from stafett import errors
from stafett.drivers import schema
from stafett.drivers.migrations import versions

HEAD = "0009"
"""The newest revision; `versions/` has one file for each, named after it."""


def is_current(connection: sa.Connection) -> bool:
    """Whether there is nothing to run."""
    return _revision(connection) == HEAD


def upgrade(connection: sa.Connection) -> None:
    """Run what is missing, in the caller's transaction. Errors: SchemaTooNew, InvalidSettings.

    Alembic costs a tenth of a second to import, so a store that is up to date does without.
    """
    found = _revision(connection)
    if found == HEAD:
        return
    if found is not None and found not in _known():
        message = (
            f"the database is of schema {found}, made by a newer Stafett than this one (schema"
            f" {HEAD}); install that release again, or restore the backup from before it ran"
        )
        raise errors.SchemaTooNew(message)
    if found is None:
        _refuse_others(connection)
    _run_alembic(connection)


def _refuse_others(connection: sa.Connection) -> None:
    """Errors: InvalidSettings, where another program has tables of the names that ours have."""
    there = set(sa.inspect(connection).get_table_names()) & set(schema.metadata.tables)
    if there:
        message = (
            f"the database belongs to another program: it has tables that Stafett would make"
            f" ({', '.join(sorted(there))}); name a database of its own (STAFETT_DATABASE_URL)"
        )
        raise errors.InvalidSettings(message)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(sa.text("SELECT version_num FROM alembic_version"))


def _known() -> set[str]:
    return {module.name.partition("_")[0][1:] for module in pkgutil.iter_modules(versions.__path__)}


def _run_alembic(connection: sa.Connection) -> None:
    command = importlib.import_module("alembic.command")
    config = importlib.import_module("alembic.config").Config()
    config.set_main_option("script_location", "stafett.drivers:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
