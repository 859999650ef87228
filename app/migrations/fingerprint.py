"""Digests that tell whether a database has the migrations' schema (docs/adr/0048).

Only catalogue data that PostgreSQL 15 to 18 report alike are used; the rest, e.g. the text of views,
is covered by the digest of the migration files, which the database stores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection

FOLDER = Path(__file__).resolve().parent
EXPECTED = FOLDER / "schema.json"  # written by tools/schema.py


def of_files(scripts: ScriptDirectory, revision: str | None) -> str:
    """Return the digest of all files that a database at this revision has run."""
    history = list(scripts.iterate_revisions(revision, "base")) if revision else []
    files = [
        file
        for each in reversed(history)
        for file in (Path(each.path), *sorted((FOLDER / "sql" / each.revision).glob("*.sql")))
    ]
    return _digest(file.read_text(encoding="utf-8") for file in files)


def note_files(connection: Connection, scripts: ScriptDirectory, revision: str | None) -> None:
    """Store the digest of the files in the database."""
    connection.exec_driver_sql(
        f"COMMENT ON TABLE alembic_version IS '{of_files(scripts, revision)}'"
    )


def noted_files(connection: Connection) -> str | None:
    """Return the stored digest."""
    return connection.scalar(text("SELECT obj_description('alembic_version'::regclass)"))


def of_catalogue(connection: Connection, indexes: Iterable[str]) -> dict[str, str]:
    """Return a digest for every table, view and function, including the named plain indexes.

    Other plain indexes are ignored: adding one is harmless.
    """
    lines: dict[str, list[str]] = {}
    for owner, line in connection.execute(_CATALOGUE, {"indexes": list(indexes)}):
        lines.setdefault(owner, []).append(line)
    return {owner: _digest(found)[:16] for owner, found in sorted(lines.items())}


def expected() -> dict[str, str]:
    """Return the digests of the last migration's schema."""
    found: dict[str, str] = json.loads(EXPECTED.read_text(encoding="utf-8"))
    return found


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


# All versions decompile conditions alike, except for blanks, brackets and the schema's name.
_CATALOGUE = text(r"""
    WITH ours AS (SELECT oid, relname, relkind FROM pg_class
                   WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
                     AND relname <> 'alembic_version'),
         line (owner, line) AS (
           SELECT relname::text, concat_ws(' ', 'column', attname, format_type(atttypid, atttypmod),
                                           attnotnull, attidentity, atthasdef)
             FROM ours JOIN pg_attribute ON attrelid = ours.oid
            WHERE attnum > 0 AND NOT attisdropped
           UNION ALL
           SELECT relname, concat_ws(' ', 'constraint', conname, contype, convalidated,
                                     pg_get_constraintdef(c.oid))
             FROM ours JOIN pg_constraint c ON conrelid = ours.oid WHERE contype IN ('c', 'f', 'p', 'u')
           UNION ALL
           SELECT ours.relname, concat_ws(' ', 'index', pg_get_indexdef(indexrelid), indisvalid)
             FROM ours JOIN pg_index ON indrelid = ours.oid JOIN pg_class i ON i.oid = indexrelid
            WHERE indisunique OR i.relname = ANY(:indexes)
           UNION ALL
           SELECT relname, concat_ws(' ', 'trigger', tgname, proname, tgtype, tgenabled, tgdeferrable,
                                     tginitdeferred, tgattr, tgqual IS NOT NULL)
             FROM ours JOIN pg_trigger ON tgrelid = ours.oid JOIN pg_proc p ON p.oid = tgfoid
            WHERE NOT tgisinternal
           UNION ALL
           SELECT concat(proname, '(', pg_get_function_identity_arguments(oid), ')'),
                  concat_ws(' ', pg_get_function_result(oid), prosecdef, provolatile, proconfig, prosrc)
             FROM pg_proc WHERE pronamespace = 'public'::regnamespace)
    SELECT owner, CASE WHEN owner LIKE '%(%' THEN line
                       ELSE regexp_replace(line, '[\s()"]|public\.', '', 'g') END
      FROM line ORDER BY 1, 2
""")
