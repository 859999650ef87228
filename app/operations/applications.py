"""The one engine: every application of every kind lives its life through these verbs.

Lock order: transfers (shared), applicants' accounts, applications, holdings; each in key order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Date,
    Integer,
    SmallInteger,
    String,
    bindparam,
    select,
    text,
)

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.domain.kinds import KINDS, Facts
from app.domain.moves import Bucket, PostingRequest, Stage
from app.domain.trading_day import BEIJING, TradingMoment
from app.domain.workflow import Action, Case, Line, Party, Status, require
from app.extensions import db
from app.models import Application
from app.operations import calendar, ledger
from app.operations.actor import SYSTEM, Actor

LONGEST_REASON = 500
MOST_LINES = 200


@dataclass(slots=True)
class Outcome:
    """What became of each application of a batch: done, or the RuleError that stood against it."""

    done: list[Case] = field(default_factory=list)
    refused: list[tuple[Case, RuleError]] = field(default_factory=list)

    def one(self) -> Case:
        """Return the only case, or raise what stood against it: one is a batch of one."""
        for _case, error in self.refused:
            raise error
        (case,) = self.done
        return case


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody asks for; ``request_key`` makes asking twice harmless."""

    kind: str
    account_id: int
    lines: tuple[Line, ...]
    request_key: str
    reason: str = ""


def start(drafts: Sequence[Draft], actor: Actor, *, now: datetime) -> list[int]:
    """Save drafts; a request key seen before yields the application it made then.

    Returns the ids in the order of ``drafts``.  Raises RuleError for a malformed draft and
    NotFound where the account or the key's application is not the actor's.
    """
    for draft in drafts:
        _require_well_formed(draft)
        if actor.account_id not in (None, draft.account_id):
            raise NotFound(_("There is no such account"))
    made = dict(
        db.session.execute(
            _START,
            {
                "kinds": [draft.kind for draft in drafts],
                "prefixes": [KINDS[draft.kind].prefix for draft in drafts],
                "accounts": [draft.account_id for draft in drafts],
                "reasons": [draft.reason for draft in drafts],
                "keys": [draft.request_key for draft in drafts],
                "line_keys": [draft.request_key for draft in drafts for _line in draft.lines],
                "instruments": [line.instrument_id for draft in drafts for line in draft.lines],
                "quantities": [line.quantity for draft in drafts for line in draft.lines],
                "venues": [line.venue_id for draft in drafts for line in draft.lines],
                "year": f"{now.astimezone(BEIJING):%Y}",
                **_signature(actor, now),
            },
        ).all()
    )
    return [made.get(draft.request_key) or _made_before(draft) for draft in drafts]


def edit(application_id: int, draft: Draft, actor: Actor, *, now: datetime) -> Case:
    """Replace the content of a draft or of an application that was sent back.

    Raises RuleError for malformed content, NotFound outside the actor's scope and NotAllowed in
    any other status.
    """
    _require_well_formed(draft)
    cases = _lock([application_id], actor)
    for _case, error in _missing([application_id], cases):
        raise error
    (case,) = cases
    _require_own(case, actor)
    require(case, Action.SAVE)
    row = db.session.get_one(Application, case.id, populate_existing=True)
    for line in row.lines:
        db.session.delete(line)
    db.session.flush()
    row.reason = draft.reason
    row.version += 1
    db.session.execute(
        _ADD_LINES,
        {
            "application": case.id,
            "instruments": [line.instrument_id for line in draft.lines],
            "quantities": [line.quantity for line in draft.lines],
            "venues": [line.venue_id for line in draft.lines],
        },
    )
    db.session.flush()
    db.session.expire(row)
    _record([case], Action.SAVE, actor, now)
    case.lines = list(draft.lines)
    return case


def submit(application_ids: Sequence[int], actor: Actor, *, now: datetime) -> Outcome:
    """Submit drafts: every check runs, and the tonnes leave their bucket at once.

    Per item: done, or the RuleError that stood against it (wrong status, restricted account,
    outside trading hours, not enough tonnes, the kind's own rules).
    """
    calendar.share_transfers()
    cases = _lock(application_ids, actor)
    facts = _gather(cases, calendar.moment_at(now))
    outcome = Outcome(refused=_missing(application_ids, cases))
    for case in cases:
        _try(outcome, case, partial(_judge, case, facts, actor))
    requests = [
        _posting(case, KINDS[case.kind].reserving(case), Stage.SUBMISSION, actor)
        for case in outcome.done
        if KINDS[case.kind].reserves
    ]
    posted = ledger.post(requests, at=now) if requests else {}
    for case in outcome.done:
        case.posting_id = posted.get(_posting_key(case, Stage.SUBMISSION))
        case.submitted_by = actor.member_id
    _record(outcome.done, Action.SUBMIT, actor, now)
    return outcome


