"""What the lists of members (administrators) and of operators (an enterprise) share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from flask import abort, flash, redirect
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, func, select

from app.domain.errors import NotFound, RuleError
from app.extensions import db, transaction
from app.models import LoginSession, Member
from app.operations.accounts import operators
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.views.applications import signing
from app.views.applications.form import Required
from app.views.applications.texts import StringField
from app.views.lists.columns import Column
from app.views.lists.listing import ListPage, RowAction, back_url
from app.views.page import SignedAct
from app.views.people import deeds
from app.views.people.certificates import HOLDINGS, change_action, holding

STATE = Column(
    "is_active",
    _("State"),
    kind="status",
    choices={True: (_("Enabled"), "green"), False: (_("Disabled"), "red")},
)
CERTIFICATE = Column("certificate", _("Certificate"), kind="status", choices=HOLDINGS)
LAST_SIGN_IN = Column("last_at", _("Last sign-in"), kind="datetime")


def email_field() -> Any:
    """The address for the link and the 参考号."""
    return StringField(
        _("E-mail"),
        [Required()],
        render_kw={"maxlength": 254},
        description=_("First-sign-in link and reference number are sent there"),
    )


def phone_field() -> Any:
    """The number for the 授权码."""
    return StringField(
        _("Mobile phone"),
        [Required()],
        render_kw={"maxlength": 30},
        description=_("The authorisation code is sent there"),
    )


def read_person(form: Any, name: str) -> dict[str, Any] | None:
    """Return name, e-mail and phone normalised, or None with the errors at their fields."""
    values, wrong = operators.read(name, form.phone.data or "", form.email.data or "")
    for field, message in wrong.items():
        form[field if field in form else "email"].errors = [message]
    return None if wrong else values


def switch_acts(acts: ModuleType, of: str, permission: str) -> dict[str, SignedAct]:
    """Return 停用 and 启用 as acts that are signed; ``of`` is what their names begin with."""

    def act(verb: Callable[[int, Actor], Member], title: Any, done: Any) -> SignedAct:
        def carry_out(values: Mapping[str, Any], actor: Actor, _signature: int | None) -> str:
            found = select(Member.id).where(Member.username == values["member"])
            verb(db.session.scalars(found).one(), actor)
            return str(done) % {"name": values["member"]}

        return SignedAct(title, permission, carry_out, _shown)

    return {
        f"{of}.disable": act(acts.disable, _("Disable"), _("%(name)s is disabled.")),
        f"{of}.enable": act(acts.enable, _("Enable"), _("%(name)s is enabled.")),
    }


def _shown(values: Mapping[str, Any]) -> list[tuple[Any, str]]:
    return [(_("Member number"), values["member"]), (_("Name"), values["name"])]


class PeopleList(ListPage):
    """A list of people who can be enabled and disabled, by acts of `switch_acts`."""

    people_are: str  # what the names of those acts begin with
    titles: Mapping[str, Any]  # of roles

    def people(self, *more: Any) -> Select[Any]:
        """Select members with roles, state, certificate and last sign-in; and more columns."""
        titles = {code: str(title) for code, title in self.titles.items()}
        held = (
            select(func.string_agg(case(titles, value=Role.name, else_=Role.name), "、"))
            .join(assoc_user_role, assoc_user_role.c.role_id == Role.id)
            .where(assoc_user_role.c.user_id == Member.id)
        )
        last = select(clock.shown(func.max(LoginSession.created_at))).where(
            LoginSession.member_id == Member.id
        )
        return select(
            Member.id,
            Member.account_id,
            Member.username.label("member_no"),
            Member.first_name.label("name"),
            held.correlate(Member).scalar_subquery().label("roles"),
            func.coalesce(Member.active, False).label("is_active"),
            *holding(),
            last.correlate(Member).scalar_subquery().label("last_at"),
            *more,
        )

    def act(
        self, label: Any, endpoint: str, row: Any, question: Any, *, is_dangerous: bool = False
    ) -> RowAction:
        """Return a button whose confirmation names the member."""
        return RowAction(
            label,
            self.url(endpoint, member_id=row.id),
            method="post",
            confirm=str(question) % {"name": f"{row.member_no} {row.name}"},
            is_dangerous=is_dangerous,
        )

    def certificate_actions(self, row: Any) -> Iterable[RowAction]:
        """Sending codes for a first certificate, and changing the current one."""
        if row.is_active and not row.had_certificate:
            yield self.first_certificate_action(row)
        if row.certificate_id:
            yield change_action(row)

    def first_certificate_action(self, row: Any) -> RowAction:
        """The step towards a first certificate that is the representative's or 安全管理员's."""
        label = _("Send codes") if row.certificate == "none" else _("Send codes again")
        question = _("Send %(name)s the codes of a certificate? Those sent before lapse.")
        return self.act(label, "send_codes", row, question)

    def switch_action(self, row: Any) -> RowAction:
        if row.is_active:
            question = _("Disable %(name)s? The sessions end, the certificates are suspended.")
            return self.act(_("Disable"), "disable", row, question, is_dangerous=True)
        question = _("Enable %(name)s? Suspended certificates stay suspended.")
        return self.act(_("Enable"), "enable", row, question)

    @expose("/<int:member_id>/disable", methods=["POST"])
    @has_access
    @permission_name("switch")
    def disable(self, member_id: int) -> Any:
        return self._switch(f"{self.people_are}.disable", member_id)

    @expose("/<int:member_id>/enable", methods=["POST"])
    @has_access
    @permission_name("switch")
    def enable(self, member_id: int) -> Any:
        return self._switch(f"{self.people_are}.enable", member_id)

    def _switch(self, name: str, member_id: int) -> Any:
        """Carry out an act, or ask for its signature; flash its refusal."""
        member = db.session.get(Member, member_id) or abort(404)
        values = {"member": member.username, "name": member.first_name}
        return self._or_back(lambda: signing.at_once(self, name, values, self.back()))

    def carry_out(self, act: Callable[[], Member], done: Any) -> Any:
        """Run an act and flash its success or refusal."""

        def carried_out() -> Any:
            with transaction():
                name = act().username
            return self.done(str(done) % {"name": name})

        return self._or_back(carried_out)

    def deed(self, name: str, member_id: int, **words: str) -> Any:
        """Have an act on a person's certificate signed, or flash its refusal."""
        member = db.session.get(Member, member_id) or abort(404)
        return self._or_back(lambda: deeds.begin(name, deeds.Subject(member), self.back(), **words))

    def _or_back(self, act: Callable[[], Any]) -> Any:
        """Return the answer of an act, or flash why it is refused and return to the list."""
        try:
            return act()
        except NotFound:
            raise
        except RuleError as error:
            flash(str(error), "danger")
            return redirect(self.back())

    def form_about(self, title: str, form: Any, facts: list[Any], **more: Any) -> Any:
        return self.form_page(title, form, crumb=title, facts=facts, cancel_url=self.back(), **more)

    def done(self, text: str) -> Any:
        """Flash a success and return to the list."""
        flash(text, "success")
        return redirect(self.back())

    def back(self) -> str:
        """Return the address of the list with its conditions."""
        return back_url(self.url("list"))
