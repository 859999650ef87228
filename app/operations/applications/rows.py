"""The rows of applications, many at a time: saved, read under lock with their facts, and written back.

Each function is one statement, whatever the number of applications.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Date, Integer, SmallInteger, String

from app.domain.kinds import KINDS, Facts
from app.domain.kinds.issuance import ONCE
from app.domain.kinds.rules import Notice, Source
from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING, TradingMoment
from app.domain.workflow import Action, Case, Line, Party, Status
from app.extensions import db
from app.operations.records.actor import Actor
from app.operations.records.catalogue import catalogue
from app.operations.records.columns import typed

LONGEST_COMMENT = 500
_SPENDABLE = {
    bucket: bucket.column for bucket in (Bucket.AVAILABLE, Bucket.TRADING, Bucket.CUSTODY)
}


def insert(drafts: Sequence[Any], actor: Actor, now: datetime) -> dict[str, int]:
    """Save drafts with their lines and parties; return the new ids by request key.

    A key that is there already is left out.
    """
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
    """Give an application that can be edited another content, lines and parties included."""
    db.session.execute(
        _REPLACE,
        {
            "application": application_id,
            **_content([draft]),
            "party_accounts": list(draft.receivers),
        },
    )
    db.session.execute(_ADD_LINES, {"application": application_id, **_line_columns(draft.lines)})


def lock(ids: Sequence[int], actor: Actor) -> list[Case]:
    """Lock the applicants' accounts, then the applications in scope; return them by id.

    In scope is what belongs to the actor's own account or province, and what asks the actor's
    enterprise as a receiver.
    """
    scope = {"ids": list(ids), "account": actor.account_id, "province": actor.province}
    accounts = db.session.scalars(_LOCK_ACCOUNTS, scope).all()
    rows = db.session.execute(
        _LOCK_APPLICATIONS,
        {"ids": list(ids), "accounts": list(accounts), "account": actor.account_id},
    )
    return [_case(row) for row in rows.all()]


def _case(row: Any) -> Case:
    """Make a case of a locked row, whose columns stand in the order of its fields."""
    case = Case(*row)
    case.status = Status(row.status)
    case.proposal = row.proposal or {}
    case.lines = [Line(*line) for line in row.lines or ()]
    case.receivers = frozenset(row.receivers or ())
    case.agreed = frozenset(row.agreed or ())
    case.signers = frozenset(row.signers or ())
    return case


def gather(cases: Sequence[Case], moment: TradingMoment) -> Facts:
    """Read what the rules look at, once for the batch, after the locks.

    Holdings, and what was issued, are read of what is to be submitted alone: what is under review
    holds its tonnes.
    """
    reviewed = [case for case in cases if case.status is Status.IN_REVIEW or not case.lines]
    submitted = [case for case in cases if case.status is not Status.IN_REVIEW]
    rows = _holdings(submitted, moment.day)
    accounts = [*rows, *_standing({case.account_id for case in reviewed})]
    named = [*rows, *_instruments({line.instrument_id for case in reviewed for line in case.lines})]
    return Facts(
        moment=moment,
        holdings={
            (row.account_id, row.instrument_id, bucket): getattr(row, column)
            for row in rows
            for bucket, column in _SPENDABLE.items()
        },
        instruments={row.instrument_id: row.instrument for row in named},
        offsets=frozenset(row.instrument_id for row in named if row.instrument_kind == "offset"),
        restricted=frozenset(row.account_id for row in accounts if row.is_restricted),
        doubled=frozenset(row.account_id for row in accounts if row.needs_colleague),
        permitted=frozenset(row.account_id for row in rows if row.allows_exchange_transfer),
        tradable=frozenset(
            (venue, row.instrument_id) for row in rows for venue in row.venues or ()
        ),
        linked=_linked([case for case in cases if case.receivers or _receivers(case)]),
        notices=_notices({case.notice_id for case in cases if case.notice_id}),
        sources=_sources(
            {line.source_line_id for case in cases for line in case.lines if line.source_line_id}
        ),
        unproven=_those(_UNPROVEN, cases, "account_change"),
        clashing=_those(_CLASHING, cases, "account_change", "account_opening"),
        issued=_issued(submitted),
        categories=_categories(submitted, moment.day),
    )


def call_parties(cases: Iterable[Case]) -> None:
    """Ask every receiver anew: agreements to an earlier submission lapse (manual 六-一-3)."""
    asked = [
        (case.id, account)
        for case in cases
        if Party.RECEIVER in KINDS[case.kind].reviews
        for account in sorted(_receivers(case))
    ]
    if asked:
        db.session.execute(
            _CALL,
            {
                "ids": [id_ for id_, _account in asked],
                "accounts": [account for _id, account in asked],
            },
        )


def record_agreement(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Note a receiver's yes."""
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
    """Write the state that each case has reached, its event and its 操作日志 row, in one statement."""
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


# What the rules look at ---------------------------------------------------------------------


def _receivers(case: Case) -> set[int]:
    return {line.account_id for line in case.lines if line.account_id}


