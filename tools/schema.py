"""Write the digests of the migrations' schema to app/migrations/schema.json, after adding one.

.venv/bin/python tools/schema.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alembic import command
from sqlalchemy import create_engine

import app.models  # noqa: F401 - fills the metadata
from app import embedded, installation
from app.installation import schema
from app.migrations import fingerprint


def main() -> None:
    """Migrate a temporary database and write the digests of its schema."""
    with embedded.throwaway() as cluster:
        engine = create_engine(cluster.urls().owner)
        with engine.connect() as connection:
            command.upgrade(installation.alembic_config(connection), "head")
            connection.commit()
            found = schema.of_catalogue(connection)
        engine.dispose()
    fingerprint.EXPECTED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
