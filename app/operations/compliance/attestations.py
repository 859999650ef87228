"""Attestations (证明): issuing them once, lapsing, and finding them by check code."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Integer, SmallInteger, String, select, text

from app.domain.errors import NotFound, RuleError
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case
from app.extensions import db
from app.models import Notice
from app.models.attestation import Attestation
from app.operations.records import glyphs, seals
from app.operations.records.actor import Actor
from app.operations.records.columns import typed

CANCELLATION, COMPLIANCE = "cancellation", "compliance"
PREFIXES = {CANCELLATION: "ZXZM", COMPLIANCE: "LYZM"}
# Without look-alikes; 16 of 30 characters are 78 bits.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Certified:
    """The facts of an attestation, a snapshot that is stored."""

    kind: str
    account_id: int
    content: dict[str, Any]
    application_id: int | None = None
    year: int | None = None


def certify_cancellations(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Issue 自愿注销证明 for approved cancellations, in the transaction of the approval.

    Idempotent.
    """
    found = db.session.execute(_CANCELLED, {"ids": [case.id for case in cases]}).all()
    certified = []
    for row in found:
        content = _party(row) | {
            "application": row.number,
            "reason": row.reason,
            "lines": row.lines,
            "total": sum(line["quantity"] for line in row.lines),
            "effective_at": now.isoformat(),
        }
        certified.append(Certified(CANCELLATION, row.account_id, content, application_id=row.id))
    issue(certified, actor, now)


def certify_compliance(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Issue 履约证明 of the years whose notices are all fulfilled with these approved surrenders."""
    certify_fulfilled({case.notice_id for case in cases if case.notice_id}, actor, now)


def certify_fulfilled(notices: Iterable[int], actor: Actor, now: datetime) -> None:
    """Issue 履约证明 of the years of these notices whose notices are all fulfilled by now."""
    issue(_fulfilled(notices, now), actor, now)


def certify_notice(notice_id: int, actor: Actor, now: datetime) -> Attestation:
    """Return the valid 履约证明 of a notice's year, issuing one where there is none.

    Raises RuleError unless all of the enterprise's notices of that year are fulfilled (C10).
    """
    # Refunds and adjustments lock the account, too.
    db.session.execute(_LOCK_ACCOUNT_OF, {"id": notice_id})
    if of_notice(notice_id) is None:
        fulfilled = _fulfilled([notice_id], now)
        if not fulfilled:
            message = _("Not all notices of this year are fulfilled yet")
            raise RuleError(message, code="notice_not_fulfilled")
        issue(fulfilled, actor, now)
    found = of_notice(notice_id)
    assert found
    return found


def issue(certified: Sequence[Certified], actor: Actor, now: datetime) -> None:
    """Write attestations, each with a number, a random check code and the registry's seal.

    A second time does nothing.  Raises SignerAbsent: nothing is certified without the seal.
    """
    for each in certified:
        glyphs.require_drawable(each.content["name"], _("Enterprise name"))
        glyphs.require_drawable(each.content.get("reason") or "", _("Reason for the application"))
    if not certified:
        return
    drafts = _drafted(certified, now)
    put_on: list[bytes | None] = [None] * len(drafts)
    if seals.are_asked():
        put_on = [*seals.put_on([_sealed_content(draft) for draft in drafts])]
    values = {
        "ids": [draft.id for draft in drafts],
        "numbers": [draft.number for draft in drafts],
        "kinds": [each.kind for each in certified],
        "codes": [draft.code for draft in drafts],
        "seals": [seal and seal.hex() for seal in put_on],
        "accounts": [each.account_id for each in certified],
        "applications": [each.application_id for each in certified],
        "years": [each.year for each in certified],
        "contents": [json.dumps(each.content, ensure_ascii=False) for each in certified],
        "at": now,
        "by": actor.member_id,
    }
    db.session.execute(_ISSUE, values)


def _drafted(certified: Sequence[Certified], now: datetime) -> list[Attestation]:
    """Give each a number and a code; the seal is put on before the row is written, never after."""
    ids = db.session.scalars(_NEXT_IDS, {"count": len(certified)}).all()
    day = f"{now.astimezone(BEIJING):%Y%m%d}"
    return [
        Attestation(
            id=id_,
            number=f"{PREFIXES[each.kind]}{day}{id_:06}",
            code=_new_code(),
            kind=each.kind,
            content=each.content,
            issued_at=now,
        )
        for id_, each in zip(ids, certified, strict=True)
    ]


def refunded(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Lapse the 履约证明 of the years of these approved refunds."""
    lapse([case.notice_id for case in cases if case.notice_id], actor, now)


def lapse(notices: Sequence[int], actor: Actor, now: datetime) -> None:
    """Lapse the 履约证明 of these notices' years: what was surrendered, or is owed, has changed.

    A notice is never surrendered for beyond its obligation, so that any such change ends the
    fulfilment; so does a notice that comes later.  The caller holds the accounts' locks.
    """
    db.session.execute(_LAPSE, {"notices": list(notices), **actor.as_parameters(now)})


def find(code: str) -> Attestation | None:
    """Return the attestation of a check code, ignoring case and separators, or None."""
    code = re.sub(r"[^0-9A-Z]", "", code.upper())
    if len(code) != CODE_LENGTH:
        return None
    return db.session.scalars(select(Attestation).where(Attestation.code == code)).one_or_none()


def load(attestation_id: int) -> Attestation:
    """Return an attestation; the caller checks the scope.  Raises NotFound."""
    found = db.session.get(Attestation, attestation_id)
    if found is None:
        raise NotFound(_("There is no such record"))
    return found


def of_application(application_id: int) -> Attestation | None:
    """Return the attestation of an application, or None."""
    found = select(Attestation).where(Attestation.application_id == application_id)
    return db.session.scalars(found).one_or_none()


def of_notice(notice_id: int) -> Attestation | None:
    """Return the valid 履约证明 of a notice's year, or None."""
    found = (
        select(Attestation)
        .join(
            Notice,
            (Notice.account_id == Attestation.account_id) & (Notice.year == Attestation.year),
        )
        .where(Notice.id == notice_id, Attestation.lapsed_at.is_(None))
    )
    return db.session.scalars(found).one_or_none()


def is_vouched(attestation: Attestation) -> bool:
    """Tell whether the registry's seal is on what the row says; on a forged one it is not."""
    return not seals.are_asked() or seals.holds(_sealed_content(attestation), attestation.seal)


def shown_code(code: str) -> str:
    """Return a check code in groups of four."""
    return "-".join(code[place : place + 4] for place in range(0, len(code), 4))


def _new_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _place in range(CODE_LENGTH))


