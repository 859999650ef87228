"""系统管理: 登录日志 and 操作日志."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from flask import abort, url_for
from flask_appbuilder import expose, has_access
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select

from app.domain.kinds import KINDS
from app.domain.workflow import ACTION_TITLES
from app.extensions import db
from app.models import Account, LoginRecord, Member, OperationLog
from app.security.roles import AUDITOR, SECURITY_ADMIN
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
ACTIONS = {
    "password.change": _("Changed the password"),
    "password.reset": _("Reset a password"),
    "member.disable": _("Disabled a member"),
    "member.add": _("Registered a member"),
    "member.invite": _("Had a first-sign-in link sent"),
    "member.contact": _("Changed a member's contact details"),
    "member.enable": _("Enabled a member"),
    "member.role": _("Changed a member's role"),
    "member.unlock": _("Unlocked a member"),
    "session.end": _("Ended a session"),
    "device.end": _("Ended a known device"),
    "calendar.change": _("Changed the trading calendar"),
    "parameter.set": _("Set a parameter"),
    "reference.add": _("Added reference data"),
    "reference.change": _("Changed reference data"),
    "reference.disable": _("Disabled reference data"),
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
    "attestation.lapse": _("A certificate of compliance lapsed"),
    "notice.issued": _("Issued a compliance notice"),
    "notice.changed": _("Changed a compliance notice"),
    "notice.withdrawn": _("Revoked a compliance notice"),
    "notice.issue": _("Issued a compliance notice"),
    "notice.adjust": _("Adjusted an obligation"),
    "notice.scope": _("Adjusted the scope of compliance"),
    "notice.remind": _("Sent a reminder about compliance"),
    "announcement.write": _("Wrote an announcement"),
    "announcement.edit": _("Changed an announcement"),
    "announcement.publish": _("Published an announcement"),
    "announcement.withdraw": _("Withdrew an announcement"),
    "announcement.pin": _("Pinned or unpinned an announcement"),
    "account_opening.invite": _("Had the first letters sent again"),
    "member.first_sign_in": _("Chose the first password"),
    "certificate.open_enrolment": _("Gave the codes for a certificate"),
    "certificate.ask_replacement": _("Asked for a replacement certificate"),
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
# Titles of details; others show their key.
DETAILS = {
    "application": _("Application number"),
    "year": _("Compliance year"),
    "before": _("Before the change"),
    "after": _("After the change"),
    "comment": _("Comment"),
    "reason": _("Reason"),
    "fields": _("Fields"),
    "path": _("Address"),
    "conditions": _("Conditions"),
    "rows": _("Rows"),
    "audience": _("Audience"),
    "province": _("Province"),
    "is_allowed": _("Allowed"),
    "is_on": _("Switched on"),
    "is_trading": _("Trading day"),
    "note": _("Note"),
    "value": _("Value"),
    "effective_from": _("In force from"),
    "state": _("State"),
    "title": _("Title"),
    "roles": _("Roles"),
    "to_trading": _("Settled to trading, tonnes"),
    "to_registry": _("Settled to registry, tonnes"),
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
            LoginRecord.at,
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
                            for name, value in sorted((row.detail or {}).items(), key=_place)
                        ),
                    ]
                }
            ],
            "back_url": back_url(url_for("OperationLogView.list")),
        }
        return self.render_template("parts/detail.html", detail=detail, crumb=gettext("Details"))


def _place(item: tuple[str, Any]) -> tuple[int, str]:
    """Sort details as in `DETAILS`, before ahead of after; unknown ones last, by name."""
    names = list(DETAILS)
    return (names.index(item[0]) if item[0] in DETAILS else len(names), item[0])


def _written(value: Any) -> str:
    """Return the title of a detail, or its stored value."""
    if isinstance(value, bool):
        return str(_("Yes") if value else _("No"))
    if isinstance(value, dict) and not any(isinstance(each, dict) for each in value.values()):
        return "；".join(
            f"{DETAILS.get(name, name)}：{_written(each)}" for name, each in sorted(value.items())
        )
    return (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    )
