"""A page for a switch of an enterprise: how it stands, its button, and the history of its changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask import abort, flash, g, redirect
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select

from app.domain.errors import RuleError
from app.extensions import db
from app.models import Account, Member
from app.operations.records.actor import Actor
from app.views.applications import signing
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction
from app.views.page import SignedAct

CHANGED_AT = Column("changed_at", _("Changed at"), kind="datetime")
CHANGED_BY = (Column("changed_by", _("Changed by")), Column("ip", _("IP address"), kind="code"))
CHANGED_FILTER = Filter("changed", _("Changed on"), kind="date_range", on=("changed_at",))


class SwitchPage(ListPage):
    """A switch of an enterprise.  Labels, questions and results are pairs: to switch off, and on."""

    account_column = "account_id"
    flag: str  # the column of `Account`
    history: Any  # the model of its changes,
    recorded: str  # and its column that says what a change led to
    states: Mapping[bool, tuple[Any, str]]
    labels: tuple[Any, Any]
    questions: tuple[Any, Any]
    results: tuple[Any, Any]
    dangerous_state: bool
    act: str  # its name, of a change that is signed

    def __init_subclass__(cls) -> None:
        """Declare the change as an act that is signed."""
        super().__init_subclass__()
        cls.signed_acts = {cls.act: SignedAct(cls.title, "switch", cls._carry_out, cls._shown)}

    @classmethod
    def change(cls, actor: Actor, *, is_on: bool) -> None:
        """Switch the actor's enterprise.  Raises RuleError where a rule refuses it."""
        raise NotImplementedError

    @classmethod
    def _carry_out(cls, values: Mapping[str, Any], actor: Actor, _signature: int | None) -> str:
        is_on = values[cls.recorded] == "true"
        cls.change(actor, is_on=is_on)
        return str(cls.results[is_on])

    @classmethod
    def _shown(cls, values: Mapping[str, Any]) -> list[tuple[Any, str]]:
        state = cls.states[values[cls.recorded] == "true"][0]
        return [(_("Member number"), values["account"]), (_("Changed to"), str(state))]

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return every change."""
        change = self.history
        return (
            select(
                change.id,
                change.account_id,
                change.changed_at,
                getattr(change, self.recorded),
                change.ip,
                Account.member_no,
                Account.name.label("account"),
                Member.first_name.label("changed_by"),
            )
            .join(Account, Account.id == change.account_id)
            .join(Member, Member.id == change.changed_by)
        )

    def state(self) -> tuple[Any, str] | None:
        """Return how the enterprise's switch stands; officers see many."""
        return self.states[self._is_on()] if g.user.account_id is not None else None

    def tools(self) -> Iterable[RowAction]:
        """The button names the state that it leads to."""
        if not self.may("switch"):
            return
        is_on = self._is_on()
        yield RowAction(
            self.labels[not is_on],
            self.url("switch", to="off" if is_on else "on"),
            method="post",
            confirm=str(self.questions[not is_on]),
            icon="toggle-right" if is_on else "toggle-left",
            is_dangerous=self.dangerous_state is not is_on,
        )

    @expose("/switch/<to>", methods=["POST"])
    @has_access
    @permission_name("switch")
    def switch(self, to: str) -> Any:
        """Switch it on or off."""
        if to not in ("on", "off") or g.user.account_id is None:
            abort(404)
        account, page = db.session.get_one(Account, g.user.account_id), self.url("list")
        values = {"account": account.member_no, self.recorded: str(to == "on").lower()}
        try:
            return signing.at_once(self, self.act, values, page)
        except RuleError as error:
            flash(str(error), "warning")
            return redirect(page)

    def _is_on(self) -> bool:
        return bool(getattr(db.session.get_one(Account, g.user.account_id), self.flag))
