"""系统管理: members and who is signed in, the logs, the trading calendar and the clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from flask import abort, flash, g, redirect, request, url_for
from flask_appbuilder import BaseView, expose, has_access
from flask_appbuilder.security.decorators import permission_name
from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from sqlalchemy import Select, case, func, select
from wtforms import BooleanField, SelectField, StringField
from wtforms.validators import Length

from app.domain.errors import RuleError
from app.domain.kinds import KINDS
from app.domain.trading_day import BEIJING
from app.domain.workflow import ACTION_TITLES
from app.extensions import db, transaction
from app.models import Account, LoginRecord, LoginSession, Member, OperationLog, TradingDay
from app.operations import calendar, clock, log
from app.operations.actor import Actor
from app.security import lockout, members, sessions
from app.security.manager import current_login, permissions
from app.security.roles import ROLES, codes_of, require_compatible
from app.views.listing import Action, BulkAction, BulkResult, Column, Filter, ListPage, back_url

OUTCOMES = {
    "signed_in": (_("Signed in"), "green"),
    "wrong_password": (_("Wrong password"), "red"),
    "unknown": (_("Unknown member number"), "red"),
    "malformed": (_("Not a member number"), "red"),
    "locked": (_("Locked"), "red"),
    "inactive": (_("Member disabled"), "red"),
    "wrong_captcha": (_("Wrong captcha"), "amber"),
    "certificate_refused": (_("Certificate refused"), "red"),
}
METHODS = {
    "password": _("Password"),
    "certificate": _("USBKey"),
    "soft_certificate": _("Soft certificate"),
}
RESULTS = {
    "done": (_("Succeeded"), "green"),
    "refused": (_("Refused"), "red"),
    "started": (_("Started"), "blue"),
    "aborted": (_("Broken off"), "amber"),
}
ACTIONS = {
    "password.change": _("Changed the password"),
    "password.reset": _("Reset a password"),
    "member.disable": _("Disabled a member"),
    "member.add": _("Registered a member"),
    "member.enable": _("Enabled a member"),
    "member.role": _("Changed a member's role"),
    "member.unlock": _("Unlocked a member"),
    "session.end": _("Ended a session"),
    "calendar.change": _("Changed the trading calendar"),
    "parameter.set": _("Set a parameter"),
    "personal_data.read": _("Read personal data in clear"),
    "access.refused": _("Was refused a page or an act"),
    "clock.set": _("Set the clock"),
    "settlement.run": _("Ran the day-end settlement"),
    "transfer_permission.change": _("Changed the transfer permission"),
    "operator.add": _("Added an operator"),
    "operator.role": _("Changed an operator's duties"),
    "operator.enable": _("Enabled an operator"),
    "operator.disable": _("Disabled an operator"),
    "operator.reset": _("Reset an operator"),
    "colleague_review.change": _("Switched the colleague's review"),
    "list.export": _("Exported a list"),
    "attachment.add": _("Added an attachment"),
    "attachment.remove": _("Removed an attachment"),
    "attachment.download": _("Downloaded an attachment"),
    "attestation.download": _("Downloaded a certificate"),
    "notice.issue": _("Issued a compliance notice"),
    "notice.adjust": _("Adjusted an obligation"),
    "notice.scope": _("Adjusted the scope of compliance"),
    "notice.remind": _("Sent a reminder about compliance"),
    "account_opening.invite": _("Had the first letters sent again"),
    "member.first_sign_in": _("Chose the first password"),
    "certificate.open_enrolment": _("Gave the codes for a certificate"),
    "certificate.enrol": _("Applied for a certificate"),
    "certificate.issue": _("Was issued a certificate"),
    "certificate.suspend": _("Suspended a certificate"),
    "certificate.resume": _("Resumed a certificate"),
    "certificate.revoke": _("Revoked a certificate"),
    "certificate.publish_crl": _("Published the revocation list"),
    "job.start": _("Started a job"),
    "job.abort": _("Stopped a job"),
    **{
        f"{kind.code}.{action}": _("%(kind)s: %(action)s", kind=kind.title, action=title)
        for kind in KINDS.values()
        for action, title in ACTION_TITLES.items()
    },
}
# What the details of an act are called; whatever is not named here keeps its own name.
DETAILS = {
    "before": _("Before the change"),
    "after": _("After the change"),
    "comment": _("Comment"),
    "reason": _("Reason"),
    "fields": _("Fields"),
    "path": _("Address"),
    "conditions": _("Conditions"),
    "rows": _("Rows"),
    "is_allowed": _("Allowed"),
    "is_on": _("Switched on"),
    "roles": _("Roles"),
    "to_trading": _("Settled to trading, tonnes"),
    "to_registry": _("Settled to registry, tonnes"),
}


def _actor() -> Actor:
    return Actor.of(g.user, request.remote_addr or "")


def _may(permission: str, view: BaseView) -> bool:
    return (f"can_{permission}", view.class_permission_name) in permissions()


class LoginRecordView(ListPage):
    """登录日志: every attempt to sign in, good or bad."""

    route_base = "/login-records"
    title = _("Sign-in log")
    account_column = None  # Attempts with unknown numbers belong to nobody.
    columns = (
        Column("at", _("Time"), "datetime"),
        Column("member_no", _("Member number as typed"), "code"),
        Column("name", _("Name")),
        Column("outcome", _("Result"), "status", choices=OUTCOMES),
        Column("ip", _("IP address"), "code"),
        Column("user_agent", _("Browser"), is_shown=False),
    )
    filters = (
        Filter("member_no", _("Member number"), "prefix"),
        Filter("outcome", _("Result"), "choice", choices={k: v[0] for k, v in OUTCOMES.items()}),
        Filter("ip", _("IP address"), "exact"),
        Filter("at", _("Time"), "datetime_range"),
    )
    help = (_("Every attempt is kept; nobody can change or delete the records."),)

    def rows(self, conditions: Any) -> Select[Any]:
        """Return the attempts with the names of known members."""
        return select(
            LoginRecord.id,
            LoginRecord.at,
            LoginRecord.member_no,
            Member.first_name.label("name"),
            LoginRecord.outcome,
            LoginRecord.ip,
            LoginRecord.user_agent,
        ).outerjoin(Member, Member.id == LoginRecord.member_id)


class OnlineView(ListPage):
    """在线用户: the sessions that are alive, and 强退."""

    route_base = "/online"
    title = _("Members online")
    account_column = None  # For the security administrator alone, who sees everybody.
    columns = (
        Column("member_no", _("Member number"), "code"),
        Column("name", _("Name")),
        Column("ip", _("IP address"), "code"),
        Column("created_at", _("Signed in at"), "datetime"),
        Column("seen_at", _("Last seen"), "datetime"),
        Column("method", _("Signed in with"), choices=METHODS, is_shown=False),
        Column("user_agent", _("Browser"), is_shown=False),
    )
    filters = (
        Filter("member_no", _("Member number"), "prefix"),
        Filter("name", _("Name")),
        Filter("ip", _("IP address"), "exact"),
    )
    bulk = (
        BulkAction(
            "end", _("Force out"), _("End the %(count)s ticked sessions?"), is_dangerous=True
        ),
    )
    bulk_name = "member_no"
    help = (
        _("A session that is forced out ends at once; the member can sign in again."),
        _("To keep a member out, disable the member under Members."),
    )

    def rows(self, conditions: Any) -> Select[Any]:
        """Return the living sessions with their members."""
        return (
            select(
                LoginSession.id,
                Member.username.label("member_no"),
                Member.first_name.label("name"),
                LoginSession.ip,
                LoginSession.created_at,
                LoginSession.seen_at,
                LoginSession.method,
                LoginSession.user_agent,
            )
            .join(LoginSession.member)
            .where(sessions.online())
        )

    def actions(self, row: Any) -> Iterable[Action]:
        """Offer 强退, but not for the administrator's own session."""
        login = current_login()
        if _may("end", self) and not (login and login.id == row.id):
            yield Action(
                _("Force out"),
                url_for("OnlineView.end", session_id=row.id),
                method="post",
                confirm=gettext("Force out %(name)s?", name=f"{row.member_no} {row.name}"),
                is_dangerous=True,
            )

    def on_bulk(self, name: str, ids: Sequence[int]) -> BulkResult:
        """End the sessions; the administrator's own is left alone."""
        login = current_login()
        result = BulkResult()
        for session_id in ids:
            if login and login.id == session_id:
                result.refused[session_id] = gettext("This is your own session")
            elif _end_session(session_id):
                result.done.append(session_id)
            else:
                result.refused[session_id] = gettext("The session is over already")
        return result

    @expose("/<int:session_id>/end", methods=["POST"])
    @has_access
    @permission_name("end")
    def end(self, session_id: int) -> Any:
        """End one session at once."""
        with transaction():
            if not _end_session(session_id):
                abort(404)
        flash(gettext("The session was ended."), "success")
        return redirect(back_url(url_for("OnlineView.list")))