def _sealed_content(row: Attestation) -> dict[str, Any]:
    """Return what the seal is put on: the facts, and the digest of all that the row certifies."""
    certified = json.dumps(row.content, sort_keys=True, ensure_ascii=False).encode()
    return {
        "schema": "attestation/1",
        "number": row.number,
        "code": row.code,
        "kind": row.kind,
        "member_no": row.content["member_no"],
        "total": row.content["total"],
        "issued_at": row.issued_at.astimezone(UTC).isoformat(),
        "content_sha256": hashlib.sha256(certified).hexdigest(),
    }


def _party(row: Any) -> dict[str, Any]:
    return {"member_no": row.member_no, "name": row.account, "uscc": row.uscc}


def _fulfilled(notices: Iterable[int], now: datetime) -> list[Certified]:
    rows = db.session.execute(_FULFILLED, {"ids": list(notices)}).all()
    return [
        Certified(
            COMPLIANCE,
            row.account_id,
            _party(row)
            | {
                "notice": "、".join(each["number"] for each in row.notices),
                "year": row.year,
                "obligation": row.obligation,
                "notices": row.notices,
                "lines": row.lines,
                **({"commissions": row.commissions} if row.commissions else {}),
                "total": row.total,
                "effective_at": now.isoformat(),
            },
            year=row.year,
        )
        for row in rows
    ]


_CANCELLED = typed(
    """
    SELECT a.id, a.account_id, a.number, a.reason, c.member_no, c.name AS account, c.uscc,
           json_agg(json_build_object('code', i.code, 'name', i.name, 'vintage', i.vintage,
                                      'quantity', l.quantity) ORDER BY i.code) AS lines
      FROM application a
      JOIN account c ON c.id = a.account_id
      JOIN application_line l ON l.application_id = a.id
      JOIN instrument i ON i.id = l.instrument_id
     WHERE a.id = ANY(:ids)
     GROUP BY a.id, c.id
    """,
    ids=BigInteger,
)

