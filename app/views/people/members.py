"""系统管理: registering members, their sign-in and certificates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import wtforms
from flask import abort, g, redirect
from flask_appbuilder import expose, has_access
from flask_appbuilder.security.decorators import permission_name
from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select
from wtforms import SelectField

from app.domain.masking import mask_email, mask_phone
from app.domain.regions import PROVINCES
from app.domain.roles import scope_for
from app.extensions import db, transaction
from app.models import Account, Member
from app.operations.people import letters, members, officers
from app.operations.people.passwords import first_password
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.security.roles import (
    ADMINISTRATORS,
    ROLES,
    SECURITY_ADMIN,
    SYSTEM_ADMIN,
    codes_of,
    title_of,
)
from app.views.applications import signing
from app.views.applications.form import Required, choices_of
from app.views.applications.texts import StringField, TextAreaField
from app.views.chapters import ADMINISTRATION, MenuEntry
from app.views.lists.listing import Column, Filter, RowAction
from app.views.page import PageForm, SignedAct, carried_out, current_actor
from app.views.people import deeds
from app.views.people.people_list import (
    CERTIFICATE,
    LAST_SIGN_IN,
    STATE,
    PeopleList,
    email_field,
    phone_field,
    read_person,
    switch_acts,
)


class MemberForm(PageForm):
    """A new officer, province or administrator."""

    # The form of a number (operations/people/officers.py) refuses more than the rule of texts does.
    number = wtforms.StringField(_("Member number"), [Required()], render_kw={"maxlength": 12})
    name = StringField(_("Name"), [Required()], render_kw={"maxlength": 64})
    role = SelectField(
        _("Role"),
        [Required()],
        choices=choices_of(
            {role.code: role.title for role in ROLES.values() if role.scope != "account"},
            _("Please choose"),
        ),
        validate_choice=False,
    )
    province = SelectField(
        _("Province"),
        choices=choices_of(PROVINCES, _("Only for a provincial authority")),
        validate_choice=False,
    )
    email, phone = email_field(), phone_field()


class ContactForm(PageForm):
    """Where letters are sent."""

    email, phone = MemberForm.email, MemberForm.phone


class ReasonForm(PageForm):
    reason = TextAreaField(
        _("Reason for the application"),
        [Required()],
        render_kw={"rows": 3, "maxlength": officers.LONGEST_REASON},
    )


class RoleForm(PageForm):
    role = SelectField(_("Role"))


def _set_role(values: Mapping[str, Any], actor: Actor, _signature: int | None) -> str:
    """Change a member's role.  Raises RuleError."""
    found = select(Member.id).where(Member.username == values["member"])
    members.set_roles(db.session.scalars(found).one(), values["roles"], actor)
    return gettext("The role was changed.")