def _end_session(session_id: int) -> bool:
    """End a session that is alive and record it; tell whether there was one."""
    if not sessions.end([session_id], "forced"):
        return False
    login = db.session.get_one(LoginSession, session_id)
    log.record(_actor(), "session.end", subject=login.member.username)
    return True


class LockView(ListPage):
    """解锁: member numbers with failures in the last minutes, and whether they are locked."""

    route_base = "/locks"
    title = _("Locked members")
    account_column = None  # Numbers as typed; some belong to nobody.
    key = ("member_no",)
    columns = (
        Column("member_no", _("Member number as typed"), "code"),
        Column("name", _("Name")),
        Column("failures", _("Failures"), "number"),
        Column("last_at", _("Last failure"), "datetime"),
        Column(
            "is_locked",
            _("State"),
            "status",
            choices={True: (_("Locked"), "red"), False: (_("Not locked"), "grey")},
        ),
    )
    filters = (Filter("member_no", _("Member number"), "prefix"),)
    help = (
        _("How many failures lock a member number, and how long they count, is set by parameters."),
        _("Unlocking clears the failures, so that the member can sign in at once."),
    )

    def rows(self, conditions: Any) -> Select[Any]:
        """Return the numbers with failures that still count."""
        found = lockout.failures().subquery()
        return (
            select(
                found.c.member_no,
                Member.first_name.label("name"),
                found.c.failures,
                found.c.last_at,
                (found.c.failures >= lockout.per_member(db.session)).label("is_locked"),
            )
            .outerjoin(Member, Member.username == found.c.member_no)
            .where(found.c.member_no != "")
        )

    def actions(self, row: Any) -> Iterable[Action]:
        """Offer 解锁."""
        if _may("unlock", self):
            yield Action(
                _("Unlock"),
                url_for("LockView.unlock", member_no=row.member_no),
                method="post",
                confirm=gettext("Unlock %(name)s?", name=row.member_no),
            )

    @expose("/<member_no>/unlock", methods=["POST"])
    @has_access
    @permission_name("unlock")
    def unlock(self, member_no: str) -> Any:
        """Clear the failures of a member number."""
        with transaction():
            if not lockout.unlock([member_no]):
                abort(404)
            log.record(_actor(), "member.unlock", subject=member_no)
        flash(gettext("%(name)s was unlocked.", name=member_no), "success")
        return redirect(back_url(url_for("LockView.list")))


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
        Column("province", _("Province code"), "code"),
        Column(
            "is_active",
            _("State"),
            "status",
            choices={True: (_("Enabled"), "green"), False: (_("Disabled"), "red")},
        ),
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
        _("A disabled member's sessions end at once."),
        _("A reset password is shown once; the member has to change it at the next sign-in."),
        _("An administrator's role excludes every other role."),
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

    def actions(self, row: Any) -> Iterable[Action]:
        """Offer 停用 or 启用, 重置密码 and 修改角色; not to oneself."""
        if not _may("edit", self) or row.id == g.user.id:
            return
        name = f"{row.member_no} {row.name}"
        yield Action(_("Change role"), url_for("MemberView.role", member_id=row.id))
        yield Action(
            _("Reset password"),
            url_for("MemberView.reset", member_id=row.id),
            method="post",
            confirm=gettext("Reset the password of %(name)s? The sessions end.", name=name),
            is_dangerous=True,
        )
        if row.is_active:
            question = gettext("Disable %(name)s? The sessions end.", name=name)
        else:
            question = gettext("Enable %(name)s?", name=name)
        yield Action(
            _("Disable") if row.is_active else _("Enable"),
            url_for(
                "MemberView.disable" if row.is_active else "MemberView.enable", member_id=row.id
            ),
            method="post",
            confirm=question,
            is_dangerous=bool(row.is_active),
        )

    @expose("/<int:member_id>/disable", methods=["POST"])
    @has_access
    @permission_name("edit")
    def disable(self, member_id: int) -> Any:
        """Keep a member out from now on."""
        return self._switch(member_id, is_active=False)

    @expose("/<int:member_id>/enable", methods=["POST"])
    @has_access
    @permission_name("edit")
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
        return self.render_template("result.html", result=result)

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

    def _switch(self, member_id: int, *, is_active: bool) -> Any:
        _require_other(member_id)
        with transaction():
            member = members.set_active(member_id, is_active)
            name = member.username
            log.record(_actor(), "member.enable" if is_active else "member.disable", subject=name)
        done = gettext("%(name)s is enabled.", name=name)
        if not is_active:
            done = gettext("%(name)s is disabled.", name=name)
        flash(done, "success")
        return redirect(back_url(url_for("MemberView.list")))


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


