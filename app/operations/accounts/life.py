"""The life of accounts: what its rules read, and how accounts, instruments and classes' rights change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BigInteger, Integer, bindparam, select, text
from sqlalchemy.exc import IntegrityError

from app.domain.accounts import Life, Obstacle, shares_of
from app.domain.errors import RuleError
from app.domain.kinds.accounts.bankruptcy import BankruptcyAdministrator
from app.domain.kinds.accounts.closure import (
    AccountClosure,
    AccountRetirement,
    ClosureByOffice,
    InstrumentRetirement,
)
from app.domain.kinds.accounts.succession import AccountSuccession
from app.domain.workflow import Case
from app.extensions import db, violated
from app.models import Member, parameter
from app.operations.people import certificates, letters, members
from app.operations.records import log
from app.operations.records.actor import Actor
from app.operations.records.columns import typed

_LEAVING = {AccountClosure.code, ClosureByOffice.code, AccountSuccession.code}
_UNUSED = {AccountRetirement.code, InstrumentRetirement.code}


def gather(cases: Sequence[Case], rows: Sequence[Any], today: date) -> Life:
    """Read what the rules about accounts' lives read; ``rows`` are those of the cases' accounts."""
    return Life(
        closed=frozenset(row.account_id for row in rows if row.is_closed),
        classes={row.account_id: row.holder_class for row in rows},
        # The state's own accounts apply for nothing; each kind says itself what concerns them.
        rights={
            row.account_id: frozenset(row.rights or ())
            for row in rows
            if row.holder_class != "state"
        },
        obstacles={case.id: obstacles(case) for case in cases if case.kind in _LEAVING},
        uses={case.id: uses(case) for case in cases if case.kind in _UNUSED},
        successors=_successors(cases, today),
        insolvent=_insolvent(cases),
        persons_admitted=parameter.settings(db.session)["persons_admitted"]
        if any(case.kind == "account_opening" for case in cases)
        else False,
        without_paper=_without_paper(cases),
    )


def obstacles(case: Case) -> list[Obstacle]:
    """Return what an account has or owes, besides what its application itself holds."""
    return _read(_OBSTACLES, who=case.account_id, but=case.id)


def obstacles_of(account_id: int) -> list[Obstacle]:
    """Return what an account has or owes, for its page."""
    return _read(_OBSTACLES, who=account_id, but=0)


def uses(case: Case) -> list[Obstacle]:
    """Return what an account or an instrument was used for."""
    if case.kind == InstrumentRetirement.code:
        return _read(_INSTRUMENT_USES, who=case.proposal.get("instrument") or 0)
    return [
        *_read(_USES, who=case.account_id, but=case.id),
        *(each for each in obstacles(case) if each.what != "tonnes"),
    ]


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Close or retire the accounts of approved applications; nobody of them signs in any more.

    The database looks for what is left once more, with everything locked.  Raises RuleError.
    """
    for case in cases:
        of_account = select(Member.id).where(
            Member.account_id == case.account_id, Member.active.is_(True)
        )
        for member_id in sorted(db.session.scalars(of_account)):
            members.disable(member_id, actor)
            certificates.revoke_all(
                member_id, "cessationOfOperation", actor, now=letters.real_time()
            )
    end(cases, actor, now)


def end(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Write that accounts, or instruments, have ended."""
    with _end_errors():
        db.session.execute(_CLOSE, {"ids": [case.id for case in cases]})
    for case in cases:
        log.record(
            actor, f"carry_out.{case.kind}", subject=case.number, account_id=case.account_id,
            **{name: case.proposal[name] for name in ("code",) if name in case.proposal},
        )  # fmt: skip
    db.session.expire_all()


def change_rights(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Write versions of classes' rights as two officers approved them."""
    db.session.execute(_CHANGE_RIGHTS, {"ids": [case.id for case in cases]})
    for case in cases:
        log.record(actor, "account_class.change", subject=case.number, **case.proposal)


@contextmanager
def _end_errors() -> Iterator[None]:
    """Translate violations of the guards of ends into RuleErrors; others propagate."""
    try:
        yield
    except IntegrityError as error:
        if violated(error) not in ("ends_unused", "ends_as_approved"):
            raise
        raise RuleError(
            _("Something came meanwhile that keeps it from ending; send the application back"),
            code="not_empty_meanwhile",
        ) from error


def _read(statement: Any, **asked: int) -> list[Obstacle]:
    return [Obstacle(*row) for row in db.session.execute(statement, asked)]


def _successors(cases: Sequence[Case], today: date) -> frozenset[int]:
    named = [each.account_id for case in cases if case.kind == AccountSuccession.code
             for each in shares_of(case.proposal)]  # fmt: skip
    if not named:
        return frozenset()
    return frozenset(db.session.scalars(_MAY_HOLD, {"accounts": named, "today": today}))


def _insolvent(cases: Sequence[Case]) -> dict[int, int]:
    accounts = [case.account_id for case in cases if case.kind == BankruptcyAdministrator.code]
    if not accounts:
        return {}
    return dict(db.session.execute(_INSOLVENT, {"accounts": accounts}).all())


def _without_paper(cases: Sequence[Case]) -> frozenset[int]:
    ids = [case.id for case in cases if case.kind == BankruptcyAdministrator.code]
    return frozenset(db.session.scalars(_WITHOUT_PAPER, {"ids": ids})) if ids else frozenset()


_OBSTACLES = text("SELECT * FROM account_obstacles(:who, :but)").bindparams(
    bindparam("who", type_=Integer), bindparam("but", type_=BigInteger)
)
_USES = text("SELECT * FROM account_uses(:who, :but)").bindparams(
    bindparam("who", type_=Integer), bindparam("but", type_=BigInteger)
)
_INSTRUMENT_USES = text("SELECT * FROM instrument_uses(:who)").bindparams(
    bindparam("who", type_=Integer)
)
_CLOSE = typed("SELECT carry_out_closures(:ids)", ids=BigInteger)
_CHANGE_RIGHTS = typed("SELECT carry_out_class_rules(:ids)", ids=BigInteger)
_MAY_HOLD = typed(
    """
    SELECT id FROM account
     WHERE id = ANY(:accounts) AND closed_at IS NULL
       AND 'hold' = ANY (class_rights_on(holder_class, :today))
    """,
    accounts=Integer,
)
_INSOLVENT = typed(
    "SELECT account_id, member_id FROM bankruptcy WHERE account_id = ANY(:accounts)",
    accounts=Integer,
)
_WITHOUT_PAPER = typed(
    """
    SELECT a.id FROM application a WHERE a.id = ANY(:ids)
       AND NOT EXISTS (SELECT FROM attachment t WHERE t.application_id = a.id)
    """,
    ids=BigInteger,
)