def withdraw(
    application_ids: Sequence[int], actor: Actor, *, now: datetime, comment: str = ""
) -> Outcome:
    """Take applications back before they take effect; the recorded posting is turned round."""
    calendar.share_transfers()
    cases = _lock(application_ids, actor)
    closed = _last_closed_day()
    outcome = Outcome(refused=_missing(application_ids, cases))
    for case in cases:
        _try(outcome, case, partial(_require_withdrawable, case, closed, actor))
    _turn_round(outcome.done, Stage.WITHDRAWAL, actor, now)
    for case in outcome.done:
        case.status = Status.WITHDRAWN
    _record(outcome.done, Action.WITHDRAW, actor, now, comment=comment)
    return outcome


def approve(
    application_ids: Sequence[int], actor: Actor, *, now: datetime, comment: str = ""
) -> Outcome:
    """Record a reviewer's yes on each application that awaits it; the last yes carries it out.

    Per item: done, or the RuleError that stood against it (already decided, not this party's
    turn, submitted by the same person, restricted meanwhile).
    """
    cases = _lock(application_ids, actor)
    facts = _gather(cases, calendar.moment_at(now))
    outcome = Outcome(refused=_missing(application_ids, cases))
    for case in cases:
        _try(outcome, case, partial(_agree, case, facts, actor))
    carried_out = [case for case in outcome.done if case.status is Status.APPROVED]
    requests = [
        _posting(case, KINDS[case.kind].settling(case), Stage.APPROVAL, actor)
        for case in carried_out
        if KINDS[case.kind].settles
    ]
    if requests:
        ledger.post(requests, at=now)
    _record(outcome.done, Action.APPROVE, actor, now, comment=comment)
    return outcome


def send_back(
    application_ids: Sequence[int], actor: Actor, *, now: datetime, comment: str
) -> Outcome:
    """Return applications to their initiator, who may change and submit them again.

    A reason is required.  The reserved tonnes go back: the recorded posting is turned round.
    """
    if not comment.strip():
        raise RuleError(
            _("Enter the reason for sending back"), field="comment", code="reason_missing"
        )
    cases = _lock(application_ids, actor)
    outcome = Outcome(refused=_missing(application_ids, cases))
    for case in cases:
        _try(outcome, case, partial(_require_reviewer, case, actor, Action.SEND_BACK))
    _turn_round(outcome.done, Stage.SENT_BACK, actor, now)
    for case in outcome.done:
        case.status, case.step, case.posting_id = Status.RETURNED, 0, None
    _record(outcome.done, Action.SEND_BACK, actor, now, comment=comment)
    return outcome


def refuse(refused: Sequence[tuple[Case, RuleError]], actor: Actor, *, now: datetime) -> None:
    """Keep a machine's drafts that a rule refused, each with its reason; nothing moves."""
    for case, _error in refused:
        require(case, Action.SUBMIT)
        case.status, case.settles_on = Status.REFUSED, None
    comments = [str(error) for _case, error in refused]
    _record([case for case, _error in refused], Action.REFUSE, actor, now, comments=comments)


# Guards and decisions ----------------------------------------------------------------------


def _require_well_formed(draft: Draft) -> None:
    if not draft.lines:
        raise RuleError(_("Choose at least one instrument"), field="lines", code="no_lines")
    if len(draft.lines) > MOST_LINES:
        raise RuleError(
            _("At most %(most)d instruments in one application", most=MOST_LINES),
            field="lines",
            code="too_many_lines",
        )
    if len({line.instrument_id for line in draft.lines}) < len(draft.lines):
        raise RuleError(_("An instrument is chosen twice"), field="lines", code="line_twice")
    if len(draft.reason) > LONGEST_REASON:
        raise RuleError(
            _("The reason is longer than %(most)d characters", most=LONGEST_REASON),
            field="reason",
            code="reason_too_long",
        )


