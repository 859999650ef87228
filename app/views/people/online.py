"""系统管理: 在线用户, 解锁 and 常用设备."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flask import abort, flash, redirect, url_for
from flask_appbuilder import expose, has_access
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select

from app.extensions import transaction
from app.models import KnownDevice, LoginSession, Member
from app.operations.people.members import unlock
from app.operations.people.sessions import force_out, forget_device
from app.operations.records import clock
from app.security import devices, lockout, sessions
from app.security.manager import current_login
from app.security.roles import SECURITY_ADMIN
from app.views.chapters import ADMINISTRATION, MenuEntry
from app.views.lists.listing import (
    BulkResult,
    Column,
    Filter,
    ListPage,
    RowAction,
    action,
    back_url,
    in_bulk,
)
from app.views.page import current_actor

METHODS = {
    "password": _("Password"),
    "certificate": _("USBKey"),
    "soft_certificate": _("Soft certificate"),
}


class OnlineView(ListPage):
    """在线用户: live sessions, and 强退."""

    route_base = "/online"
    title = _("Members online")
    menu = MenuEntry(ADMINISTRATION, 2)
    guide = {"administration": "在线用户"}
    grants = {SECURITY_ADMIN: "list export end bulk"}
    account_column = None  # For the security administrator only.
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
    bulk_name = "member_no"
    help = (
        _("A session that is forced out ends at once; the member can sign in again."),
        _("Its device is then no longer one of the member's known devices."),
        _("To keep a member out, disable the member under Members."),
    )

    def rows(self, conditions: Any) -> Select[Any]:
        return (
            select(
                LoginSession.id,
                Member.username.label("member_no"),
                Member.first_name.label("name"),
                LoginSession.ip,
                clock.shown(LoginSession.created_at).label("created_at"),
                clock.shown(LoginSession.seen_at).label("seen_at"),
                LoginSession.method,
                LoginSession.user_agent,
            )
            .join(LoginSession.member)
            .where(sessions.online())
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        """强退, but not of the administrator's own session."""
        login = current_login()
        if self.may("end") and not (login and login.id == row.id):
            yield RowAction(
                _("Force out"),
                url_for("OnlineView.end", session_id=row.id),
                method="post",
                confirm=gettext("Force out %(name)s?", name=f"{row.member_no} {row.name}"),
                is_dangerous=True,
            )

    @action("end", _("Force out"), _("End the %(count)s ticked sessions?"), single=False)
    @in_bulk(is_dangerous=True)
    def end_many(self, ids: Sequence[int]) -> BulkResult:
        """End the sessions, except the administrator's own."""
        login = current_login()
        result = BulkResult()
        for session_id in ids:
            if login and login.id == session_id:
                result.refused[session_id] = gettext("This is your own session")
            elif force_out(session_id, current_actor()):
                result.done.append(session_id)
            else:
                result.refused[session_id] = gettext("The session is over already")
        return result

    @expose("/<int:session_id>/end", methods=["POST"])
    @has_access
    @permission_name("end")
    def end(self, session_id: int) -> Any:
        with transaction():
            if not force_out(session_id, current_actor()):
                abort(404)
        flash(gettext("The session was ended."), "success")
        return redirect(back_url(url_for("OnlineView.list")))