def shown_roles(values: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """Return a member and the new roles, for the signing page."""
    titles = "、".join(str(ROLES[code].title) for code in values["roles"])
    return [(_("Member number"), values["member"]), (_("Role"), titles)]


class MemberView(PeopleList):
    """用户列表: members with role and row scope."""

    route_base = "/members"
    title = _("Members")
    people_are = "member"
    titles = {code: role.title for code, role in ROLES.items()}
    menu = MenuEntry(ADMINISTRATION, 1)
    guide = {"administration": "用户列表"}
    grants = {
        ADMINISTRATORS: "list export",
        SYSTEM_ADMIN: "add switch confirm",
        SECURITY_ADMIN: "edit certify",
    }
    signed_acts = {
        "member.role": SignedAct(_("Change role"), "edit", _set_role, shown_roles),
        **switch_acts(members, "member", "switch"),
        "certificate.ask": deeds.signed_act("certificate.ask", "certify"),
        "certificate.confirm": deeds.signed_act("certificate.confirm", "confirm"),
    }
    account_column = None  # For administrators only.
    columns = (
        Column("member_no", _("Member number"), "code"),
        Column("name", _("Name")),
        Column("roles", _("Role")),
        Column("account", _("Enterprise")),
        Column("province", _("Province code"), "code", is_shown=False),
        STATE,
        CERTIFICATE,
        LAST_SIGN_IN,
        Column("password_changed_at", _("Password set at"), "datetime", is_shown=False),
    )
    filters = (
        Filter("member_no", _("Member number"), "prefix"),
        Filter("name", _("Name"), on=("name", "account")),
        Filter(
            "role",
            _("Role"),
            "choice",
            choices=titles,
            applies=False,
        ),
        Filter(
            "is_active",
            _("State"),
            "choice",
            choices={"true": _("Enabled"), "false": _("Disabled")},
            applies=False,
        ),
    )
    help = (
        _(
            "A disabled member's sessions end at once, and the certificates are suspended. Enabling"
            " does not resume them: the security administrator does, or the registry's officers for"
            " an enterprise's people."
        ),
        _("A reset password is shown once; the member has to change it at the next sign-in."),
        _("An administrator's role excludes every other role."),
        _(
            "The system administrator registers; every certificate is asked for by the security"
            " administrator and confirmed by the system administrator, each with a signature."
        ),
        _(
            "Enterprises' people get their certificates by opening, operators' page and replacement."
        ),
    )

    def rows(self, conditions: Any) -> Select[Any]:
        query = self.people(
            Account.name.label("account"),
            Member.province,
            Member.password.is_(None).label("lacks_password"),
            Member.password_changed_at,
        ).outerjoin(Account, Account.id == Member.account_id)
        role = conditions.get("role")
        if role:
            of_role = (
                select(assoc_user_role.c.user_id)
                .join(Role, Role.id == assoc_user_role.c.role_id)
                .where(Role.name == role)
            )
            query = query.where(Member.id.in_(of_role))
        state = conditions.get("is_active")
        return query.where(Member.active.is_(state == "true")) if state else query

    def tools(self) -> Iterable[RowAction]:
        if self.may("add"):
            yield RowAction(_("Add a member"), self.url("new"), icon="plus")

    def actions(self, row: Any) -> Iterable[RowAction]:
        """What the administrator may do with other members."""
        if row.id == g.user.id:
            return
        if row.account_id is None and row.is_active:
            if self.may("add"):
                yield from self._sign_in_actions(row)
            if self.may("certify"):
                yield from self._codes_and_replacement(row)
            if self.may("confirm") and row.certificate == "asked":
                question = _("Confirm the certificate of %(name)s? The codes are sent.")
                yield self.act(_("Confirm the certificate"), "confirm", row, question)
        if self.may("edit"):
            yield RowAction(_("Change role"), self.url("role", member_id=row.id))
            question = _("Reset the password of %(name)s? The sessions end.")
            yield self.act(_("Reset password"), "reset", row, question, is_dangerous=True)
        if self.may("switch"):
            yield self.switch_action(row)

    def _sign_in_actions(self, row: Any) -> Iterable[RowAction]:
        """Actions of 系统管理员."""
        yield RowAction(_("Contact details"), self.url("contact", member_id=row.id))
        if row.lacks_password:
            question = _("Send %(name)s a new first-sign-in link? The one sent before lapses.")
            yield self.act(_("Send the link again"), "invite", row, question)

    def _codes_and_replacement(self, row: Any) -> Iterable[RowAction]:
        """Actions of 安全管理员; 系统管理员 confirms a replacement."""
        yield from self.certificate_actions(row)
        if row.had_certificate:
            yield RowAction(_("Ask for a replacement"), self.url("replace", member_id=row.id))

    def first_certificate_action(self, row: Any) -> RowAction:
        """安全管理员 asks, 系统管理员 confirms."""
        question = _(
            "Ask for a certificate of %(name)s? The system administrator has to confirm it."
        )
        return self.act(_("Ask for a certificate"), "send_codes", row, question)

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("add")
    def new(self) -> Any:
        """Register a member and send the link."""
        form = MemberForm()
        if form.validate_on_submit() and self._register(form):
            return self.done(gettext("The member was added; the first-sign-in link is on its way."))
        return self.form_about(gettext("Add a member"), form, [], help=self.help[-2:])

    def _register(self, form: MemberForm) -> Any:
        values = read_person(form, form.name.data or "")
        if values is None:
            return None
        newcomer = members.NewMember(
            (form.number.data or "").strip(),
            role=form.role.data or "",
            province=form.province.data or None,
            **values,
        )
        return carried_out(
            form, lambda: officers.add(newcomer, current_actor(), now=clock.now()), "number"
        )

    @expose("/<int:member_id>/contact", methods=["GET", "POST"])
    @has_access
    @permission_name("add")
    def contact(self, member_id: int) -> Any:
        member, form = _officer(member_id), ContactForm()
        values = read_person(form, member.first_name) if form.validate_on_submit() else None
        if values and carried_out(
            form,
            lambda: officers.set_contact(
                member_id, values["email"], values["phone"], current_actor()
            ),
            "email",
        ):
            return self.done(gettext("The contact details were changed."))
        facts = [
            *_facts(member),
            (_("E-mail"), mask_email(member.address), "text"),
            (_("Mobile phone"), mask_phone(member.phone), "text"),
        ]
        return self.form_about(gettext("Contact details"), form, facts, help=self.help[-2:])

    @expose("/<int:member_id>/invite", methods=["POST"])
    @has_access
    @permission_name("add")
    def invite(self, member_id: int) -> Any:
        """Send a new first-sign-in link."""
        return self.carry_out(
            lambda: officers.invite(member_id, current_actor(), now=clock.now()),
            _("The letters to %(name)s are on their way."),
        )

    @expose("/<int:member_id>/send-codes", methods=["POST"])
    @has_access
    @permission_name("certify")
    def send_codes(self, member_id: int) -> Any:
        """Ask for the codes of a first certificate."""
        member = _officer(member_id)
        if letters.has_had_certificate(member.id):
            return redirect(self.url("replace", member_id=member.id))
        return self.deed("certificate.ask", member.id)

    @expose("/<int:member_id>/confirm", methods=["POST"])
    @has_access
    @permission_name("confirm")
    def confirm(self, member_id: int) -> Any:
        """Confirm the certificate that another administrator asked for."""
        return self.deed("certificate.confirm", _officer(member_id).id)

    @expose("/<int:member_id>/replace", methods=["GET", "POST"])
    @has_access
    @permission_name("certify")
    def replace(self, member_id: int) -> Any:
        """Ask for the replacement of a lost certificate."""
        member, form = _officer(member_id), ReasonForm()
        reason = (form.reason.data or "").strip()
        asked = form.validate_on_submit() and carried_out(
            form,
            lambda: deeds.begin(
                "certificate.ask", deeds.Subject(member), self.back(), reason=reason
            ),
            "reason",
        )
        if asked:
            return asked
        title = gettext("Ask for a replacement")
        return self.form_about(title, form, _facts(member), help=self.help[-2:])

    @expose("/<int:member_id>/reset", methods=["POST"])
    @has_access
    @permission_name("edit")
    def reset(self, member_id: int) -> Any:
        """Reset the password and show the new one, once."""
        password = first_password()
        with transaction():
            member = members.reset(member_id, current_actor(), first=password)
            facts = [
                (gettext("Member number"), member.username, "code"),
                (gettext("First password"), password, "code"),
            ]
        result = {
            "title": gettext("The password was reset"),
            "message": gettext("Tell it to the member; it is shown this once."),
            "facts": facts,
            "back_url": self.back(),
        }
        return self.render_template("parts/result.html", result=result)

    @expose("/<int:member_id>/role", methods=["GET", "POST"])
    @has_access
    @permission_name("edit")
    def role(self, member_id: int) -> Any:
        """Change the role within the same row scope."""
        member = db.session.get(Member, member_id) or abort(404)
        members.require_other(member_id, current_actor())
        form = RoleForm(role=next(iter(codes_of(member)), ""))
        scope = scope_for(member.account_id, member.province)
        form.role.choices = [(r.code, r.title) for r in ROLES.values() if r.scope == scope]
        if form.validate_on_submit():
            values = {"member": member.username, "roles": [form.role.data]}
            done = signing.carry_out(self, "member.role", values, form, "role", self.back())
            if done is not None:
                return done
        explained = [
            gettext("The member's sessions end; the new role counts from the next sign-in.")
        ]
        return self.form_about(
            gettext("Change role"), form, _facts(member)[:2], help=explained, refused=200
        )


def _officer(member_id: int) -> Member:
    """Return a member without an enterprise, or abort with 404; `officers` checks the permission."""
    member = db.session.get(Member, member_id)
    if member is None or member.account_id is not None:
        abort(404)
    return member


def _facts(member: Member) -> list[tuple[Any, ...]]:
    return [
        (_("Member number"), member.username, "code"),
        (_("Name"), member.first_name, "text"),
        (_("Role"), title_of(member), "text"),
    ]