def _require_own(case: Case, actor: Actor) -> None:
    """Only the applicant speaks for itself: who may see an application does not act in its name.

    The system's own runs, which no person can start as such, are the exception.
    """
    is_own = actor.account_id == case.account_id or actor == SYSTEM
    if KINDS[case.kind].started_by is Party.APPLICANT and not is_own:
        raise NotAllowed(_("Only the applicant may do this"), code="not_the_applicant")


def _judge(case: Case, facts: Facts, actor: Actor) -> None:
    _require_own(case, actor)
    require(case, Action.SUBMIT)
    kind = KINDS[case.kind]
    case.settles_on = kind.judge(case, facts)
    case.step = 0
    if kind.reviews:
        case.status = Status.IN_REVIEW
    else:
        case.status = Status.PENDING_SETTLEMENT if kind.settles_at_day_end else Status.APPROVED


def _agree(case: Case, facts: Facts, actor: Actor) -> None:
    kind = KINDS[case.kind]
    _require_reviewer(case, actor, Action.APPROVE)
    if kind.debits and case.account_id in facts.restricted:
        raise NotAllowed(
            _("The account was restricted meanwhile; send the application back"),
            code="account_restricted",
        )
    case.step += 1
    if case.step == len(kind.reviews):
        case.status = Status.APPROVED


def _require_reviewer(case: Case, actor: Actor, action: Action) -> None:
    require(case, action)
    if case.submitted_by is not None and case.submitted_by == actor.member_id:
        raise NotAllowed(_("Nobody reviews what they submitted"), code="own_application")
    if party(actor) is not KINDS[case.kind].reviews[case.step]:
        raise NotAllowed(_("It is another party's turn to review"), code="not_your_turn")


def _require_withdrawable(case: Case, closed: date | None, actor: Actor) -> None:
    _require_own(case, actor)
    require(case, Action.WITHDRAW)
    if case.settles_on is not None and closed is not None and case.settles_on <= closed:
        raise NotAllowed(
            _(
                "Application %(number)s was settled on %(day)s and can no longer be withdrawn",
                number=case.number,
                day=case.settles_on.isoformat(),
            ),
            code="already_settled",
        )
    if KINDS[case.kind].started_by is Party.EXCHANGE:
        raise NotAllowed(
            _("A transfer started by the trading side cannot be withdrawn here"), code="not_yours"
        )


def party(actor: Actor) -> Party:
    """Return which party of a review a person speaks for, by row scope."""
    if actor.account_id is not None:
        return Party.RECEIVER
    return Party.AUTHORITY if actor.province is not None else Party.REGISTRY


def _try(outcome: Outcome, case: Case, step: Callable[[], None]) -> None:
    try:
        step()
    except RuleError as error:
        outcome.refused.append((case, error))
    else:
        outcome.done.append(case)


def _missing(ids: Iterable[int], cases: Iterable[Case]) -> list[tuple[Case, RuleError]]:
    """What is not there, or not in the actor's scope, is not found: the two look the same."""
    found = {case.id for case in cases}
    return [
        (
            Case(id=id_, kind="", number=str(id_), account_id=0, status=Status.DRAFT),
            NotFound(_("There is no such application")),
        )
        for id_ in dict.fromkeys(ids)
        if id_ not in found
    ]


# Reading under lock ------------------------------------------------------------------------


def _lock(ids: Sequence[int], actor: Actor) -> list[Case]:
    """Lock the applicants' accounts, then the applications in scope; returns them by id."""
    scope = {"ids": list(ids), "account": actor.account_id, "province": actor.province}
    accounts = db.session.scalars(_LOCK_ACCOUNTS, scope).all()
    rows = db.session.execute(_LOCK_APPLICATIONS, {"ids": list(ids), "accounts": list(accounts)})
    return [
        Case(
            id=row.id,
            kind=row.kind,
            number=row.number,
            account_id=row.account_id,
            status=Status(row.status),
            step=row.step,
            version=row.version,
            submitted_by=row.submitted_by,
            settles_on=row.settles_on,
            posting_id=row.posting_id,
            reason=row.reason,
            lines=[Line(*line) for line in row.lines],
        )
        for row in rows
    ]


