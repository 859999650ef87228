"""系统管理: the members: registering them, letting them in, their certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import abort, flash, g, redirect, request, url_for
from flask_appbuilder import BaseView, expose, has_access
from flask_appbuilder.security.decorators import permission_name
from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from sqlalchemy import Select, case, func, select
from wtforms import SelectField

from app.domain.errors import NotFound, RuleError
from app.domain.masking import mask_email, mask_phone
from app.domain.regions import PROVINCES
from app.extensions import db, transaction
from app.models import Account, LoginSession, Member
from app.operations.accounts import operators
from app.operations.people import certificates, letters, officers
from app.operations.records import clock, log
from app.operations.records.actor import Actor
from app.operations.records.sign_in_notice import NO_ADDRESS
from app.security import members, sessions
from app.security.manager import permissions
from app.security.roles import ROLES, codes_of, require_compatible, title_of
from app.views.applications.form import Required, choices_of
from app.views.applications.texts import StringField, TextAreaField
from app.views.lists.listing import Action, Column, Filter, ListPage, back_url
from app.views.people.certificates import HOLDINGS, change_action, holding


def _actor() -> Actor:
    return Actor.of(g.user, request.remote_addr or "")


def _may(permission: str, view: BaseView) -> bool:
    return (f"can_{permission}", view.class_permission_name) in permissions()


class MemberForm(FlaskForm):
    """Who is to be registered: an officer, a province or an administrator."""

    number = StringField(_("Member number"), [Required()], render_kw={"maxlength": 12})
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
    email = StringField(
        _("E-mail"),
        [Required()],
        render_kw={"maxlength": 254},
        description=_("First-sign-in link and reference number are sent there"),
    )
    phone = StringField(
        _("Mobile phone"),
        [Required()],
        render_kw={"maxlength": 30},
        description=_("The authorisation code is sent there"),
    )


class ContactForm(FlaskForm):
    """Where a member's letters go."""

    email, phone = MemberForm.email, MemberForm.phone


class ReasonForm(FlaskForm):
    """Why a replacement is asked for."""

    reason = TextAreaField(
        _("Reason for the application"),
        [Required()],
        render_kw={"rows": 3, "maxlength": officers.LONGEST_REASON},
    )


class RoleForm(FlaskForm):
    """The one role that a member is to have."""

    role = SelectField(_("Role"))