class OperationLogView(ListPage):
    """操作日志: who did what, when, from where, with which result."""

    route_base = "/operation-log"
    title = _("Operation log")
    account_column = None  # The auditor sees all of it.
    columns = (
        Column("at", _("Time"), "datetime"),
        Column("member_no", _("Member number"), "code"),
        Column("name", _("Name")),
        Column("action", _("Act"), choices=ACTIONS),
        Column("subject", _("Object"), "code"),
        Column("account", _("Enterprise"), is_shown=False),
        Column("result", _("Result"), "status", choices=RESULTS),
        Column("ip", _("IP address"), "code"),
        Column("certificate", _("Certificate"), "code", is_shown=False),
    )
    filters = (
        Filter("member_no", _("Member number"), "prefix"),
        Filter("action", _("Act"), "choice", choices=ACTIONS),
        Filter("subject", _("Object"), "prefix"),
        Filter("at", _("Time"), "datetime_range"),
        Filter("result", _("Result"), "choice", choices={k: v[0] for k, v in RESULTS.items()}),
        Filter("ip", _("IP address"), "exact"),
    )
    help = (_("Written together with the act itself; nobody can change or delete it."),)

    def rows(self, conditions: Any) -> Select[Any]:
        """Return the acts with the names behind the numbers."""
        return (
            select(
                OperationLog.id,
                OperationLog.at,
                OperationLog.member_no,
                Member.first_name.label("name"),
                OperationLog.action,
                OperationLog.subject,
                Account.name.label("account"),
                OperationLog.result,
                OperationLog.ip,
                OperationLog.certificate,
            )
            .outerjoin(Member, Member.id == OperationLog.member_id)
            .outerjoin(Account, Account.id == OperationLog.account_id)
        )

    def actions(self, row: Any) -> Iterable[Action]:
        """Offer 详情."""
        if _may("show", self):
            yield Action(_("Details"), url_for("OperationLogView.show", log_id=row.id))

    @expose("/<int:log_id>")
    @has_access
    @permission_name("show")
    def show(self, log_id: int) -> Any:
        """Show one act with its details, before and after."""
        row = db.session.get(OperationLog, log_id) or abort(404)
        account = db.session.get(Account, row.account_id) if row.account_id else None
        title, tone = RESULTS.get(row.result, (row.result, "grey"))
        g.crumb = gettext("Details")
        detail = {
            "title": gettext("Operation log"),
            "number": str(row.id),
            "status": {"label": str(title), "tone": tone},
            "sections": [
                {
                    "items": [
                        (gettext("Time"), row.at, "datetime"),
                        (gettext("Member number"), row.member_no, "code"),
                        (gettext("Act"), str(ACTIONS.get(row.action, row.action))),
                        (gettext("Object"), row.subject, "code"),
                        (gettext("Enterprise"), account.name if account else ""),
                        (gettext("IP address"), row.ip, "code"),
                        (gettext("Certificate"), row.certificate, "code"),
                        *(
                            (str(DETAILS.get(name, name)), _written(value), "long")
                            for name, value in sorted((row.detail or {}).items())
                        ),
                    ]
                }
            ],
            "back_url": back_url(url_for("OperationLogView.list")),
        }
        return self.render_template("detail.html", detail=detail)


