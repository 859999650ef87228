"""系统管理: 登录日志 and 操作日志."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, url_for
from flask_appbuilder import expose, has_access
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, func, select

from app.extensions import db
from app.models import Account, LoginRecord, Member, OperationLog
from app.operations.records import clock
from app.security.roles import AUDITOR, SECURITY_ADMIN
from app.views.administration.log_words import ACTIONS, DETAILS, Subjects, described
from app.views.chapters import ADMINISTRATION, MenuEntry
from app.views.lists.listing import Column, Filter, ListPage, RowAction, back_url

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
RESULTS = {
    "done": (_("Succeeded"), "green"),
    "refused": (_("Refused"), "red"),
    "started": (_("Started"), "blue"),
    "aborted": (_("Broken off"), "amber"),
}


class LoginRecordView(ListPage):
    """登录日志: every attempt to sign in."""

    route_base = "/login-records"
    title = _("Sign-in log")
    menu = MenuEntry(ADMINISTRATION, 4)
    guide = {"administration": "登录日志与操作日志"}
    grants = {f"{SECURITY_ADMIN} {AUDITOR}": "list export"}
    account_column = None  # Unknown numbers belong to no account.
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
        return select(
            LoginRecord.id,
            clock.shown(LoginRecord.at).label("at"),
            LoginRecord.member_no,
            Member.first_name.label("name"),
            LoginRecord.outcome,
            LoginRecord.ip,
            LoginRecord.user_agent,
        ).outerjoin(Member, Member.id == LoginRecord.member_id)


class OperationLogView(ListPage):
    """操作日志: who did what, when, from where, with which result."""

    route_base = "/operation-log"
    title = _("Operation log")
    menu = MenuEntry(ADMINISTRATION, 5)
    guide = {"administration": "登录日志与操作日志"}
    grants = {AUDITOR: "list export show"}
    account_column = None  # For the auditor only.
    columns = (
        Column("at", _("Time"), "datetime"),
        Column("member_no", _("Member number"), "code"),
        Column("name", _("Name")),
        Column("action", _("Act"), choices=ACTIONS),
        Column("subject", _("Object"), "code", choices=Subjects()),
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
        return (
            select(
                OperationLog.id,
                clock.shown(OperationLog.at).label("at"),
                OperationLog.member_no,
                Member.first_name.label("name"),
                OperationLog.action,
                # Of an endpoint, the page.
                case(
                    (OperationLog.action == "access.refused", _page_of(OperationLog.subject)),
                    else_=OperationLog.subject,
                ).label("subject"),
                Account.name.label("account"),
                OperationLog.result,
                OperationLog.ip,
                OperationLog.certificate,
            )
            .outerjoin(Member, Member.id == OperationLog.member_id)
            .outerjoin(Account, Account.id == OperationLog.account_id)
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("show"):
            yield RowAction(_("Details"), url_for("OperationLogView.show", log_id=row.id))

    @expose("/<int:log_id>")
    @has_access
    @permission_name("show")
    def show(self, log_id: int) -> Any:
        row = db.session.get(OperationLog, log_id) or abort(404)
        account = db.session.get(Account, row.account_id) if row.account_id else None
        title, tone = RESULTS.get(row.result, (row.result, "grey"))
        subject = row.subject
        if row.action == "access.refused":
            subject = subject.partition(".")[0]
        detail = {
            "title": gettext("Operation log"),
            "number": str(row.id),
            "status": {"label": str(title), "tone": tone},
            "sections": [
                {
                    "items": [
                        (gettext("Time"), clock.shown(row.at), "datetime"),
                        (gettext("Member number"), row.member_no, "code"),
                        (gettext("Act"), str(ACTIONS.get(row.action, row.action))),
                        (gettext("Object"), str(Subjects().get(subject, subject)), "code"),
                        (gettext("Enterprise"), account.name if account else ""),
                        (gettext("IP address"), row.ip, "code"),
                        (gettext("Certificate"), row.certificate, "code"),
                        *(
                            (str(DETAILS.get(name, name)), described(name, value, subject), "long")
                            for name, value in sorted((row.detail or {}).items(), key=_place)
                        ),
                    ]
                }
            ],
            "back_url": back_url(url_for("OperationLogView.list")),
        }
        return self.render_template("parts/detail.html", detail=detail, crumb=gettext("Details"))


def _page_of(endpoint: Any) -> Any:
    return func.split_part(endpoint, ".", 1)


def _place(item: tuple[str, Any]) -> tuple[int, str]:
    """Sort details as in `DETAILS`, before ahead of after; unknown ones last, by name."""
    names = list(DETAILS)
    return (names.index(item[0]) if item[0] in DETAILS else len(names), item[0])
