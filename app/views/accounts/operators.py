"""账户管理: the operators of an enterprise (操作员管理), and whether one checks the other (操作复核)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, flash, g, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from sqlalchemy import Select, case, func, select
from wtforms import BooleanField

from app.domain.errors import RuleError
from app.domain.masking import mask_email, mask_phone
from app.extensions import db, transaction
from app.models import Account, ColleagueReviewChange, LoginSession, Member
from app.operations.accounts import accounts, operators
from app.operations.accounts.operators import CHECKER, MAKER
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.security import lockout, sessions
from app.views.applications.form import Required
from app.views.applications.texts import StringField
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Action, Conditions, ListPage, back_url
from app.views.people.certificates import HOLDINGS, change_action, holding

# What the representative's people may do, in short words.
DUTIES = {
    "enterprise": _("The account representative"),
    MAKER: _("Enters and submits"),
    CHECKER: _("Says yes or no"),
}


class OperatorForm(FlaskForm):
    """Who is to act for the enterprise, and as what."""

    name = StringField(_("Person's name"), [Required()], render_kw={"maxlength": 64})
    phone = StringField(
        _("Mobile phone"),
        [Required()],
        render_kw={"maxlength": 30},
        description=_("The authorisation code is sent there"),
    )
    email = StringField(
        _("E-mail"),
        [Required()],
        render_kw={"maxlength": 254},
        description=_("First-sign-in link and reference number are sent there"),
    )
    maker = BooleanField(
        _("Enters"), description=_("Fills in applications and submits them; sees everything")
    )
    checker = BooleanField(
        _("Says yes or no"), description=_("Says yes or no to what a colleague submitted")
    )

    def roles(self) -> list[str]:
        """Return the roles that are ticked."""
        return [role for role in (MAKER, CHECKER) if self[role.partition("_")[2]].data]

    def refuse(self, field: str, message: Any) -> None:
        """Put what is wrong at its field."""
        name = "maker" if field == "roles" else field
        self[name].errors = [*self[name].errors, message]


class DutyForm(FlaskForm):
    """What an operator may do."""

    maker, checker = OperatorForm.maker, OperatorForm.checker
    roles, refuse = OperatorForm.roles, OperatorForm.refuse


def _actor() -> Actor:
    return Actor.of(g.user, request.remote_addr or "")


class OperatorView(ListPage):
    """操作员管理: who acts for the enterprise."""

    route_base = "/operators"
    title = _("Operators")
    account_column = "account_id"
    columns = (
        Column("member_no", _("Member number"), kind="code"),
        Column("name", _("Person's name")),
        Column("duties", _("Duties")),
        Column("email", _("E-mail")),
        Column(
            "is_active",
            _("State"),
            kind="status",
            choices={True: (_("Enabled"), "green"), False: (_("Disabled"), "red")},
        ),
        Column("certificate", _("Certificate"), kind="status", choices=HOLDINGS),
        Column("last_at", _("Last sign-in"), kind="datetime"),
    )
    filters = (
        Filter("member_no", _("Member number"), kind="prefix", on=("member_no",)),
        Filter("name", _("Person's name"), on=("name",)),
    )
    help = (
        _("The account representative appoints the operators; each has a number and a password"),
        _(
            "Who enters fills in and submits; who reviews says yes or no to what a colleague submitted"
        ),
        _(
            "A new operator gets first-sign-in link and reference number by mail, the authorisation"
            " code by text message; codes can be sent again until a certificate was fetched"
        ),
        _(
            "After a loss suspend or revoke the certificate at once; the registry sends a replacement"
        ),
        _("When an operator leaves, disable the operator and revoke the certificate"),
        _(
            "A disabled operator's sessions end at once, and the certificate is suspended; what they did"
            " stays on record. Enabling does not resume the certificate: resume it here, too"
        ),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return the enterprise's people; addresses are masked in exports, too."""
        titles = {code: str(title) for code, title in DUTIES.items()}
        held = (
            select(func.string_agg(case(titles, value=Role.name, else_=Role.name), "、"))
            .join(assoc_user_role, assoc_user_role.c.role_id == Role.id)
            .where(assoc_user_role.c.user_id == Member.id)
        )
        last = select(func.max(LoginSession.created_at)).where(LoginSession.member_id == Member.id)
        masked = func.regexp_replace(Member.email, "^(.{1,2})[^@]*@", r"\1***@")
        return select(
            Member.id,
            Member.account_id,
            Member.username.label("member_no"),
            Member.first_name.label("name"),
            held.correlate(Member).scalar_subquery().label("duties"),
            case((Member.email.endswith("@members.invalid"), ""), else_=masked).label("email"),
            func.coalesce(Member.active, False).label("is_active"),
            *holding(),
            last.correlate(Member).scalar_subquery().label("last_at"),
        ).where(Member.account_id.is_not(None))

    def tools(self) -> Iterable[Action]:
        """新增操作员 stands first."""
        if self._may_write():
            yield Action(_("Add an operator"), url_for("OperatorView.new"), icon="plus")

    def actions(self, row: Any) -> Iterable[Action]:
        """Offer what the representative may do with an operator."""
        if not self._may_write() or row.id == g.user.id:
            return
        name = f"{row.member_no} {row.name}"
        if row.is_active and not row.had_certificate:
            yield Action(
                _("Send codes") if row.certificate == "none" else _("Send codes again"),
                url_for("OperatorView.send_codes", member_id=row.id),
                method="post",
                confirm=gettext(
                    "Send %(name)s the codes of a certificate? Those sent before lapse.", name=name
                ),
            )
        if row.certificate_id:
            yield change_action(row)
        yield Action(_("Change duties"), url_for("OperatorView.duties", member_id=row.id))
        yield Action(
            _("Reset"),
            url_for("OperatorView.reset", member_id=row.id),
            method="post",
            confirm=gettext(
                "Reset %(name)s? The password no longer counts, and a new link is sent.", name=name
            ),
            is_dangerous=True,
        )
        question = gettext("Enable %(name)s? Suspended certificates stay suspended.", name=name)
        if row.is_active:
            question = gettext(
                "Disable %(name)s? The sessions end, the certificates are suspended.", name=name
            )
        yield Action(
            _("Disable") if row.is_active else _("Enable"),
            url_for(
                "OperatorView.disable" if row.is_active else "OperatorView.enable", member_id=row.id
            ),
            method="post",
            confirm=question,
            is_dangerous=bool(row.is_active),
        )

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        """Show the form, or register an operator."""
        form = OperatorForm()
        if form.validate_on_submit():
            member = self._add(form)
            if member:
                text = gettext(
                    "Operator %(number)s was added; the first letters are on their way",
                    number=member.username,
                )
                flash(text, "success")
                return redirect(url_for("OperatorView.list"))
        return self._form_page(gettext("Add an operator"), form, [])

    def _add(self, form: OperatorForm) -> Member | None:
        typed = [form[name].data or "" for name in ("name", "phone", "email")]
        values, wrong = operators.read(*typed)
        for name, message in wrong.items():
            form.refuse(name, message)
        if wrong:
            return None
        try:
            with transaction():
                return operators.add(_actor(), **values, roles=form.roles(), now=clock.now())
        except RuleError as error:
            form.refuse(error.field or "name", str(error))
            return None

    @expose("/<int:member_id>/duties", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def duties(self, member_id: int) -> Any:
        """Let an operator do other things."""
        member = self._operator(member_id)
        held = {role.name for role in member.roles}
        form = DutyForm(maker=MAKER in held, checker=CHECKER in held)
        if form.validate_on_submit():
            try:
                with transaction():
                    operators.set_roles(member_id, form.roles(), _actor())
                    sessions.end_others(member_id, None, "forced")
            except RuleError as error:
                form.refuse("roles", str(error))
            else:
                flash(gettext("The duties were changed"), "success")
                return redirect(back_url(url_for("OperatorView.list")))
        facts = [
            (_("Member number"), member.username, "code"),
            (_("Person's name"), member.first_name, "text"),
            (_("Mobile phone"), mask_phone(member.phone), "text"),
            (_("E-mail"), mask_email(member.email), "text"),
        ]
        return self._form_page(gettext("Change duties"), form, facts)

    @expose("/<int:member_id>/disable", methods=["POST"])
    @has_access
    @permission_name("write")
    def disable(self, member_id: int) -> Any:
        """Keep an operator out from now on."""
        return self._switch(member_id, is_active=False)

    @expose("/<int:member_id>/enable", methods=["POST"])
    @has_access
    @permission_name("write")
    def enable(self, member_id: int) -> Any:
        """Let an operator in again."""
        return self._switch(member_id, is_active=True)

    @expose("/<int:member_id>/reset", methods=["POST"])
    @has_access
    @permission_name("write")
    def reset(self, member_id: int) -> Any:
        """Take the password away and send a new link."""
        name = self._operator(member_id).username
        with transaction():
            operators.reset(member_id, _actor(), now=clock.now())
            sessions.end_others(member_id, None, "password")
            lockout.unlock([name])
        flash(gettext("%(name)s was reset; a new link is on its way", name=name), "success")
        return redirect(back_url(url_for("OperatorView.list")))

    @expose("/<int:member_id>/send-codes", methods=["POST"])
    @has_access
    @permission_name("write")
    def send_codes(self, member_id: int) -> Any:
        """Have the two codes sent, by mail and by text message."""
        name = self._operator(member_id).username
        try:
            with transaction():
                operators.send_codes(member_id, _actor(), now=clock.now())
        except RuleError as error:
            flash(str(error), "danger")
        else:
            flash(gettext("The codes of %(name)s are on their way", name=name), "success")
        return redirect(back_url(url_for("OperatorView.list")))

    def _switch(self, member_id: int, *, is_active: bool) -> Any:
        name = self._operator(member_id).username
        try:
            with transaction():
                operators.set_active(member_id, _actor(), is_active=is_active)
                if not is_active:
                    sessions.end_others(member_id, None, "inactive")
        except RuleError as error:
            flash(str(error), "danger")
        else:
            done = gettext("%(name)s is disabled.", name=name)
            if is_active:
                done = gettext("%(name)s is enabled.", name=name)
            flash(done, "success")
        return redirect(back_url(url_for("OperatorView.list")))

    def _operator(self, member_id: int) -> Member:
        """Return an operator of the representative's enterprise, or answer 404."""
        member = db.session.get(Member, member_id)
        if member is None or member.account_id != g.user.account_id or member.id == g.user.id:
            abort(404)
        return member

    def _form_page(self, title: str, form: Any, facts: list[Any]) -> Any:
        g.crumb = title
        shown = self.render_template(
            "administration/form.html",
            title=title,
            form=form,
            facts=facts,
            submit_label=gettext("Save"),
            cancel_url=back_url(url_for("OperatorView.list")),
            help=self.help,
        )
        return shown, 400 if form.is_submitted() else 200

    def _may_write(self) -> bool:
        return bool(self.appbuilder.sm.has_access("can_write", self.class_permission_name))


class ColleagueReviewView(ListPage):
    """操作复核: the switch, and the history of its changes."""

    route_base = "/operators/review"
    title = _("Colleague's review")
    account_column = "account_id"
    columns = (
        Column("changed_at", _("Changed at"), kind="datetime"),
        Column(
            "is_on",
            _("Changed to"),
            kind="status",
            choices={True: (_("Switched on"), "green"), False: (_("Switched off"), "grey")},
        ),
        Column("changed_by", _("Changed by")),
        Column("ip", _("IP address"), kind="code"),
    )
    filters = (Filter("changed", _("Changed on"), kind="date_range", on=("changed_at",)),)
    help = (
        _(
            "On: what one operator submits waits in the list To review of the others until one agrees"
        ),
        _(
            "The tonnes are held from the submission on; a transfer to trading needs the yes by 15:00"
        ),
        _("Off: a submission goes on at once; what waits already still needs its yes"),
        _("Two people have to be able to say yes before it can be switched on"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return every switch."""
        return select(
            ColleagueReviewChange.id,
            ColleagueReviewChange.account_id,
            ColleagueReviewChange.changed_at,
            ColleagueReviewChange.is_on,
            ColleagueReviewChange.ip,
            Member.first_name.label("changed_by"),
        ).join(Member, Member.id == ColleagueReviewChange.changed_by)

    def state(self) -> tuple[Any, str]:
        """Say whether it is on."""
        is_on = db.session.get_one(Account, g.user.account_id).needs_colleague
        return (_("Switched on"), "green") if is_on else (_("Switched off"), "grey")

    def tools(self) -> Iterable[Action]:
        """The switch: it names the state that it leads to."""
        if not self.appbuilder.sm.has_access("can_switch", self.class_permission_name):
            return
        is_on = db.session.get_one(Account, g.user.account_id).needs_colleague
        yield Action(
            _("Switch the colleague's review off")
            if is_on
            else _("Switch the colleague's review on"),
            url_for("ColleagueReviewView.switch", to="off" if is_on else "on"),
            method="post",
            confirm=gettext("One person alone may then submit. Continue?")
            if is_on
            else gettext("Every submission then needs a second operator's yes. Continue?"),
            icon="toggle-right" if is_on else "toggle-left",
            is_dangerous=is_on,
        )

    @expose("/switch/<to>", methods=["POST"])
    @has_access
    @permission_name("switch")
    def switch(self, to: str) -> Any:
        """Switch it on or off."""
        if to not in ("on", "off") or g.user.account_id is None:
            abort(404)
        try:
            with transaction():
                accounts.ask_colleagues(
                    g.user.account_id, _actor(), asks=to == "on", now=clock.now()
                )
        except RuleError as error:
            flash(str(error), "warning")
        else:
            done = gettext("The colleague's review is off")
            if to == "on":
                done = gettext("The colleague's review is on")
            flash(done, "success")
        return redirect(url_for("ColleagueReviewView.list"))