def _written(value: Any) -> str:
    return (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    )


class DayForm(FlaskForm):
    """Whether the exchange trades on a day, and why."""

    is_trading = BooleanField(_("Trading day"))
    note = StringField(_("Note"), [Length(max=100)])


class TradingCalendarView(ListPage):
    """交易日历: on which days the exchange trades."""

    route_base = "/calendar"
    title = _("Trading calendar")
    account_column = None  # Days belong to everybody.
    key = ("day",)
    columns = (
        Column("day", _("Day"), "date", is_sortable=True),
        Column(
            "is_trading",
            _("State"),
            "status",
            choices={True: (_("Trading day"), "green"), False: (_("Closed"), "grey")},
        ),
        Column("note", _("Note")),
        Column("changed_by", _("Changed by")),
    )
    filters = (
        Filter("day", _("Day"), "date_range"),
        Filter(
            "state",
            _("State"),
            "choice",
            choices={"trading": _("Trading day"), "closed": _("Closed")},
            applies=False,
        ),
    )
    usual_sort = "day"
    help = (
        _("Seeded from the published holidays; weekends are closed, make-up working weekends too."),
        _("Days of years not yet published are provisional: correct them when the notice is out."),
        _("A day that has been settled cannot be changed."),
    )

    def rows(self, conditions: Any) -> Select[Any]:
        """Return the days; without a condition from today on."""
        query = select(
            TradingDay.day,
            TradingDay.is_trading,
            TradingDay.note,
            Member.first_name.label("changed_by"),
        ).outerjoin(Member, Member.id == TradingDay.changed_by)
        state = conditions.get("state")
        if state:
            query = query.where(TradingDay.is_trading.is_(state == "trading"))
        if not conditions.get("day"):
            query = query.where(TradingDay.day >= clock.now().date())
        return query

    def actions(self, row: Any) -> Iterable[Action]:
        """Offer 修改."""
        if _may("edit", self):
            yield Action(_("Edit"), url_for("TradingCalendarView.edit", day=row.day.isoformat()))

    @expose("/<day>/edit", methods=["GET", "POST"])
    @has_access
    @permission_name("edit")
    def edit(self, day: str) -> Any:
        """Open or close a day."""
        row = _day(day)
        form = DayForm(is_trading=row.is_trading, note=row.note)
        back = back_url(url_for("TradingCalendarView.list"))
        if form.validate_on_submit():
            try:
                with transaction():
                    calendar.change_day(
                        row.day,
                        is_trading=form.is_trading.data,
                        note=form.note.data or "",
                        actor=_actor(),
                    )
            except RuleError as error:
                form.is_trading.errors = [str(error)]
            else:
                flash(gettext("The calendar was changed."), "success")
                return redirect(back)
        g.crumb = gettext("Edit")
        page = self.render_template(
            "administration/form.html",
            title=gettext("Trading calendar"),
            form=form,
            facts=[(gettext("Day"), _day(day).day, "date")],
            submit_label=gettext("Save"),
            confirm=gettext("Change the trading calendar for %(day)s?", day=day),
            cancel_url=back,
            help=[gettext("Transfers submitted before 15:00 of a trading day settle that day.")],
        )
        return page, 422 if form.errors else 200


