"""Set-based reading, locking and writing of applications.

Each function takes a fixed number of statements, whatever the number of applications.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Date, Integer, SmallInteger, String, text

from app.domain.kinds import KINDS
from app.domain.trading_day import BEIJING
from app.domain.workflow import Action, Case, Line, Party, Status
from app.extensions import db
from app.operations.records.actor import Actor
from app.operations.records.columns import typed

LONGEST_COMMENT = 500
BULK = 100  # applications in one act
# Kinds that the receiving enterprise's province reviews.
FOR_RECEIVERS_AUTHORITY = [
    code for code, kind in KINDS.items() if Party.RECEIVER_AUTHORITY in kind.reviews
]


def insert(drafts: Sequence[Any], actor: Actor, now: datetime) -> dict[str, int]:
    """Insert drafts with lines and parties; return the new ids by request key.

    Existing keys are skipped.
    """
    _plan_for(len(drafts))
    lines = [(draft.request_key, line) for draft in drafts for line in draft.lines]
    parties = [(draft.request_key, each) for draft in drafts for each in draft.receivers]
    values = {
        "kinds": [draft.kind for draft in drafts],
        "prefixes": [KINDS[draft.kind].prefix for draft in drafts],
        "keys": [draft.request_key for draft in drafts],
        **_content(drafts),
        "line_keys": [key for key, _line in lines],
        **_line_columns([line for _key, line in lines]),
        "party_keys": [key for key, _account in parties],
        "party_accounts": [account for _key, account in parties],
        "year": f"{now.astimezone(BEIJING):%Y}",
        **actor.as_parameters(now),
    }
    return dict(db.session.execute(_INSERT, values).all())


def replace(application_id: int, draft: Any) -> None:
    """Replace the content of an editable application, lines and parties included."""
    db.session.execute(
        _REPLACE,
        {
            "application": application_id,
            **_content([draft]),
            "form_key": draft.request_key,
            "party_accounts": list(draft.receivers),
        },
    )
    db.session.execute(_ADD_LINES, {"application": application_id, **_line_columns(draft.lines)})


def lock(ids: Sequence[int], actor: Actor) -> list[Case]:
    """Lock the applicants' accounts, then the applications in scope; return them by id.

    In scope are those of the actor's account or province, those with the actor's enterprise as a
    receiver, and of kinds that a receiver's province reviews those with one of the actor's province.
    """
    _plan_for(len(ids))
    scope = {
        "ids": list(ids),
        "account": actor.account_id,
        "province": actor.province,
        "for_receivers": FOR_RECEIVERS_AUTHORITY,
    }
    accounts = db.session.scalars(_LOCK_ACCOUNTS, scope).all()
    rows = db.session.execute(
        _LOCK_APPLICATIONS,
        {**scope, "accounts": list(accounts)},
    )
    return [_case(row) for row in rows.all()]


def _plan_for(number: int) -> None:
    """Have the triggers' statements planned anew where the last act was single and this is in bulk.

    PL/pgSQL keeps the plan of a statement's first run: joining old and new rows by one made for a
    single row takes the square of their number (ADR 0097).  And the other way round.
    """
    kept = db.session.connection().info
    is_bulk = number >= BULK
    if kept.get("planned_for_bulk", False) is not is_bulk:
        db.session.execute(text("DISCARD PLANS"))
        kept["planned_for_bulk"] = is_bulk


def _case(row: Any) -> Case:
    """Return the case of a locked row, whose first columns are in the order of Case's fields."""
    case = Case(*row)
    case.status = Status(row.status)
    case.proposal = row.proposal or {}
    case.lines = [Line(*line) for line in row.lines or ()]
    case.receivers = frozenset(row.receivers or ())
    case.agreed = frozenset(row.agreed or ())
    case.signers = frozenset(row.signers or ())
    case.provinces = frozenset(row.provinces or ())
    return case


def reset_agreements(cases: Iterable[Case]) -> None:
    """Reset the receivers' agreements, which hold for one submission (manual 六-一-3).

    The receivers are those of the lines, else those that the application names.
    """
    asked = [
        (case.id, account)
        for case in cases
        if Party.RECEIVER in KINDS[case.kind].reviews
        for account in sorted(case.named_receivers or case.receivers)
    ]
    if asked:
        db.session.execute(
            _RESET_AGREEMENTS,
            {
                "ids": [id_ for id_, _account in asked],
                "accounts": [account for _id, account in asked],
            },
        )


