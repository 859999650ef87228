"""The officers' desk: an application of the registry about an enterprise that is chosen first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, g, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select

from app.domain.texts import folded
from app.domain.workflow import Status
from app.extensions import db
from app.models import Account, Application, Member
from app.models.account import has_part
from app.operations.records.actor import Actor
from app.security.roles import OFFICERS, REGISTRY_MAKER
from app.security.scope import in_scope, scoped
from app.views.applications.desk import ApplicationDesk
from app.views.lists.listing import Conditions, RowAction
from app.views.page import current_actor, named_in_address


class OfficerDesk(ApplicationDesk):
    # Confirmed by a second officer in ReviewView.
    grants = {OFFICERS: "list export show", REGISTRY_MAKER: "write"}

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        """Ask for the enterprise, then show the form."""
        return self.choose() or super().new()

    def choose(self) -> Any:
        """Return the page for choosing the enterprise; nothing once the address names it."""
        return None if "account" in request.args else choose_account(self, self.form_title)

    def account_id(self) -> int:
        return chosen_account().id

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        account = db.session.get_one(Account, account_id)
        return [
            (_("Member number"), account.member_no, "code"),
            (_("Member name"), account.name, "text"),
            (
                _("Account status"),
                _("Restricted") if account.is_restricted else _("Normal"),
                "text",
            ),
        ]

    def next_step(self, application: Application) -> Any:
        return gettext("Another officer of the registry confirms it")

    def actor(self) -> Actor:
        return current_actor()


class OfOffices:
    """Of a desk of several authorities: each goes on with what it entered alone."""

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add whose decision it is."""
        office = select(Member.province).where(Member.id == Application.created_by)
        found: Select[Any] = super().rows(conditions)  # type: ignore[misc]
        return found.add_columns(office.scalar_subquery().label("office"))

    def actions(self, row: Any) -> Iterable[RowAction]:
        """Only the authority that entered it goes on with it."""
        found = super().actions(row)  # type: ignore[misc]
        if row.office != g.user.province:
            return (each for each in found if each.url == self.url("show", id=row.id))  # type: ignore[attr-defined]
        return found

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        """Only the authority that entered it goes on with it."""
        entered_by = db.session.get(Member, application.created_by)
        if entered_by and entered_by.province == g.user.province:
            yield from super().detail_actions(application, status)  # type: ignore[misc]

    def next_step(self, application: Application) -> Any:
        return gettext("Another officer of the same authority approves it")


class Revocable:
    """Of a desk of decisions that can be revoked: each approved one offers it."""

    def actions(self, row: Any) -> Iterable[RowAction]:
        """Add the way to the revocation."""
        yield from super().actions(row)  # type: ignore[misc]
        if row.status == Status.APPROVED and self.may("write", "RevocationView"):  # type: ignore[attr-defined]
            yield RowAction(_("Revoke the decision"), url_for("RevocationView.new", of=row.number))


MOST_ACCOUNTS = 20


def chosen_account() -> Account:
    """Return the enterprise that the address names, or abort with 404 where it is not in scope."""
    account = db.session.get(Account, named_in_address("account"))
    if (
        account is None
        or account.kind != "enterprise"
        or account.closed_at
        or not in_scope(account.id, g.user)
    ):
        abort(404)
    return account


def choose_account(page: Any, title: Any) -> Any:
    """Search for an enterprise in scope by prefix of its number or part of its name."""
    asked = (request.args.get("q") or "").strip().replace("\x00", "")[:100]
    statement = scoped(select(Account).where(Account.is_open()), Account.id, g.user)
    if asked:
        statement = statement.where(
            Account.member_no.startswith(folded(asked), autoescape=True)
            | has_part(Account.name, asked)
        )
    found = statement.order_by(Account.member_no).limit(MOST_ACCOUNTS)
    return page.render_template(
        "applications/choose_account.html",
        title=title,
        asked=asked,
        rows=db.session.scalars(found).all(),
        most=MOST_ACCOUNTS,
        url=lambda account: page.url("new", account=account.id),
        cancel_url=page.url("list"),
    )