def _gather(cases: Sequence[Case], moment: TradingMoment) -> Facts:
    """Read what the rules look at, once for the batch, after the locks."""
    pairs = {(case.account_id, line.instrument_id) for case in cases for line in case.lines}
    rows = db.session.execute(
        _GATHER,
        {
            "accounts": [account for account, _instrument in pairs],
            "instruments": [instrument for _account, instrument in pairs],
        },
    ).all()
    return Facts(
        moment=moment,
        holdings={
            (row.account_id, row.instrument_id, bucket): getattr(row, bucket.column)
            for row in rows
            for bucket in _SPENDABLE
        },
        instruments={row.instrument_id: row.instrument for row in rows},
        restricted=frozenset(row.account_id for row in rows if row.is_restricted),
        permitted=frozenset(row.account_id for row in rows if row.allows_exchange_transfer),
        tradable=frozenset(
            (venue, row.instrument_id) for row in rows for venue in row.venues or ()
        ),
    )


_SPENDABLE = (Bucket.AVAILABLE, Bucket.FROZEN, Bucket.TRADING, Bucket.CUSTODY, Bucket.CONFISCATED)


def _last_closed_day() -> date | None:
    return db.session.scalar(text("SELECT max(day) FROM settlement_run"))


def _made_before(draft: Draft) -> int:
    found = db.session.execute(
        select(Application.id, Application.account_id, Application.kind).where(
            Application.request_key == draft.request_key
        )
    ).one()
    if (found.account_id, found.kind) != (draft.account_id, draft.kind):
        raise NotFound(_("There is no such application"))
    return found.id


# Writing -----------------------------------------------------------------------------------


def _posting_key(case: Case, stage: Stage) -> str:
    return f"{case.kind}:{case.id}:{stage}:{case.version}"


def _posting(case: Case, moves: tuple[Any, ...], stage: Stage, actor: Actor) -> PostingRequest:
    return PostingRequest(
        business=case.kind,
        stage=stage,
        request_key=_posting_key(case, stage),
        moves=moves,
        application_id=case.id,
        document=case.number,
        member_id=actor.member_id,
    )


def _turn_round(cases: Sequence[Case], stage: Stage, actor: Actor, now: datetime) -> None:
    postings = [case.posting_id for case in cases if case.posting_id is not None]
    if postings:
        ledger.reverse(postings, stage=stage, at=now, member_id=actor.member_id)


