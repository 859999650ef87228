"""操作日志: write rows in the act's transaction, seal them into a hash chain, verify the chain."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, text

from app.domain.masking import masked
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import LogBlock, OperationLog
from app.operations.records.actor import Actor

MOST_KEYS = 100  # named per check

# Names of details that must not be logged.
_SECRET = re.compile(r"(^|_)(password|passwd|pin|secret|token|captcha|authori[sz]ation_code)($|_)")


def record(
    actor: Actor,
    action: str,
    *,
    subject: str = "",
    account_id: int | None = None,
    result: str = "done",
    **detail: Any,
) -> None:
    """Log one act, in its transaction.

    By convention changes are in the details ``before`` and ``after``.  Personal data are masked;
    passwords, PINs and codes must not be passed.
    """
    _require_no_secret(detail)
    db.session.execute(
        insert(OperationLog).values(
            member_id=actor.member_id,
            member_no=actor.member_no,
            ip=actor.ip,
            certificate=actor.certificate,
            action=action,
            subject=subject[:120],
            account_id=account_id,
            result=result,
            detail=masked(detail),
        )
    )


def _require_no_secret(detail: Any) -> None:
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            assert not _SECRET.search(str(key)), f"no log holds a {key}"
            _require_no_secret(value)
    elif isinstance(detail, list | tuple):
        for value in detail:
            _require_no_secret(value)


def seal() -> int:
    """Seal all rows that no running transaction can precede; return their number.

    The caller commits.  Rows of running transactions are left to the next run.
    """
    return db.session.scalar(text("SELECT seal_log()")) or 0


@dataclass(frozen=True, slots=True)
class Head:
    """The last block of the chain; a copy kept elsewhere proves that the log was not rewritten."""

    block: int
    rows: int  # cumulative
    root: str  # hex
    sealed_at: datetime

    def content(self, day: str, ledger_root: str, journal: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of the day's head file; `journal` is how far the signing process is."""
        return {
            "schema": "log-head/2",
            "kind": "registry-log-head",
            "version": 1,
            "day": day,
            "block": self.block,
            "rows": self.rows,
            "root": self.root,
            "sealed_at": self.sealed_at.astimezone(BEIJING).isoformat(),
            "ledger_root": ledger_root,
            "journal_entries": journal.get("entries", 0),
            "journal_root": journal.get("root", ""),
        }


def head() -> Head | None:
    """Return the last block, or None before the first."""
    block = db.session.scalars(select(LogBlock).order_by(LogBlock.id.desc()).limit(1)).first()
    if block is None:
        return None
    rows = db.session.scalar(text("SELECT sum(rows)::bigint FROM log_block")) or 0
    return Head(block.id, rows, block.root.hex(), block.sealed_at)


@dataclass(frozen=True, slots=True)
class Fault:
    """A failed check, and the offending row or block."""

    check: str
    key: str


@dataclass(slots=True)
class Report:
    """Counts and faults; ``totals`` is the number of faults by check, ``faults`` the first of each."""

    blocks: int = 0
    sealed_rows: int = 0
    unsealed_rows: int = 0
    last_root: str = ""
    heads: int = 0
    faults: list[Fault] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)

    @property
    def is_sound(self) -> bool:
        """Tell whether there are no faults."""
        return not self.totals

    def add(self, check: str, key: str) -> None:
        """Add a fault."""
        self.faults.append(Fault(check, key))
        self.totals[check] += 1


def verify_log(heads: Sequence[Mapping[str, Any]] = ()) -> Report:
    """Recompute the chain from the rows and compare it with heads kept elsewhere.

    Finds changed, missing, swapped and inserted rows, and rewritten blocks.  Rows removed from the
    end together with their blocks are found only by a head.  Reads one snapshot; writes nothing.
    """
    with db.engine.connect().execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    ) as connection:
        report = Report(**connection.execute(_COUNTS).mappings().one())
        for check in (_ROWS, _BLOCKS):
            named = text(_NAMED.format(found=check))
            for name, key, total in connection.execute(named, {"most": MOST_KEYS}):
                report.faults.append(Fault(name, key))
                report.totals[name] = total
        blocks = connection.execute(_SO_FAR).all()
    roots = {block: (root, int(rows)) for block, root, rows in blocks}
    for kept in heads:
        _compare(kept, roots, report)
    return report


