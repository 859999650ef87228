"""履约通知书: what approved decisions make of them, and their locks and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BigInteger, Integer, cast, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from app.domain.compliance.notices import Decision, Terms
from app.domain.errors import NotFound, RuleError
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case
from app.extensions import db, violated
from app.models import Notice, OperationLog, plans_on
from app.models.figures import notice_surrender
from app.operations.compliance import attestations
from app.operations.records.actor import Actor
from app.operations.records.columns import typed


@dataclass(slots=True)
class NoticeOutcome:
    """The notices done, and the RuleError of each that was refused."""

    done: list[int] = field(default_factory=list)
    refused: dict[int, RuleError] = field(default_factory=dict)

    def one(self) -> int:
        """Return the only notice's id, or raise its error."""
        for error in self.refused.values():
            raise error
        (id_,) = self.done
        return id_


@dataclass(slots=True)
class LockedNotice:
    """A locked notice with its surrendered and pending tonnes."""

    id: int
    number: str
    account_id: int
    year: int
    obligation: int
    sector: str
    deadline: datetime
    reminded_at: datetime | None
    surrendered: int
    pending: int
    offset_surrendered: int
    offset_pending: int
    last_at: datetime | None

    @property
    def gap(self) -> int:
        """缺口, in tonnes; pending surrenders are not deducted."""
        return max(self.obligation - self.surrendered, 0)


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Issue, change or withdraw the notices of approved decisions, in the approval's transaction.

    The database reads from the applications what each notice is to say (sql/0023/notices.sql).  The
    履约证明 of a year lapses where an obligation has changed, or a notice has come.  The caller holds
    the accounts' locks.
    """
    asked = {"ids": [case.id for case in cases]}
    with _notice_errors():
        notices = dict(db.session.execute(_CARRY_OUT, asked).all())
    db.session.execute(_LOG, {**asked, **actor.as_parameters(now)})
    decisions = {case.id: Decision.read(case.proposal) for case in cases}
    changed = [
        notices[id_]
        for id_, decision in decisions.items()
        if _obligation(decision.before) != _obligation(decision.after)
    ]
    attestations.lapse(changed, actor, now)
    db.session.expire_all()


def _obligation(terms: Any) -> int:
    return terms.obligation if terms else 0


def terms_of(notice_id: int) -> Terms | None:
    """Return what a notice says now; None where there is none, or it is withdrawn."""
    obligation = db.session.scalar(_OBLIGATION, {"id": notice_id})
    return None if obligation is None else Terms(obligation)


# Locking and reading --------------------------------------------------------------------------


def surrender_figures() -> Any:
    """Return a lateral subquery of a notice's surrendered and pending tonnes, and `last_at`.

    The sums make the planner evaluate the view per notice, not for all of them before the join.
    """
    return (
        select(
            *(
                cast(func.coalesce(func.sum(each), 0), BigInteger).label(each.name)
                for each in notice_surrender.c
                if each.name not in ("notice_id", "last_at")
            ),
            func.max(notice_surrender.c.last_at).label("last_at"),
        )
        .where(notice_surrender.c.notice_id == Notice.id)
        .correlate(Notice)
        .lateral("figures")
    )


def lock(
    notice_ids: Sequence[int], actor: Actor, outcome: NoticeOutcome, now: datetime
) -> list[LockedNotice]:
    """Lock accounts, then notices, and read their figures; missing ones are refused in ``outcome``."""
    assert actor.account_id is None, "an enterprise changes no notice"
    accounts = db.session.scalars(
        _LOCK_ACCOUNTS_OF, {"ids": list(notice_ids), "province": actor.province}
    ).all()
    asked = {"ids": list(notice_ids), "accounts": list(accounts)}
    locked = set(db.session.scalars(_LOCK_NOTICES, asked))
    for id_ in notice_ids:
        if id_ not in locked:
            outcome.refused[id_] = NotFound(_("There is no such compliance notice"))
    figures, plan = surrender_figures(), plans_on(now.astimezone(BEIJING).date())
    rows = db.session.execute(
        select(
            Notice.id,
            Notice.number,
            Notice.account_id,
            Notice.year,
            Notice.obligation,
            Notice.sector,
            plan.c.surrender_by.label("deadline"),
            Notice.reminded_at,
            *figures.c,
        )
        .select_from(Notice)
        .join(figures, text("true"))
        .join(plan, (plan.c.year == Notice.year) & (plan.c.sector == Notice.sector))
        .where(Notice.id.in_(locked))
        .order_by(Notice.id)
    )
    return [LockedNotice(**row._mapping) for row in rows]


# Writing --------------------------------------------------------------------------------------


def record(
    action: str,
    notices: Sequence[LockedNotice],
    actor: Actor,
    details: Sequence[dict[str, Any]],
    document_no: str,
) -> None:
    """Write one row of the operation log for each notice, in one statement."""
    document = {"document_no": document_no.strip()} if document_no else {}
    db.session.execute(
        insert(OperationLog),
        [
            {
                "member_id": actor.member_id,
                "member_no": actor.member_no,
                "ip": actor.ip,
                "certificate": actor.certificate,
                "action": action,
                "subject": each.number,
                "account_id": each.account_id,
                "detail": detail | document,
            }
            for each, detail in zip(notices, details, strict=True)
        ],
    )


@contextmanager
def _notice_errors() -> Iterator[None]:
    """Translate violations of the notices' constraints into RuleErrors; others propagate."""
    try:
        yield
    except IntegrityError as error:
        constraint = violated(error)
        if constraint == "obligation_covers_surrendered":
            raise RuleError(
                _("More has been surrendered meanwhile: refund it first (surrender refunds)"),
                field="obligation",
                code="surrendered_meanwhile",
            ) from error
        if constraint in ("notice_as_decided", "notice_once"):
            raise RuleError(
                _("The notice is another one by now; send the application back and enter it anew"),
                code="changed_meanwhile",
            ) from error
        raise