def _holdings(cases: Sequence[Case], today: date) -> Sequence[Any]:
    pairs = {(case.account_id, line.instrument_id) for case in cases for line in case.lines}
    if not pairs:
        return ()
    accounts, instruments = zip(*pairs, strict=True)
    asked = {"accounts": accounts, "instruments": instruments, "today": today}
    return db.session.execute(_HOLDINGS, asked).all()


def _categories(cases: Sequence[Case], today: date) -> frozenset[tuple[str, str]]:
    if not any(KINDS[case.kind].has_category for case in cases):
        return frozenset()
    return catalogue().offered(today)


def _standing(accounts: Collection[int]) -> Sequence[Any]:
    if not accounts:
        return ()
    return db.session.execute(_STANDING, {"accounts": list(accounts)}).all()


def _instruments(ids: Collection[int]) -> Sequence[Any]:
    if not ids:
        return ()
    return db.session.execute(_INSTRUMENTS, {"ids": list(ids)}).all()


def _linked(cases: Sequence[Case]) -> frozenset[tuple[int, int]]:
    if not cases:
        return frozenset()
    rows = db.session.execute(_LINKED, {"accounts": [case.account_id for case in cases]})
    return frozenset((row.account_id, row.receiver_id) for row in rows)


def _notices(ids: Iterable[int]) -> dict[int, Notice]:
    wanted = list(ids)
    if not wanted:
        return {}
    return {
        row.id: Notice(
            row.account_id,
            row.number,
            row.obligation,
            row.surrendered,
            row.pending,
            frozenset(row.eligible or ()),
            row.offset_limit,
            row.offset_surrendered,
            row.offset_pending,
        )
        for row in db.session.execute(_NOTICES, {"ids": wanted})
    }


def _sources(ids: Iterable[int]) -> dict[int, Source]:
    wanted = list(ids)
    if not wanted:
        return {}
    return {
        row.line_id: Source(
            row.account_id,
            row.instrument_id,
            row.kind,
            row.status == Status.APPROVED,
            row.remaining,
            row.notice_id,
        )
        for row in db.session.execute(_SOURCES, {"ids": wanted})
    }


def _issued(cases: Sequence[Case]) -> dict[tuple[int, int, str], str]:
    accounts = {case.account_id for case in cases if case.kind == "issuance"}
    if not accounts:
        return {}
    rows = db.session.execute(_ISSUED, {"accounts": list(accounts), "once": list(ONCE)})
    return {(row.account_id, row.instrument_id, row.category): row.number for row in rows}


def _those(statement: Any, cases: Sequence[Case], *kinds: str) -> frozenset[int]:
    """Return the cases of these kinds that a statement finds."""
    ids = [case.id for case in cases if case.kind in kinds]
    return frozenset(db.session.scalars(statement, {"ids": ids})) if ids else frozenset()


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
           SELECT id, prefix || :year || lpad(id::text, 8, '0'), kind, account_id, reason,
                  request_key, category, document_no, authority, starts_on, ends_on, notice_id,
                  import_id, CAST(proposal AS jsonb), CAST(:member AS integer), :at
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
           INSERT INTO application_event (application_id, action, at, member_id, member_name, ip)
           SELECT id, 'save', :at, CAST(:member AS integer), :member_name, :ip FROM made)
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
           notice_id = w.notice_id, proposal = CAST(w.proposal AS jsonb), version = version + 1
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

# The list of ids is gone through once: joined to the accounts, it would be for each of them.
_LOCK_ACCOUNTS = typed(
    """
    WITH asked AS MATERIALIZED (SELECT id, account_id FROM application WHERE id = ANY(:ids))
    SELECT id FROM account
     WHERE id IN (SELECT account_id FROM asked)
       AND (CAST(:account AS integer) IS NULL OR id = :account
            OR id IN (SELECT asked.account_id FROM asked JOIN application_party p
                          ON p.application_id = asked.id
                       WHERE p.account_id = :account))
       AND (CAST(:province AS text) IS NULL OR province = :province)
     ORDER BY id FOR NO KEY UPDATE
    """,
    ids=BigInteger,
)

# A receiver is asked from the submission on: another enterprise's draft does not exist for it, nor
# what the applicant's second operator has not agreed to.
_LOCK_APPLICATIONS = typed(
    """
    SELECT id, kind, number, account_id, status, step, version, submitted_by, settles_on, posting_id,
           reason, category, document_no, authority, starts_on, ends_on, notice_id,
           nullif(proposal, '{}') AS proposal,
           (SELECT array_agg(ARRAY[instrument_id, quantity, l.id, venue_id, l.account_id,
                                   source_line_id] ORDER BY l.id)
              FROM application_line l WHERE l.application_id = a.id) AS lines,
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
             AS signers
      FROM application a
     WHERE id = ANY(:ids) AND account_id IN (SELECT unnest(:accounts))
       AND (CAST(:account AS integer) IS NULL OR account_id = :account
            OR (status <> 'draft' AND step >= 0 AND EXISTS (
                  SELECT FROM application_party p
                   WHERE p.application_id = a.id AND p.account_id = :account)))
     ORDER BY id FOR UPDATE
    """,
    ids=BigInteger,
    accounts=Integer,
)