# Years of enterprises in which surrenders less refunds fulfil every notice.
_FULFILLED = typed(
    """
    WITH asked AS MATERIALIZED (
           SELECT DISTINCT account_id, year FROM notice WHERE id = ANY(:ids)),
         owed AS MATERIALIZED (
           SELECT n.* FROM notice n JOIN asked USING (account_id, year) WHERE n.withdrawn_at IS NULL),
         line AS MATERIALIZED (
           SELECT o.account_id, o.year, o.id, l.instrument_id, l.quantity
             FROM owed o
            CROSS JOIN LATERAL (SELECT instrument_id, sum(surrendered)::bigint AS quantity
                                  FROM notice_surrender_line WHERE notice_id = o.id
                                 GROUP BY instrument_id) l),
         done AS (
           SELECT w.account_id, w.year, w.id, min(w.number) AS number, min(w.sector) AS sector,
                  sum(w.obligation)::bigint AS obligation, sum(w.surrendered)::bigint AS surrendered
             FROM (SELECT account_id, year, id, number, sector, obligation, 0::bigint AS surrendered
                     FROM owed
                   UNION ALL
                   SELECT account_id, year, id, NULL, NULL, 0, quantity FROM line) w
            GROUP BY w.account_id, w.year, w.id),
         given AS (
           SELECT account_id, year, instrument_id, sum(quantity)::bigint AS quantity
             FROM line WHERE quantity > 0 GROUP BY account_id, year, instrument_id),
         -- Grouped once: joins of these would cost the square of their number where the statistics
         -- of a bulk approval's own rows are missing.
         part AS (
           SELECT account_id, year, obligation, surrendered, false AS is_offset, NULL AS code,
                  NULL AS name, id AS place,
                  json_build_object('number', number, 'sector', sector, 'obligation', obligation,
                                    'surrendered', surrendered) AS notice,
                  NULL::json AS line, NULL::json AS commission
             FROM done
           UNION ALL
           SELECT g.account_id, g.year, 0, 0, false, i.code, i.name, 0, NULL,
                  json_build_object('code', i.code, 'name', i.name, 'vintage', i.vintage,
                                    'quantity', g.quantity), NULL
             FROM given g JOIN instrument i ON i.id = g.instrument_id
           UNION ALL
           -- Of CCER each unit, so that a reader finds it in the CCER registry (rules-2026 N91).
           SELECT o.account_id, o.year, 0, 0, true, u.project_no, named.name, 0, NULL,
                  json_build_object('code', u.project_no, 'name', named.name,
                                    'vintage', extract(year FROM u.period_to)::integer,
                                    'quantity', u.quantity), NULL
             FROM owed o JOIN application a ON a.notice_id = o.id AND a.kind = 'offset'
             JOIN offset_unit u ON u.application_id = a.id AND u.state = 'registered'
            CROSS JOIN LATERAL (SELECT 'CCER：' || u.project_name || '（序列号段' || u.serial || '）'
                                       AS name) named
           UNION ALL
           -- What the registry surrendered at the province's request (N44), as its year calls it.
           SELECT o.account_id, o.year, 0, 0, false, NULL, NULL, m.id, NULL, NULL,
                  json_build_object('number', m.number, 'document_no', m.document_no,
                                    'title', p.commission_title,
                                    'quantity', (SELECT sum(l.quantity) FROM application_line l
                                                  WHERE l.application_id = m.id))
             FROM owed o
             JOIN application m ON m.notice_id = o.id AND m.kind = 'commission' AND m.status = 'approved'
             LEFT JOIN LATERAL plan_on(o.year, o.sector,
                                       (m.submitted_at AT TIME ZONE 'Asia/Shanghai')::date) p ON true)
    SELECT p.account_id, p.year, c.member_no, c.name AS account, c.uscc,
           sum(p.obligation)::bigint AS obligation, sum(p.surrendered)::bigint AS total,
           json_agg(p.notice ORDER BY p.place) FILTER (WHERE p.notice IS NOT NULL) AS notices,
           json_agg(p.line ORDER BY p.is_offset, p.code, p.name) FILTER (WHERE p.line IS NOT NULL) AS lines,
           json_agg(p.commission ORDER BY p.place) FILTER (WHERE p.commission IS NOT NULL) AS commissions
      FROM part p JOIN account c ON c.id = p.account_id
     GROUP BY p.account_id, p.year, c.id
    HAVING bool_and(p.surrendered >= p.obligation) AND sum(p.surrendered) > 0
     ORDER BY p.account_id, p.year
    """,
    ids=Integer,
)

_LOCK_ACCOUNT_OF = text("""
    SELECT id FROM account WHERE id = (SELECT account_id FROM notice WHERE id = :id)
       FOR NO KEY UPDATE
""")

_LAPSE = typed(
    """
    WITH lapsed AS (
           UPDATE attestation SET lapsed_at = :at
            WHERE lapsed_at IS NULL
              AND (account_id, year) IN (SELECT n.account_id, n.year FROM notice n
                                          WHERE n.id = ANY(:notices))
           RETURNING number, account_id)
    INSERT INTO operation_log (member_id, member_no, ip, certificate, action, subject, account_id,
                               detail)
    SELECT CAST(:member AS integer), :member_no, :ip, :certificate, 'attestation.lapse', number,
           account_id, '{}'
      FROM lapsed ORDER BY number
    """,
    notices=Integer,
)

_NEXT_IDS = text("""
    SELECT nextval(pg_get_serial_sequence('attestation', 'id')) FROM generate_series(1, :count)
""")

_ISSUE = typed(
    """
    INSERT INTO attestation (id, number, code, kind, account_id, application_id, year, content,
                             issued_at, issued_by, seal)
           OVERRIDING SYSTEM VALUE
    SELECT w.id, w.number, w.code, w.kind, w.account, w.application, w.year, w.content::jsonb,
           :at, :by, decode(w.seal, 'hex')
      FROM unnest(:ids, :numbers, :kinds, :codes, :accounts, :applications, :years, :contents,
                  :seals)
             AS w (id, number, kind, code, account, application, year, content, seal)
    ON CONFLICT DO NOTHING
    """,
    ids=BigInteger,
    numbers=String,
    kinds=String,
    codes=String,
    seals=String,
    accounts=Integer,
    applications=BigInteger,
    years=SmallInteger,
    contents=String,
)