def _record(
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
    db.session.execute(
        _RECORD,
        {
            "ids": [case.id for case in cases],
            "statuses": [str(case.status) for case in cases],
            "steps": [case.step for case in cases],
            "days": [case.settles_on for case in cases],
            "postings": [case.posting_id for case in cases],
            "submitters": [case.submitted_by for case in cases],
            "comments": [text[:LONGEST_REASON] for text in comments or [comment] * len(cases)],
            "action": str(action),
            **_signature(actor, now),
        },
    )
    for case in cases:
        case.version += 1


def _signature(actor: Actor, now: datetime) -> dict[str, Any]:
    return {
        "at": now,
        "member": actor.member_id,
        "member_no": actor.member_no,
        "member_name": actor.name,
        "ip": actor.ip,
    }


def _typed(statement: str, **types: Any) -> Any:
    return text(statement).bindparams(
        *(bindparam(name, type_=ARRAY(type_)) for name, type_ in types.items())
    )


_START = _typed(
    """
    WITH wanted AS (
           SELECT nextval(pg_get_serial_sequence('application', 'id')) AS id, w.*
             FROM unnest(:kinds, :prefixes, :accounts, :reasons, :keys)
               AS w (kind, prefix, account_id, reason, request_key)),
         made AS (
           INSERT INTO application (id, number, kind, account_id, reason, request_key,
                                    created_by, created_at)
           OVERRIDING SYSTEM VALUE
           SELECT id, prefix || :year || lpad(id::text, 8, '0'), kind, account_id, reason,
                  request_key, CAST(:member AS integer), :at
             FROM wanted
           ON CONFLICT (request_key) DO NOTHING
           RETURNING id, request_key),
         line AS (
           INSERT INTO application_line (application_id, instrument_id, quantity, venue_id)
           SELECT made.id, l.instrument_id, l.quantity, l.venue_id
             FROM unnest(:line_keys, :instruments, :quantities, :venues)
                  WITH ORDINALITY AS l (request_key, instrument_id, quantity, venue_id, n)
             JOIN made USING (request_key) ORDER BY l.n),
         event AS (
           INSERT INTO application_event (application_id, action, at, member_id, member_name, ip)
           SELECT id, 'save', :at, CAST(:member AS integer), :member_name, :ip FROM made)
    SELECT request_key, id FROM made
    """,
    kinds=String,
    prefixes=String,
    accounts=Integer,
    reasons=String,
    keys=String,
    line_keys=String,
    instruments=Integer,
    quantities=BigInteger,
    venues=Integer,
)

_ADD_LINES = _typed(
    """
    INSERT INTO application_line (application_id, instrument_id, quantity, venue_id)
    SELECT :application, l.instrument_id, l.quantity, l.venue_id
      FROM unnest(:instruments, :quantities, :venues)
           WITH ORDINALITY AS l (instrument_id, quantity, venue_id, n) ORDER BY l.n
    """,
    instruments=Integer,
    quantities=BigInteger,
    venues=Integer,
)

_LOCK_ACCOUNTS = _typed(
    """
    SELECT id FROM account
     WHERE id IN (SELECT account_id FROM application WHERE id = ANY(:ids))
       AND (CAST(:account AS integer) IS NULL OR id = :account)
       AND (CAST(:province AS text) IS NULL OR province = :province)
     ORDER BY id FOR NO KEY UPDATE
    """,
    ids=BigInteger,
)

_LOCK_APPLICATIONS = _typed(
    """
    SELECT id, kind, number, account_id, status, step, version, submitted_by, settles_on, posting_id,
           reason,
           (SELECT coalesce(json_agg(json_build_array(instrument_id, quantity, l.id, venue_id)
                                     ORDER BY l.id), '[]')
              FROM application_line l WHERE l.application_id = application.id) AS lines
      FROM application
     WHERE id = ANY(:ids) AND account_id = ANY(:accounts)
     ORDER BY id FOR UPDATE
    """,
    ids=BigInteger,
    accounts=Integer,
)

_GATHER = _typed(
    """
    SELECT a.id AS account_id, i.id AS instrument_id, i.name AS instrument,
           a.is_restricted, a.allows_exchange_transfer,
           (SELECT array_agg(v.venue_id) FROM venue_instrument v WHERE v.instrument_id = i.id) AS venues,
           coalesce(h.available, 0) AS available, coalesce(h.frozen, 0) AS frozen,
           coalesce(h.trading, 0) AS trading, coalesce(h.custody, 0) AS custody,
           coalesce(h.confiscated, 0) AS confiscated
      FROM unnest(:accounts, :instruments) AS p (account_id, instrument_id)
      JOIN account a ON a.id = p.account_id
      JOIN instrument i ON i.id = p.instrument_id
      LEFT JOIN holding h ON h.account_id = a.id AND h.instrument_id = i.id
    """,
    accounts=Integer,
    instruments=Integer,
)

_RECORD = _typed(
    """
    WITH reached AS (
           UPDATE application a
              SET status = r.status, step = r.step, settles_on = r.settles_on,
                  posting_id = r.posting_id, submitted_by = r.submitted_by, version = version + 1,
                  submitted_at = CASE WHEN :action = 'submit' THEN :at ELSE submitted_at END,
                  refusal = CASE WHEN :action = 'refuse' THEN r.comment ELSE refusal END
             FROM unnest(:ids, :statuses, :steps, :days, :postings, :submitters, :comments)
               AS r (id, status, step, settles_on, posting_id, submitted_by, comment)
            WHERE a.id = r.id
           RETURNING a.id, a.kind, a.number, a.account_id, a.step, r.comment),
         event AS (
           INSERT INTO application_event (application_id, action, step, at, member_id, member_name,
                                          ip, comment)
           SELECT id, :action, step, :at, CAST(:member AS integer), :member_name, :ip, comment
             FROM reached)
    INSERT INTO operation_log (member_id, member_no, ip, action, subject, account_id, detail)
    SELECT CAST(:member AS integer), :member_no, :ip, kind || '.' || :action, number, account_id,
           jsonb_build_object('comment', comment)
      FROM reached
    """,
    ids=BigInteger,
    statuses=String,
    steps=SmallInteger,
    days=Date,
    postings=BigInteger,
    submitters=Integer,
    comments=String,
)