def _compare(kept: Mapping[str, Any], roots: Mapping[int, tuple[str, int]], report: Report) -> None:
    """Compare a kept head with its block."""
    report.heads += 1
    found = roots.get(kept["block"])
    if found is None:
        report.add(
            "log_head",
            f"head of {kept['day']}: block {kept['block']} is not there; the log was cut off",
        )
    elif found != (kept["root"], kept["rows"]):
        report.add(
            "log_head", f"head of {kept['day']}: block {kept['block']} was sealed with another root"
        )


_COUNTS = text("""
    SELECT (SELECT count(*) FROM log_block) AS blocks,
           (SELECT count(*) FROM log_seal) AS sealed_rows,
           (SELECT count(*) FROM operation_log WHERE recorded_xid >= edge)
           + (SELECT count(*) FROM login_record WHERE recorded_xid >= edge) AS unsealed_rows,
           coalesce((SELECT encode(root, 'hex') FROM log_block ORDER BY id DESC LIMIT 1), '')
             AS last_root
      FROM (SELECT coalesce(max(to_xid), '0'::xid8) AS edge FROM log_block) AS sealed
""")

_SO_FAR = text("""
    SELECT id, encode(root, 'hex'), sum(rows) OVER (ORDER BY id) FROM log_block ORDER BY id
""")

_NAMED = """
    SELECT name, key, total
      FROM (SELECT name, key, count(*) OVER (PARTITION BY name) AS total,
                   row_number() OVER (PARTITION BY name ORDER BY key) AS n
              FROM ({found}) AS found (name, key)) AS numbered
     WHERE n <= :most ORDER BY name, n
"""

# A row with the content sealed for another one was moved; any other difference is a change.
_ROWS = """
    WITH present AS (
           SELECT 'operation_log' AS log, id AS row_id, log_digest(l) AS digest, recorded_xid
             FROM operation_log l
           UNION ALL
           SELECT 'login_record', id, log_digest(l), recorded_xid FROM login_record l),
         edge AS (SELECT coalesce(max(to_xid), '0'::xid8) AS xid FROM log_block)
    SELECT CASE WHEN p.row_id IS NULL THEN 'log_missing'
                WHEN s.row_id IS NULL THEN 'log_inserted'
                WHEN other.row_id IS NOT NULL THEN 'log_reordered'
                ELSE 'log_changed' END,
           CASE WHEN p.row_id IS NULL
                THEN concat(s.log, ' ', s.row_id, ' of block ', s.block_id, ' is missing')
                WHEN s.row_id IS NULL
                THEN concat(p.log, ' ', p.row_id, ' was slipped in behind the seal')
                WHEN other.row_id IS NOT NULL
                THEN concat(p.log, ' ', p.row_id, ' has what was sealed as ', other.row_id)
                ELSE concat(p.log, ' ', p.row_id, ' of block ', s.block_id, ' was changed') END
      FROM log_seal s FULL JOIN present p ON p.log = s.log AND p.row_id = s.row_id
      LEFT JOIN LATERAL (
             SELECT o.row_id FROM log_seal o
              WHERE s.row_id IS NOT NULL AND p.digest <> s.digest
                AND o.log = p.log AND o.digest = p.digest LIMIT 1) AS other ON true
     WHERE p.row_id IS NULL
        OR (s.row_id IS NULL AND p.recorded_xid < (SELECT xid FROM edge))
        OR p.digest <> s.digest
"""

_BLOCKS = """
    WITH chain AS (
           SELECT b.*, lag(root, 1, ''::bytea) OVER (ORDER BY id) AS root_before,
                  lag(to_xid, 1, '0'::xid8) OVER (ORDER BY id) AS xid_before,
                  lag(id, 1, 0::bigint) OVER (ORDER BY id) AS id_before
             FROM log_block b)
    SELECT 'log_block', concat('block ', id, ': its seals were rewritten')
      FROM chain WHERE root <> log_root(previous, id, from_xid, to_xid)
    UNION ALL
    SELECT 'log_block', concat('block ', id, ': ', rows, ' rows sealed, ', found, ' seals found')
      FROM chain, LATERAL (SELECT count(*) AS found FROM log_seal WHERE block_id = id) AS now
     WHERE rows <> found
    UNION ALL
    SELECT 'log_chain', concat('block ', id, ' does not follow the one before it')
      FROM chain
     WHERE previous <> root_before OR from_xid <> xid_before OR id <> id_before + 1
        OR to_xid <= from_xid
    UNION ALL
    SELECT 'log_chain', concat('seals of block ', block_id, ', which is not there')
      FROM log_seal s WHERE NOT EXISTS (SELECT FROM log_block b WHERE b.id = s.block_id)
     GROUP BY block_id
"""