_HOLDINGS = typed(
    """
    SELECT a.id AS account_id, i.id AS instrument_id, i.name AS instrument,
           i.kind AS instrument_kind, a.is_restricted, a.allows_exchange_transfer, a.needs_colleague,
           v.venues, coalesce(h.available, 0) AS available, coalesce(h.trading, 0) AS trading,
           coalesce(h.custody, 0) AS custody
      FROM unnest(:accounts, :instruments) AS p (account_id, instrument_id)
      JOIN account a ON a.id = p.account_id
      JOIN instrument i ON i.id = p.instrument_id
      LEFT JOIN holding h ON h.account_id = a.id AND h.instrument_id = i.id
      LEFT JOIN (SELECT t.instrument_id, array_agg(t.venue_id) AS venues
                   FROM venue_instrument t JOIN venue e ON e.id = t.venue_id
                  WHERE greatest(t.valid_from, e.valid_from) <= :today
                    AND coalesce(least(t.disabled_from, e.disabled_from) > :today, true)
                  GROUP BY t.instrument_id) AS v ON v.instrument_id = i.id
    """,
    accounts=Integer,
    instruments=Integer,
)

_INSTRUMENTS = typed(
    """
    SELECT id AS instrument_id, name AS instrument, kind AS instrument_kind
      FROM instrument WHERE id = ANY(:ids)
    """,
    ids=Integer,
)

_STANDING = typed(
    "SELECT id AS account_id, is_restricted, needs_colleague FROM account WHERE id = ANY(:accounts)",
    accounts=Integer,
)

_LINKED = typed(
    "SELECT account_id, receiver_id FROM custody_link WHERE account_id = ANY(:accounts)",
    accounts=Integer,
)

_NOTICES = typed(
    """
    SELECT n.id, n.account_id, n.number, n.obligation,
           floor(n.obligation * n.offset_percent / 100)::bigint AS offset_limit,
           (SELECT array_agg(instrument_id) FROM notice_instrument e WHERE e.notice_id = n.id)
             AS eligible,
           coalesce(used.surrendered, 0) AS surrendered, coalesce(used.pending, 0) AS pending,
           coalesce(used.offset_surrendered, 0) AS offset_surrendered,
           coalesce(used.offset_pending, 0) AS offset_pending
      FROM notice n
      LEFT JOIN (SELECT * FROM notice_surrender WHERE notice_id = ANY(:ids)) AS used
             ON used.notice_id = n.id
     WHERE n.id = ANY(:ids)
    """,
    ids=Integer,
)

_SOURCES = typed(
    """
    SELECT d.line_id, a.account_id, d.instrument_id, a.kind, a.status, a.notice_id, d.remaining
      FROM line_draw d JOIN application a ON a.id = d.application_id
     WHERE d.line_id = ANY(:ids)
    """,
    ids=BigInteger,
)

_ISSUED = typed(
    """
    SELECT a.account_id, l.instrument_id, a.category, a.number
      FROM application a JOIN application_line l ON l.application_id = a.id
     WHERE a.kind = 'issuance' AND a.account_id = ANY(:accounts) AND a.category = ANY(:once)
       AND a.status IN ('in_review', 'approved')
    """,
    accounts=Integer,
    once=String,
)

# Accounts opened in a batch came without their documents (manual 二-三 说明).
_UNPROVEN = typed(
    """
    SELECT a.id FROM application a JOIN account c ON c.id = a.account_id
     WHERE a.id = ANY(:ids) AND c.lacks_documents
       AND NOT EXISTS (SELECT FROM attachment t WHERE t.application_id = a.id)
    """,
    ids=BigInteger,
)

# A proposal keeps [before, after] by field (operations/accounts/details.py).  Of two in one batch that
# propose the same code, the first has it.
_CLASHING = typed(
    """
    WITH proposed AS MATERIALIZED (
           SELECT id, account_id, proposal -> 'uscc' ->> 1 AS code FROM application
            WHERE id = ANY(:ids) AND proposal -> 'uscc' ->> 1 IS NOT NULL)
    SELECT a.id FROM proposed a JOIN account c ON c.uscc = a.code AND c.id <> a.account_id
    UNION
    SELECT id
      FROM (SELECT id, account_id, min(account_id) OVER earlier, max(account_id) OVER earlier
              FROM proposed
            WINDOW earlier AS (PARTITION BY code ORDER BY id
                               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS a
     WHERE min <> account_id OR max <> account_id
    UNION
    SELECT a.id
      FROM proposed a
      JOIN application o ON o.proposal -> 'uscc' ->> 1 = a.code AND o.id <> a.id
     WHERE o.kind = 'account_opening' AND o.status = 'in_review'
    """,
    ids=BigInteger,
)

_CALL = typed(
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
           INSERT INTO application_event (application_id, action, step, at, member_id, member_name,
                                          ip, comment)
           SELECT id, :action, step, :at, CAST(:member AS integer), :member_name, :ip, comment
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
