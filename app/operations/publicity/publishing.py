"""信息公开: the data sets are published once a business day, and read as they were published."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import insert, select, text

from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Publication, PublicationRun
from app.operations.publicity import sources
from app.operations.records import log
from app.operations.records.actor import Actor

_LOCK = 7_260_093


@dataclass(frozen=True, slots=True)
class Published:
    """A part of a data set as of the last publishing up to a day; rows are the same where the digest is."""

    data_set: str
    part: str
    as_of: date
    digest: str  # "" where the part was not published by then
    parts: list[str]  # of the data set, the newest first

    def rows(self) -> tuple[dict[str, Any], ...]:
        """Return the rows, which this process keeps: a version never changes."""
        return _rows(self.data_set, self.part, self.digest) if self.digest else ()


def publish_if_due(actor: Actor, *, now: datetime) -> bool:
    """Publish all data sets unless it was done this business day; tell whether it was now."""
    day = now.astimezone(BEIJING).date()
    db.session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    latest = select(PublicationRun.day).order_by(PublicationRun.day.desc()).limit(1)
    last = db.session.scalar(latest)
    if last is not None and last >= day:
        return False
    run = insert(PublicationRun).values(day=day, at=now).returning(PublicationRun.id)
    changed = _store(db.session.scalars(run).one(), now)
    log.record(actor, "publication.publish", subject=day.isoformat(), changed=changed)
    return True


def _store(run_id: int, now: datetime) -> int:
    """Write a version of each part that differs from its last one; return how many."""
    known = {(row.data_set, row.part): row.digest for row in db.session.execute(_LATEST)}
    found = {
        (name, part): rows
        for name, parts in sources.read(now).items()
        for part, rows in parts.items()
    }
    versions = []
    gone: dict[tuple[str, str], sources.Rows] = {key: [] for key in known if key not in found}
    for (name, part), rows in (found | gone).items():
        digest = digest_of(rows)
        if known.get((name, part)) != digest:
            versions.append(
                {"data_set": name, "part": part, "run_id": run_id, "digest": digest, "rows": rows}
            )
    if versions:
        db.session.execute(insert(Publication), versions)
    return len(versions)


def digest_of(rows: list[dict[str, Any]]) -> str:
    """Return the SHA-256 of rows, in hex."""
    content = json.dumps(rows, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def find(data_set: str, part: str | None = "", day: date | None = None) -> Published | None:
    """Return a part of a data set as of a day, as of the latest publishing where None is named.

    ``part`` None is the newest one.  None where nothing was published by then.
    """
    run = db.session.execute(_RUN, {"day": day}).one_or_none()
    if run is None:
        return None
    asked = {"name": data_set, "run": run.id, "part": part}
    parts = list(db.session.scalars(_PARTS, asked)) if part != "" else []
    if part is None:
        asked["part"] = part = parts[0] if parts else ""
    return Published(data_set, part, run.day, db.session.scalar(_VERSION, asked) or "", parts)


@lru_cache(maxsize=32)
def _rows(data_set: str, part: str, digest: str) -> tuple[dict[str, Any], ...]:
    of = (Publication.data_set == data_set) & (Publication.part == part)
    found = select(Publication.rows).where(of, Publication.digest == digest).limit(1)
    return tuple(db.session.scalars(found).one())


_LATEST = text("""
    SELECT DISTINCT ON (data_set, part) data_set, part, digest FROM publication
     ORDER BY data_set, part, run_id DESC
""")
_RUN = text("""
    SELECT id, day FROM publication_run WHERE day <= coalesce(CAST(:day AS date), 'infinity')
     ORDER BY day DESC LIMIT 1
""")
_VERSION = text("""
    SELECT digest FROM publication WHERE data_set = :name AND part = :part AND run_id <= :run
     ORDER BY run_id DESC LIMIT 1
""")
# The years that have rows: a part each, found one after the other by the unique index.
_PARTS = text("""
    WITH RECURSIVE each_part (part) AS (
           SELECT max(part) FROM publication WHERE data_set = :name
           UNION ALL
           SELECT (SELECT max(part) FROM publication WHERE data_set = :name AND part < e.part)
             FROM each_part e WHERE e.part IS NOT NULL)
    SELECT e.part FROM each_part e
     WHERE e.part <> '' AND EXISTS (
       SELECT FROM (SELECT digest FROM publication p
                     WHERE p.data_set = :name AND p.part = e.part AND p.run_id <= :run
                     ORDER BY run_id DESC LIMIT 1) last
        WHERE digest <> encode(sha256('[]'), 'hex'))
""")