def record_agreement(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Record a receiver's agreement."""
    if not cases or actor.account_id is None:
        return
    db.session.execute(
        _AGREE,
        {
            "ids": [case.id for case in cases],
            "account": actor.account_id,
            **actor.as_parameters(now),
        },
    )


def record(
    cases: Sequence[Case],
    action: Action,
    actor: Actor,
    now: datetime,
    *,
    comment: str = "",
    comments: Sequence[str] = (),
) -> None:
    """Write each case's state, event and 操作日志 row, in one statement."""
    if not cases:
        return
    own: list[str | None] = [each[:LONGEST_COMMENT] for each in comments]
    db.session.execute(
        _RECORD,
        {
            "ids": [case.id for case in cases],
            "statuses": [str(case.status) for case in cases],
            "steps": [case.step for case in cases],
            "days": [case.settles_on for case in cases],
            "postings": [case.posting_id for case in cases],
            "comments": own or [None] * len(cases),
            "comment": comment[:LONGEST_COMMENT],
            "action": str(action),
            **actor.as_parameters(now),
        },
    )
    for case in cases:
        case.version += 1


# Columns of many rows -----------------------------------------------------------------------


def _content(drafts: Sequence[Any]) -> dict[str, list[Any]]:
    return {
        "accounts": [draft.account_id for draft in drafts],
        "reasons": [draft.reason for draft in drafts],
        "categories": [draft.category for draft in drafts],
        "document_nos": [draft.document_no for draft in drafts],
        "authorities": [draft.authority for draft in drafts],
        "starts": [draft.starts_on for draft in drafts],
        "ends": [draft.ends_on for draft in drafts],
        "notices": [draft.notice_id for draft in drafts],
        "imports": [draft.import_id for draft in drafts],
        "proposals": [json.dumps(draft.proposal) for draft in drafts],
    }


def _line_columns(lines: Sequence[Line]) -> dict[str, list[Any]]:
    return {
        "instruments": [line.instrument_id for line in lines],
        "quantities": [line.quantity for line in lines],
        "venues": [line.venue_id for line in lines],
        "receivers": [line.account_id for line in lines],
        "sources": [line.source_line_id for line in lines],
    }


_CONTENT_TYPES = {
    "accounts": Integer,
    "reasons": String,
    "categories": String,
    "document_nos": String,
    "authorities": String,
    "starts": Date,
    "ends": Date,
    "notices": Integer,
    "imports": BigInteger,
    "proposals": String,
}
_LINE_TYPES = {
    "instruments": Integer,
    "quantities": BigInteger,
    "venues": Integer,
    "receivers": Integer,
    "sources": BigInteger,
}

_INSERT = typed(
    """
    WITH wanted AS (
           SELECT nextval(pg_get_serial_sequence('application', 'id')) AS id, w.*
             FROM unnest(:kinds, :prefixes, :keys, :accounts, :reasons, :categories, :document_nos,
                         :authorities, :starts, :ends, :notices, :imports, :proposals)
               AS w (kind, prefix, request_key, account_id, reason, category, document_no,
                     authority, starts_on, ends_on, notice_id, import_id, proposal)),
         made AS (
           INSERT INTO application (id, number, kind, account_id, reason, request_key, category,
                                    document_no, authority, starts_on, ends_on, notice_id,
                                    import_id, proposal, created_by, created_at)
           OVERRIDING SYSTEM VALUE
           SELECT id, prefix || :year || lpad(id::text, greatest(8, length(id::text)), '0'), kind,
                  account_id, reason, request_key, category, document_no, authority, starts_on, ends_on,
                  notice_id, import_id, CAST(proposal AS jsonb), CAST(:member AS integer), :at
             FROM wanted
           ON CONFLICT (request_key) DO NOTHING
           RETURNING id, request_key),
         line AS (
           INSERT INTO application_line (application_id, instrument_id, quantity, venue_id,
                                         account_id, source_line_id)
           SELECT made.id, l.instrument_id, l.quantity, l.venue_id, l.account_id, l.source_line_id
             FROM unnest(:line_keys, :instruments, :quantities, :venues, :receivers, :sources)
                  WITH ORDINALITY AS l (request_key, instrument_id, quantity, venue_id, account_id,
                                        source_line_id, n)
             JOIN made USING (request_key) ORDER BY l.n),
         party AS (
           INSERT INTO application_party (application_id, account_id)
           SELECT made.id, p.account_id
             FROM unnest(:party_keys, :party_accounts) AS p (request_key, account_id)
             JOIN made USING (request_key)),
         event AS (
           INSERT INTO application_event (application_id, action, status, at, member_id, member_name,
                                          ip)
           SELECT id, 'save', 'draft', :at, CAST(:member AS integer), :member_name, :ip FROM made)
    SELECT request_key, id FROM made
    """,
    kinds=String,
    prefixes=String,
    keys=String,
    **_CONTENT_TYPES,
    line_keys=String,
    **_LINE_TYPES,
    party_keys=String,
    party_accounts=Integer,
)

_REPLACE = typed(
    """
    WITH gone AS (DELETE FROM application_line WHERE application_id = :application),
         left_out AS (DELETE FROM application_party WHERE application_id = :application
                         AND account_id <> ALL(:party_accounts)),
         come AS (
           INSERT INTO application_party (application_id, account_id)
           SELECT :application, account_id FROM unnest(:party_accounts) AS account_id
           ON CONFLICT DO NOTHING)
    UPDATE application a
       SET reason = w.reason, category = w.category, document_no = w.document_no,
           authority = w.authority, starts_on = w.starts_on, ends_on = w.ends_on,
           notice_id = w.notice_id, proposal = CAST(w.proposal AS jsonb), form_key = :form_key,
           version = version + 1
      FROM unnest(:accounts, :reasons, :categories, :document_nos, :authorities, :starts, :ends,
                  :notices, :imports, :proposals)
        AS w (account_id, reason, category, document_no, authority, starts_on, ends_on, notice_id,
              import_id, proposal)
     WHERE a.id = :application
    """,
    **_CONTENT_TYPES,
    party_accounts=Integer,
)

_ADD_LINES = typed(
    """
    INSERT INTO application_line (application_id, instrument_id, quantity, venue_id, account_id,
                                  source_line_id)
    SELECT :application, l.instrument_id, l.quantity, l.venue_id, l.account_id, l.source_line_id
      FROM unnest(:instruments, :quantities, :venues, :receivers, :sources)
           WITH ORDINALITY AS l (instrument_id, quantity, venue_id, account_id, source_line_id, n)
     ORDER BY l.n
    """,
    **_LINE_TYPES,
)

# MATERIALIZED: the ids are looked up once, not once for each account.
_LOCK_ACCOUNTS = typed(
    """
    WITH asked AS MATERIALIZED (
           SELECT id, kind, account_id, notice_id FROM application WHERE id = ANY(:ids))
    SELECT id FROM account
     WHERE id IN (SELECT account_id FROM asked
                   UNION ALL
                  -- A refund to a helper opens another account's notice, whose 履约证明 lapses.
                  SELECT n.account_id FROM asked JOIN notice n ON n.id = asked.notice_id
                   WHERE asked.kind = 'refund_to_helper')
       AND (CAST(:account AS integer) IS NULL OR id = :account
            OR id IN (SELECT asked.account_id FROM asked JOIN application_party p
                          ON p.application_id = asked.id
                       WHERE p.account_id = :account))
       AND (CAST(:province AS text) IS NULL OR province = :province
            OR id IN (SELECT asked.account_id FROM asked
                        JOIN application_party p ON p.application_id = asked.id
                        JOIN account r ON r.id = p.account_id
                       WHERE r.province = :province AND asked.kind = ANY(:for_receivers)))
     ORDER BY id FOR NO KEY UPDATE
    """,
    ids=BigInteger,
    for_receivers=String,
)

# Receivers see an application from its submission, and after 操作复核 where required.
_LOCK_APPLICATIONS = typed(
    """
    SELECT id, kind, number, account_id, status, step, version, submitted_by, settles_on, posting_id,
           reason, category, document_no, authority, starts_on, ends_on, notice_id,
           nullif(proposal, '{}') AS proposal,
           (SELECT array_agg(ARRAY[l.instrument_id, l.quantity, l.id, l.venue_id, l.account_id,
                                   l.source_line_id, s.account_id] ORDER BY l.id)
              FROM application_line l LEFT JOIN application_line s ON s.id = l.source_line_id
             WHERE l.application_id = a.id) AS lines,
           (SELECT array_agg(p.account_id) FROM application_party p
             WHERE p.application_id = a.id) AS receivers,
           (SELECT array_agg(p.account_id) FROM application_party p
             WHERE p.application_id = a.id AND p.agreed_at IS NOT NULL) AS agreed,
           ARRAY[a.created_by, a.submitted_by] ||
           (SELECT array_agg(e.member_id) FROM application_event e
             WHERE e.application_id = a.id
               AND (e.action IN ('save', 'submit')
                    OR (e.action = 'approve'
                        AND e.id > (SELECT max(s.id) FROM application_event s
                                     WHERE s.application_id = a.id AND s.action = 'submit'))))
             AS signers,
           (SELECT u.province FROM ab_user u WHERE u.id = a.created_by) AS office,
           (SELECT array_agg(r.province) FROM application_party p JOIN account r ON r.id = p.account_id
             WHERE p.application_id = a.id) AS provinces
      FROM application a
     WHERE id = ANY(:ids) AND account_id + 0 = ANY(:accounts)  -- found by their ids alone
       AND (CAST(:account AS integer) IS NULL OR account_id = :account
            OR (status <> 'draft' AND step >= 0 AND EXISTS (
                  SELECT FROM application_party p
                   WHERE p.application_id = a.id AND p.account_id = :account)))
       AND (CAST(:province AS text) IS NULL
            OR (SELECT c.province FROM account c WHERE c.id = a.account_id) = :province
            OR (status <> 'draft' AND step >= 0 AND kind = ANY(:for_receivers) AND EXISTS (
                  SELECT FROM application_party p JOIN account r ON r.id = p.account_id
                   WHERE p.application_id = a.id AND r.province = :province)))
     ORDER BY id FOR UPDATE
    """,
    ids=BigInteger,
    accounts=Integer,
    for_receivers=String,
)

_RESET_AGREEMENTS = typed(
    """
    WITH asked AS (SELECT * FROM unnest(:ids, :accounts) AS w (application_id, account_id)),
         gone AS (
           DELETE FROM application_party p
            WHERE p.application_id = ANY(:ids)
              AND (p.application_id, p.account_id) NOT IN (SELECT * FROM asked))
    INSERT INTO application_party (application_id, account_id) SELECT * FROM asked
    ON CONFLICT (application_id, account_id) DO UPDATE SET agreed_at = NULL, agreed_by = NULL
    """,
    ids=BigInteger,
    accounts=Integer,
)

_AGREE = typed(
    """
    UPDATE application_party SET agreed_at = :at, agreed_by = CAST(:member AS integer)
     WHERE application_id = ANY(:ids) AND account_id = :account
    """,
    ids=BigInteger,
)

_RECORD = typed(
    """
    WITH reached AS (
           UPDATE application a
              SET status = r.status, step = r.step, settles_on = r.settles_on,
                  posting_id = r.posting_id, version = a.version + 1,
                  submitted_by = CASE WHEN :action = 'submit' THEN CAST(:member AS integer)
                                      ELSE a.submitted_by END,
                  submitted_at = CASE WHEN :action = 'submit' THEN :at ELSE a.submitted_at END,
                  refusal = CASE WHEN :action = 'refuse' THEN r.comment ELSE a.refusal END
             FROM unnest(:ids, :statuses, :steps, :days, :postings, :comments)
               AS r (id, status, step, settles_on, posting_id, comment)
             JOIN application earlier ON earlier.id = r.id
            WHERE a.id = r.id
           RETURNING a.id, a.kind, a.number, a.account_id, a.status, a.step,
                     coalesce(r.comment, :comment) AS comment, earlier.status AS before),
         event AS (
           INSERT INTO application_event (application_id, action, step, status, at, member_id,
                                          member_name, ip, comment)
           SELECT id, :action, step, status, :at, CAST(:member AS integer), :member_name, :ip, comment
             FROM reached)
    INSERT INTO operation_log (member_id, member_no, ip, certificate, action, subject, account_id,
                               detail)
    SELECT CAST(:member AS integer), :member_no, :ip, :certificate, kind || '.' || :action, number,
           account_id,
           jsonb_build_object('status', jsonb_build_array(before, status), 'comment', comment)
      FROM reached
    """,
    ids=BigInteger,
    statuses=String,
    steps=SmallInteger,
    days=Date,
    postings=BigInteger,
    comments=String,
)