def _day(text: str) -> TradingDay:
    try:
        row = db.session.get(TradingDay, date.fromisoformat(text))
    except ValueError:
        abort(404)
    return row or abort(404)


class ClockForm(FlaskForm):
    """A moment in Beijing."""

    at = StringField(
        _("New time"), description=_("YYYY-MM-DD HH:MM, in Beijing"), render_kw={"maxlength": 19}
    )


class ClockView(BaseView):
    """系统时钟: the business time, which the demonstration can move."""

    route_base = "/clock"
    default_view = "show"

    @expose("/", methods=["GET"])
    @has_access
    @permission_name("show")
    def show(self) -> Any:
        """Show the business time."""
        return self._page(ClockForm())

    @expose("/", methods=["POST"])
    @has_access
    @permission_name("set")
    def set(self) -> Any:
        """Move the clock of a demonstration; in production nobody can."""
        form = ClockForm()
        try:
            moment = _next_morning() if "next_morning" in request.form else _moment(form.at.data)
            with transaction():
                now = clock.set_to(moment, _actor())
        except RuleError as error:
            db.session.rollback()
            form.at.errors = [str(error)]
            return self._page(form), 422
        flash(gettext("It is now %(time)s.", time=f"{now:%Y-%m-%d %H:%M:%S}"), "success")
        return redirect(url_for("ClockView.show"))

    def _page(self, form: ClockForm) -> Any:
        now = clock.now()
        own = clock.has_own_clock()
        kind = gettext("A clock of its own") if own else gettext("The wall clock in Beijing")
        return self.render_template(
            "administration/form.html",
            title=gettext("System clock"),
            form=form if own else None,
            facts=[
                (gettext("Business time"), now, "datetime"),
                (gettext("Clock"), kind),
                (
                    gettext("Trading day"),
                    calendar.is_trading_day(now.date()),
                    "yes_no",
                ),
            ],
            submit_label=gettext("Set the clock"),
            quick=[(gettext("Next trading day, 10:00"), "next_morning", "1")],
            cancel_url=url_for("HomeView.index"),
            help=[
                gettext("The demonstration's clock runs on from where it is set."),
                gettext("In production business follows the wall clock and cannot be moved."),
            ],
        )


def _moment(text: str | None) -> datetime:
    """Read a moment in Beijing.  Raises RuleError where it is none."""
    try:
        moment = datetime.fromisoformat((text or "").strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None or not 2021 <= moment.year <= 2100:
        raise RuleError(_("Please enter a time like 2026-11-20 14:59"), field="at")
    return moment.replace(tzinfo=BEIJING)


def _next_morning() -> datetime:
    day = calendar.next_trading_day(clock.now().date())
    return datetime.combine(day, clock.MORNING, BEIJING)
