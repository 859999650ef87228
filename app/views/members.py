"""系统管理: the members, who of them is signed in, and whose number is locked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Account, LoginSession, Member
from app.operations import log
from app.operations.actor import Actor
from app.security import lockout, members, sessions
from app.security.manager import current_login, permissions
from app.security.roles import ROLES, codes_of, require_compatible
from app.views.listing import Action, BulkAction, BulkResult, Column, Filter, ListPage, back_url

METHODS = {
    "password": _("Password"),
    "certificate": _("USBKey"),
    "soft_certificate": _("Soft certificate"),
}


def _actor() -> Actor:
    return Actor.of(g.user, request.remote_addr or "")


def _may(permission: str, view: BaseView) -> bool:
    return (f"can_{permission}", view.class_permission_name) in permissions()


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