class LockView(ListPage):
    """解锁: member numbers with recent failures, and whether they are locked."""

    route_base = "/locks"
    title = _("Locked members")
    menu = MenuEntry(ADMINISTRATION, 3)
    guide = {"administration": "登录解锁"}
    grants = {SECURITY_ADMIN: "list export unlock"}
    account_column = None  # Numbers as typed, some of them unknown.
    key = ("member_no",)
    columns = (
        Column("member_no", _("Member number as typed"), "code"),
        Column("name", _("Name")),
        Column("failures", _("Failures"), "number"),
        Column("last_at", _("Last failure"), "datetime"),
        Column(
            "state",
            _("State"),
            "status",
            choices={
                lockout.LOCKED: (_("Locked for unknown devices"), "red"),
                lockout.PARTLY: (_("Locked for an address or device"), "amber"),
                lockout.OPEN: (_("Not locked"), "grey"),
            },
        ),
    )
    filters = (Filter("member_no", _("Member number"), "prefix"),)
    help = (
        _(
            "How many failures lock a member number for an address or a known device, and how long they"
            " count, is set by parameters."
        ),
        _("After 50 failures from unknown devices only the member's known devices are let guess."),
        _("Unlocking clears the failures, so that the member can sign in at once."),
    )

    def rows(self, conditions: Any) -> Select[Any]:
        """Return the numbers with failures that still count."""
        found = lockout.failures().subquery()
        return select(
            found.c.member_no,
            Member.first_name.label("name"),
            found.c.failures,
            clock.shown(found.c.last_at).label("last_at"),
            found.c.state,
        ).outerjoin(Member, Member.username == found.c.member_no)

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("unlock"):
            yield RowAction(
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
            if not unlock(member_no, current_actor()):
                abort(404)
        flash(gettext("%(name)s was unlocked.", name=member_no), "success")
        return redirect(back_url(url_for("LockView.list")))


class DeviceView(ListPage):
    """常用设备: browsers that the lock of unknown ones does not stop, and ending one."""

    route_base = "/devices"
    title = _("Known devices")
    menu = MenuEntry(ADMINISTRATION, 12)
    guide = {"administration": "常用设备"}
    grants = {SECURITY_ADMIN: "list export end bulk"}
    account_column = None  # For the security administrator only.
    columns = (
        Column("member_no", _("Member number"), "code"),
        Column("name", _("Name")),
        Column("ip", _("IP address"), "code"),
        Column("created_at", _("Known since"), "datetime"),
        Column("seen_at", _("Last sign-in"), "datetime"),
        Column("user_agent", _("Browser")),
    )
    filters = (
        Filter("member_no", _("Member number"), "prefix"),
        Filter("name", _("Name")),
        Filter("ip", _("IP address"), "exact"),
    )
    bulk_name = "member_no"
    help = (
        _("A browser is known to a member for 90 days after a complete sign-in."),
        _("From it the member can sign in although strangers' failures have locked the number."),
        _("Ending one ends no session; the browser is known again after the next sign-in."),
    )

    def rows(self, conditions: Any) -> Select[Any]:
        return (
            select(
                KnownDevice.id,
                Member.username.label("member_no"),
                Member.first_name.label("name"),
                KnownDevice.ip,
                clock.shown(KnownDevice.created_at).label("created_at"),
                clock.shown(KnownDevice.seen_at).label("seen_at"),
                KnownDevice.user_agent,
            )
            .join(KnownDevice.member)
            .where(devices.lives())
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("end"):
            yield RowAction(
                _("End"),
                url_for("DeviceView.end", device_id=row.id),
                method="post",
                confirm=gettext(
                    "End the known device of %(name)s?", name=f"{row.member_no} {row.name}"
                ),
                is_dangerous=True,
            )

    @action("end", _("End"), _("End the %(count)s ticked devices?"), single=False)
    @in_bulk(is_dangerous=True)
    def end_many(self, ids: Sequence[int]) -> BulkResult:
        result = BulkResult()
        for device_id in ids:
            if forget_device(device_id, current_actor()):
                result.done.append(device_id)
            else:
                result.refused[device_id] = gettext("The device has been ended already")
        return result

    @expose("/<int:device_id>/end", methods=["POST"])
    @has_access
    @permission_name("end")
    def end(self, device_id: int) -> Any:
        """Make a browser unknown to its member."""
        with transaction():
            if not forget_device(device_id, current_actor()):
                abort(404)
        flash(gettext("The device was ended."), "success")
        return redirect(back_url(url_for("DeviceView.list")))
