"""Run the migrations on the connection that `flask init` (or `flask db`) passes."""

from __future__ import annotations

from alembic import context
from flask import current_app
from flask_appbuilder import Model
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection

import app.models  # noqa: F401 - fills the metadata
from app.migrations import fingerprint


def run(connection: Connection) -> None:
    """Migrate on ``connection``; the caller commits."""
    context.configure(connection=connection, target_metadata=Model.metadata)
    with context.begin_transaction():
        before = context.get_context().get_current_revision()
        context.run_migrations()
        reached = context.get_context().get_current_revision()
        if reached not in (before, None):
            fingerprint.note_files(connection, context.script, reached)


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    engine = create_engine(current_app.config["SETTINGS"].database_owner_url)
    with engine.connect() as connection:
        run(connection)
        connection.commit()
    engine.dispose()
