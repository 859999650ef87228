"""受托清缴 (rules-2026 N42-N44): asked for by the province, carried out by two officers of the registry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import abort, request
from flask_babel import gettext
from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Application, Notice
from app.operations.applications import engine
from app.operations.compliance import chain
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.security.roles import PROVINCE, READERS
from app.views.applications.form import ApplicationForm, Filled, Required
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import StringField
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.compliance.differentiation import summed, waiting_rows
from app.views.compliance.obligations import notice_facts, notices
from app.views.compliance.surrenders import MOST_NOTICES, OF_NOTICE, OfNotice
from app.views.lists.columns import Column
from app.views.page import named_in_address


class CommissionForm(ApplicationForm):
    """受托清缴."""

    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )


class CommissionView(OfNotice, OfficerDesk):
    """受托清缴: one document for an enterprise and a notice, of what waits at the province."""

    route_base = "/commissions"
    kind = "commission"
    title = _("Surrenders by commission")
    menu = MenuEntry(COMPLIANCE, 11)
    guide = {
        "enterprise": "二清缴履约",
        "province": "差异化名录与受托清缴",
        "registry": "差异化名录与受托清缴",
    }
    grants = {READERS: "list export show", PROVINCE: "write"}
    form_title = _("New surrender by commission")
    form = CommissionForm
    quantity_title = _("Surrendered by commission")
    columns = (
        *usual_columns("number"),
        Column("notice_number", _("Notice number"), kind="code"),
        Column("year", _("Compliance year"), kind="code"),
        *usual_columns("member_no", "account", "instrument_codes"),
        Column("quantity", _("Surrendered by commission"), kind="quantity"),
        Column("document_no", _("Number of the authority document"), kind="code"),
        *usual_columns("created_at", "status"),
    )
    filters = (*OF_NOTICE, *usual_filters())
    confirm = _(
        "What is surrendered cannot be taken back once the registry has approved. Submit it?"
    )
    help = (
        _(
            "The province asks, two officers of the registry carry it out; a document is of one enterprise"
        ),
        _("Of what waits the year's own vintage goes first, or as the plan says"),
        _("What remains is released once the notice is fulfilled; a gap stays due"),
        _("Units that wait for other enterprises are not touched"),
    )

    def choose(self) -> Any:
        """Ask for the enterprise, then for the notice."""
        asked = super().choose()
        if asked is not None or "notice" in request.args:
            return asked
        return self._choose_notice(self.account_id())

    def _choose_notice(self, account_id: int) -> Any:
        statement = notices().where(Notice.account_id == account_id, Notice.withdrawn_at.is_(None))
        rows = db.session.execute(statement.order_by(Notice.id.desc()).limit(MOST_NOTICES)).all()
        return self.render_template(
            "compliance/choose_notice.html",
            title=self.form_title,
            notices=[row for row in rows if row.remaining > 0],
            sectors=SECTORS,
            url=lambda row: self.url("new", account=account_id, notice=row.id),
            cancel_url=self.url("list"),
        )

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Return what is due, what waits, what is surrendered of it, and the gap that stays (N42)."""
        notice = self._notice(account_id)
        row = db.session.execute(notices().where(Notice.id == notice.id)).one()
        found = self._commissioned(account_id)
        lines, waits = found.lines.get(notice.id, {}), waiting_rows(account_id)
        gap = found.gaps.get(notice.id, 0) - sum(lines.values())
        return [
            *notice_facts(row),
            *summed(
                _("Waiting: %(code)s %(name)s"),
                waits,
                {each.line_id: each.remaining for each in waits},
            ),
            *summed(_("To be surrendered: %(code)s %(name)s"), waits, lines),
            (_("Gap that stays"), gap, "number", _("tonnes")),
        ]

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        """Take what the order of the plan says.  Raises RuleError where nothing waits for the notice."""
        notice = self._notice(account_id)
        found = self._commissioned(account_id).lines.get(notice.id)
        if not found:
            message = _(
                "Nothing waits that could be surrendered for notice %(number)s",
                number=notice.number,
            )
            raise RuleError(message, code="nothing_waits")
        made = super().draft(filled, account_id)
        return replace(made, lines=tuple(chain.lines_of(found)), notice_id=notice.id)

    def next_step(self, application: Application) -> Any:
        """Name what follows, and the gap."""
        usual = gettext("Two officers of the registry carry it out")
        gap = self._commissioned(application.account_id).gaps.get(application.notice_id or 0, 0)
        if not gap:
            return usual
        return f"{usual}；" + gettext("A gap of %(gap)s tonnes stays due", gap=f"{gap:,}")

    def _commissioned(self, account_id: int) -> chain.Commissioned:
        return chain.commissioned([account_id], clock.now().astimezone(BEIJING).date())

    def _notice(self, account_id: int) -> Notice:
        """Return the notice of the application, or the one that the address names."""
        if id_ := (request.view_args or {}).get("id"):
            notice = db.session.get_one(Application, id_).notice
        else:
            notice = db.session.get(Notice, named_in_address("notice"))
        if notice is None or notice.account_id != account_id or notice.withdrawn_at:
            abort(404)
        return notice