class MemberView(ListPage):
    """用户列表: who can sign in, with which role and scope."""

    route_base = "/members"
    title = _("Members")
    account_column = None  # Officers belong to no account; only administrators see this page.
    columns = (
        Column("member_no", _("Member number"), "code"),
        Column("name", _("Name")),
        Column("roles", _("Role")),
        Column("account", _("Enterprise")),
        Column("province", _("Province code"), "code", is_shown=False),
        Column(
            "is_active",
            _("State"),
            "status",
            choices={True: (_("Enabled"), "green"), False: (_("Disabled"), "red")},
        ),
        Column("certificate", _("Certificate"), "status", choices=HOLDINGS),
        Column("last_at", _("Last sign-in"), "datetime"),
        Column("password_changed_at", _("Password set at"), "datetime", is_shown=False),
    )
    filters = (
        Filter("member_no", _("Member number"), "prefix"),
        Filter("name", _("Name"), on=("name", "account")),
        Filter(
            "role",
            _("Role"),
            "choice",
            choices={r.code: r.title for r in ROLES.values()},
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
            "The system administrator registers, the security administrator has the codes sent; a"
            " replacement is asked for by the one and confirmed by the other."
        ),
        _(
            "Enterprises' people get their certificates by opening, operators' page and replacement."
        ),
    )

    def rows(self, conditions: Any) -> Select[Any]:
        """Return the members with role, account and last sign-in."""
        titles = {code: str(role.title) for code, role in ROLES.items()}
        held = (
            select(func.string_agg(case(titles, value=Role.name, else_=Role.name), "、"))
            .join(assoc_user_role, assoc_user_role.c.role_id == Role.id)
            .where(assoc_user_role.c.user_id == Member.id)
        )
        last = select(func.max(LoginSession.created_at)).where(LoginSession.member_id == Member.id)
        query = select(
            Member.id,
            Member.username.label("member_no"),
            Member.first_name.label("name"),
            held.correlate(Member).scalar_subquery().label("roles"),
            Account.name.label("account"),
            Member.province,
            func.coalesce(Member.active, False).label("is_active"),
            *holding(),
            Member.account_id,
            Member.password.is_(None).label("lacks_password"),
            last.correlate(Member).scalar_subquery().label("last_at"),
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

    def tools(self) -> Iterable[Action]:
        """新增用户 stands first."""
        if _may("add", self):
            yield Action(_("Add a member"), url_for("MemberView.new"), icon="plus")

    def actions(self, row: Any) -> Iterable[Action]:
        """Offer what the administrator may do with somebody else."""
        if row.id == g.user.id:
            return
        if row.account_id is None and row.is_active:
            yield from self._letting_in(row)
            yield from self._certifying(row)
        if _may("edit", self):
            yield Action(_("Change role"), url_for("MemberView.role", member_id=row.id))
            yield self._act(
                _("Reset password"),
                "reset",
                row,
                _("Reset the password of %(name)s? The sessions end."),
                is_dangerous=True,
            )
        if _may("switch", self) and row.is_active:
            question = _("Disable %(name)s? The sessions end, the certificates are suspended.")
            yield self._act(_("Disable"), "disable", row, question, is_dangerous=True)
        elif _may("switch", self):
            question = _("Enable %(name)s? Suspended certificates stay suspended.")
            yield self._act(_("Enable"), "enable", row, question)

    def _letting_in(self, row: Any) -> Iterable[Action]:
        """What 系统管理员 does: where letters go, and the first-sign-in link."""
        if not _may("add", self):
            return
        yield Action(_("Contact details"), url_for("MemberView.contact", member_id=row.id))
        if row.lacks_password:
            question = _("Send %(name)s a new first-sign-in link? The one sent before lapses.")
            yield self._act(_("Send the link again"), "invite", row, question)

    def _certifying(self, row: Any) -> Iterable[Action]:
        """What 安全管理员 has sent or asks for, and 系统管理员 confirms."""
        if _may("certify", self) and not row.had_certificate:
            label = _("Send codes") if row.certificate == "none" else _("Send codes again")
            question = _("Send %(name)s the codes of a certificate? Those sent before lapse.")
            yield self._act(label, "send_codes", row, question)
        if _may("certify", self) and row.certificate_id:
            yield change_action(row)
        if _may("certify", self) and row.had_certificate:
            address = url_for("MemberView.replace", member_id=row.id)
            yield Action(_("Ask for a replacement"), address)
        if _may("confirm", self) and row.certificate == "asked":
            question = _("Confirm the replacement for %(name)s? New codes are sent.")
            yield self._act(_("Confirm the replacement"), "confirm", row, question)

    def _act(
        self, label: Any, endpoint: str, row: Any, question: Any, *, is_dangerous: bool = False
    ) -> Action:
        """Return a button that asks first, naming the member."""
        return Action(
            label,
            url_for(f"MemberView.{endpoint}", member_id=row.id),
            method="post",
            confirm=str(question) % {"name": f"{row.member_no} {row.name}"},
            is_dangerous=is_dangerous,
        )

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("add")
    def new(self) -> Any:
        """Show the form, or register somebody and have the link sent."""
        form = MemberForm()
        if form.validate_on_submit() and self._register(form):
            flash(gettext("The member was added; the first-sign-in link is on its way."), "success")
            return redirect(back_url(url_for("MemberView.list")))
        return self._form(gettext("Add a member"), form, [])

    def _register(self, form: MemberForm) -> bool:
        values = _read(form, form.name.data or "")
        if values is None:
            return False
        newcomer = members.NewMember(
            (form.number.data or "").strip(),
            role=form.role.data or "",
            province=form.province.data or None,
            **values,
        )
        return _carried_out(form, "number", lambda: self._let_in(newcomer))

    def _let_in(self, newcomer: members.NewMember) -> None:
        member_id = members.register_officer(newcomer)
        log.record(_actor(), "member.add", subject=newcomer.member_no, role=newcomer.role)
        officers.invite(member_id, _actor(), now=clock.now())

    @expose("/<int:member_id>/contact", methods=["GET", "POST"])
    @has_access
    @permission_name("add")
    def contact(self, member_id: int) -> Any:
        """Change where a member's letters go."""
        member = _officer(member_id)
        form = ContactForm()
        values = _read(form, member.first_name) if form.validate_on_submit() else None
        if values:
            values.pop("name")
            if _carried_out(
                form, "email", lambda: officers.set_contact(member_id, actor=_actor(), **values)
            ):
                flash(gettext("The contact details were changed."), "success")
                return redirect(back_url(url_for("MemberView.list")))
        facts = [
            (_("E-mail"), mask_email(_address(member)), "text"),
            (_("Mobile phone"), mask_phone(member.phone), "text"),
        ]
        return self._form(gettext("Contact details"), form, [*_facts(member), *facts])

    @expose("/<int:member_id>/invite", methods=["POST"])
    @has_access
    @permission_name("add")
    def invite(self, member_id: int) -> Any:
        """Have the first-sign-in link sent again."""
        return self._sent(lambda: officers.invite(member_id, _actor(), now=clock.now()))

    @expose("/<int:member_id>/send-codes", methods=["POST"])
    @has_access
    @permission_name("certify")
    def send_codes(self, member_id: int) -> Any:
        """Have the codes of a first certificate sent."""
        return self._sent(lambda: officers.send_codes(member_id, _actor()))

    @expose("/<int:member_id>/confirm", methods=["POST"])
    @has_access
    @permission_name("confirm")
    def confirm(self, member_id: int) -> Any:
        """Confirm the replacement that another administrator asked for."""
        return self._sent(lambda: officers.confirm_replacement(member_id, _actor()))

    def _sent(self, act: Callable[[], Member]) -> Any:
        """Carry out what sends letters; say that they are on their way, or why not."""
        try:
            with transaction():
                name = act().username
        except NotFound:
            abort(404)
        except RuleError as error:
            flash(str(error), "danger")
        else:
            flash(gettext("The letters to %(name)s are on their way.", name=name), "success")
        return redirect(back_url(url_for("MemberView.list")))

    @expose("/<int:member_id>/replace", methods=["GET", "POST"])
    @has_access
    @permission_name("certify")
    def replace(self, member_id: int) -> Any:
        """Ask for a certificate in place of a lost one."""
        member, form = _officer(member_id), ReasonForm()
        reason = (form.reason.data or "").strip()
        if form.validate_on_submit() and _carried_out(
            form,
            "reason",
            lambda: officers.ask_replacement(member_id, _actor(), reason=reason),
        ):
            flash(gettext("The replacement waits for the system administrator."), "success")
            return redirect(back_url(url_for("MemberView.list")))
        return self._form(gettext("Ask for a replacement"), form, _facts(member))

    @expose("/<int:member_id>/disable", methods=["POST"])
    @has_access
    @permission_name("switch")
    def disable(self, member_id: int) -> Any:
        """Keep a member out from now on."""
        return self._switch(member_id, is_active=False)

    @expose("/<int:member_id>/enable", methods=["POST"])
    @has_access
    @permission_name("switch")
    def enable(self, member_id: int) -> Any:
        """Let a member in again."""
        return self._switch(member_id, is_active=True)

    @expose("/<int:member_id>/reset", methods=["POST"])
    @has_access
    @permission_name("edit")
    def reset(self, member_id: int) -> Any:
        """Give a member a new first password and show it, this once."""
        _require_other(member_id)
        with transaction():
            member, password = members.reset_password(member_id)
            log.record(_actor(), "password.reset", subject=member.username)
            facts = [
                (gettext("Member number"), member.username, "code"),
                (gettext("First password"), password, "code"),
            ]
        result = {
            "title": gettext("The password was reset"),
            "message": gettext("Tell it to the member; it is shown this once."),
            "facts": facts,
            "back_url": back_url(url_for("MemberView.list")),
        }
        return self.render_template("parts/result.html", result=result)

    @expose("/<int:member_id>/role", methods=["GET", "POST"])
    @has_access
    @permission_name("edit")
    def role(self, member_id: int) -> Any:
        """Give a member another role of the same row scope."""
        _require_other(member_id)
        member = db.session.get_one(Member, member_id)
        before = codes_of(member)
        form = RoleForm(role=before[0] if before else "")
        form.role.choices = [(code, ROLES[code].title) for code in _roles_for(member)]
        back = back_url(url_for("MemberView.list"))
        if form.validate_on_submit():
            with transaction():
                members.assign_role(member_id, form.role.data)
                sessions.end_others(member_id, None, "forced")
                log.record(
                    _actor(),
                    "member.role",
                    subject=member.username,
                    before=before,
                    after=[form.role.data],
                )
            flash(gettext("The role was changed."), "success")
            return redirect(back)
        g.crumb = gettext("Change role")
        return self.render_template(
            "administration/form.html",
            title=gettext("Change role"),
            form=form,
            facts=[
                (gettext("Member number"), member.username, "code"),
                (gettext("Name"), member.first_name),
            ],
            submit_label=gettext("Save"),
            cancel_url=back,
            help=[gettext("The member's sessions end; the new role counts from the next sign-in.")],
        )

    def _form(self, title: str, form: Any, facts: list[Any]) -> Any:
        g.crumb = title
        shown = self.render_template(
            "administration/form.html",
            title=title,
            form=form,
            facts=facts,
            submit_label=gettext("Save"),
            cancel_url=back_url(url_for("MemberView.list")),
            help=self.help[-2:],
        )
        return shown, 400 if form.is_submitted() else 200

    def _switch(self, member_id: int, *, is_active: bool) -> Any:
        _require_other(member_id)
        with transaction():
            member = members.set_active(member_id, is_active)
            name = member.username
            log.record(_actor(), "member.enable" if is_active else "member.disable", subject=name)
            if not is_active:
                certificates.suspend_all(member_id, _actor(), now=letters.real_time())
        done = gettext("%(name)s is enabled.", name=name)
        if not is_active:
            done = gettext("%(name)s is disabled.", name=name)
        flash(done, "success")
        return redirect(back_url(url_for("MemberView.list")))


def _officer(member_id: int) -> Member:
    """Return somebody of no enterprise, or answer 404; `officers` decides what may be done."""
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


def _address(member: Member) -> str:
    return "" if member.email.endswith(NO_ADDRESS) else member.email


def _read(form: Any, name: str) -> dict[str, str] | None:
    """Return name, e-mail and phone as they are kept; what is wrong stands at its field."""
    values, wrong = operators.read(name, form.phone.data or "", form.email.data or "")
    for field, message in wrong.items():
        form[field if field in form else "email"].errors = [message]
    return None if wrong else values


def _carried_out(form: Any, usual: str, act: Callable[[], Any]) -> bool:
    """Carry out an act in a transaction; a refusal stands at its field."""
    try:
        with transaction():
            act()
    except NotFound:
        abort(404)
    except RuleError as error:
        form[error.field if error.field in form else usual].errors = [str(error)]
        return False
    return True


def _require_other(member_id: int) -> None:
    """Refuse an unknown member, and an administrator's grip on the own account."""
    if db.session.get(Member, member_id) is None:
        abort(404)
    if member_id == g.user.id:
        raise RuleError(_("You cannot do this to yourself"), code="own_account")


def _roles_for(member: Member) -> list[str]:
    """Return the roles that fit the member's row scope."""
    fitting = []
    for code in ROLES:
        try:
            require_compatible([code], account_id=member.account_id, province=member.province)
        except RuleError:
            continue
        fitting.append(code)
    return fitting
