"""Row scope (全国 / 省 / 本单位): the one place that decides which rows a member may see."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import Select, SQLColumnExpression, false, select

from app.domain.errors import NotFound
from app.domain.kinds import KINDS
from app.domain.workflow import Party, Status
from app.extensions import db
from app.models import Account, Application, ApplicationParty
from app.security.roles import ROLES, codes_of

_FOR_RECEIVERS_AUTHORITY = [
    code for code, kind in KINDS.items() if Party.RECEIVER_AUTHORITY in kind.reviews
]


def scoped(statement: Select, account_column: SQLColumnExpression[Any], member: Any) -> Select:
    """Restrict a statement to the member's row scope, by the column of the rows' account."""
    match scope_of(member):
        case "account":
            return statement.where(account_column == member.account_id)
        case "province":
            accounts = select(Account.id).where(Account.province == member.province)
            return statement.where(account_column.in_(accounts))
        case "all":
            return statement
        case _:
            return statement.where(false())


def in_scope(account_id: int | None, member: Any) -> bool:
    """Tell whether an account is in the member's row scope."""
    match scope_of(member):
        case "account":
            return account_id is not None and account_id == member.account_id
        case "province":
            found = select(Account.id).where(Account.id == account_id)
            return db.session.scalar(scoped(found, Account.id, member)) is not None
        case "all":
            return account_id is not None
        case _:
            return False


def require_scope(account_id: int | None, member: Any) -> None:
    """Raise NotFound unless the account is in the member's row scope.

    Not a refusal, so that numbers cannot be probed.
    """
    if not in_scope(account_id, member):
        raise NotFound(_("There is no such record"))


def scoped_applications(
    statement: Select,
    id_: SQLColumnExpression[Any],
    account: SQLColumnExpression[Any],
    member: Any,
) -> Select:
    """Restrict a statement to applications in the member's row scope, or with them as receiver.

    A receiving enterprise sees the application once it is submitted (R105); so does its province,
    where it reviews it.
    """
    scope = scope_of(member)
    if scope not in ("account", "province"):
        return scoped(statement, account, member)
    asked = (
        select(ApplicationParty.application_id)
        .join(Application, Application.id == ApplicationParty.application_id)
        .where(
            Application.status != Status.DRAFT,
            Application.step >= 0,  # past 操作复核, where required
        )
    )
    if scope == "province":
        theirs = Account.province == member.province
        asked = asked.join(Account, Account.id == ApplicationParty.account_id)
        asked = asked.where(theirs, Application.kind.in_(_FOR_RECEIVERS_AUTHORITY))
        return statement.where(account.in_(select(Account.id).where(theirs)) | id_.in_(asked))
    asked = asked.where(ApplicationParty.account_id == member.account_id)
    # By the indexes of both, which an OR of them would leave aside.
    own = select(Application.id).where(Application.account_id == member.account_id)
    return statement.where(id_.in_(own.union_all(asked)))


def require_application(application_id: int, member: Any) -> None:
    """Raise NotFound unless the member may see this application."""
    found = scoped_applications(
        select(Application.id).where(Application.id == application_id),
        Application.id,
        Application.account_id,
        member,
    )
    if db.session.scalar(found) is None:
        raise NotFound(_("There is no such record"))


def scope_of(member: Any) -> str:
    """Return account (本单位), province (省), all (全国) or "" (nothing).

    National scope requires that every role has it: an enterprise's member without an account is a
    data error, not a registry officer.
    """
    if member is None or not getattr(member, "is_authenticated", True):
        return ""
    if member.account_id is not None:
        return "account"
    if member.province is not None:
        return "province"
    codes = codes_of(member)
    return "all" if codes and all(ROLES[code].scope == "all" for code in codes) else ""