_LOCK_ACCOUNTS_OF = typed(
    """
    WITH asked AS MATERIALIZED (SELECT account_id FROM notice WHERE id = ANY(:ids))
    SELECT id FROM account
     WHERE id IN (SELECT account_id FROM asked)
       AND (CAST(:province AS text) IS NULL OR province = :province)
     ORDER BY id FOR NO KEY UPDATE
    """,
    ids=Integer,
)

_LOCK_NOTICES = typed(
    """
    SELECT id FROM notice WHERE id = ANY(:ids) AND account_id IN (SELECT unnest(:accounts))
       AND withdrawn_at IS NULL
     ORDER BY id FOR NO KEY UPDATE
    """,
    ids=Integer,
    accounts=Integer,
)

_OBLIGATION = text("SELECT obligation FROM notice WHERE id = :id AND withdrawn_at IS NULL")

_CARRY_OUT = typed("SELECT * FROM carry_out_notices(:ids)", ids=BigInteger)

_LOG = typed(
    """
    INSERT INTO operation_log (member_id, member_no, ip, certificate, action, subject, account_id,
                               detail)
    SELECT CAST(:member AS integer), :member_no, :ip, :certificate,
           CASE WHEN c.before IS NULL THEN 'notice.issued' WHEN c.terms IS NULL THEN 'notice.withdrawn'
                ELSE 'notice.changed' END,
           n.number, n.account_id,
           jsonb_build_object('application', a.number, 'year', n.year, 'sector', n.sector,
                              'before', c.before, 'after', c.after)
      FROM notice_change c JOIN notice n ON n.id = c.notice_id
      JOIN application a ON a.id = c.application_id
     WHERE c.application_id = ANY(:ids) ORDER BY c.id
    """,
    ids=BigInteger,
)
