"""清缴履约 (manual 五-二): 履约申请 and 履约清缴记录查询."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from flask import abort, g, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select
from wtforms import BooleanField, HiddenField

from app.domain.errors import RuleError
from app.domain.kinds.compliance.surrender import Surrender
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db
from app.models import (
    Application,
    Holding,
    Instrument,
    Notice,
    plans_on,
)
from app.operations.compliance import planning, plans
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.views.applications.choosable_lines import form_columns
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import Choosable, Filled, LinesForm
from app.views.applications.list import ApplicationList, usual_columns, usual_filters
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.compliance.obligations import notice_facts, notices
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions
from app.views.page import sent

MOST_NOTICES = 50
OF_NOTICE = (
    Filter("notice", _("Notice number"), kind="prefix", on=("notice_number",)),
    Filter("year", _("Compliance year"), kind="number", on=("year",)),
    Filter("sector", _("Sector"), kind="choice", on=("sector",), choices=SECTORS),
)
OF_NOTICE_COLUMNS: Any = (
    *usual_columns("number"),
    Column("notice_number", _("Notice number"), kind="code"),
    Column("year", _("Compliance year"), kind="code"),
    Column("sector", _("Sector"), choices=SECTORS),
    *(each for each in ApplicationList.columns if each.key != "number"),
)


class OfNotice(ApplicationList):
    """Applications about a notice, with its number and year."""

    columns = OF_NOTICE_COLUMNS

    def rows(self, conditions: Conditions) -> Select[Any]:
        statement = super().rows(conditions)
        return statement.outerjoin(Notice, Notice.id == Application.notice_id).add_columns(
            Notice.number.label("notice_number"), Notice.year, Notice.sector
        )


class SurrenderForm(LinesForm):
    notice: Notice
    deadline: datetime  # by the plan in force
    later_years: dict[int, str]  # by instrument, where the notice is an arrear (N51)
    overdue = HiddenField()  # "1" where the page has said that the deadline has passed
    also_for = BooleanField()

    def about(self, notice: Notice) -> SurrenderForm:
        """Take the notice, with its deadline and what is to be confirmed about newer allowances."""
        now = clock.now()
        day = now.astimezone(BEIJING).date()
        self.notice = notice
        self.deadline = plans.of_notice(notice, day).surrender_by
        late = [notice.id] if self.deadline < now else []
        self.later_years = plans.later_years(late, day).get(notice.id, {})
        if self.later_years:
            self.also_for.label.text = gettext(
                "These allowances could also be surrendered for %(years)s",
                years=_joined(self.later_years.values()),
            )
            self.also_for.description = gettext(
                "Tick it where newer allowances among the lines are to be used for this older notice"
            )
        else:
            del self.also_for
        return self

    def confirmed(self, lines: Iterable[Line]) -> dict[str, str]:
        """Return the proposal: the years that the lines would count for as well, where confirmed."""
        if "also_for" not in self or not self.also_for.data:
            return {}
        years = _joined(self.later_years.get(line.instrument_id, "") for line in lines)
        return {"also_for": years} if years else {}


def _joined(years: Iterable[str]) -> str:
    """Return years in order, each once."""
    return "、".join(sorted({year for each in years for year in each.split("、") if year}))


class NoticeForms:
    """The forms of a page about a notice, which its `_notice` finds."""

    def new_form(self, account_id: int) -> SurrenderForm:
        return self._about(super().new_form(account_id))  # type: ignore[misc]

    def edit_form(self, application: Application) -> SurrenderForm:
        return self._about(super().edit_form(application))  # type: ignore[misc]

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Return an application as form data, with what was confirmed."""
        found = super().typed_before(application)  # type: ignore[misc]
        return {**found, "also_for": bool(application.proposal.get("also_for"))}

    def _about(self, form: SurrenderForm) -> SurrenderForm:
        return form.about(self._notice())

    def _notice(self) -> Notice:
        raise NotImplementedError


class SurrenderView(NoticeForms, OfNotice, ApplicationDesk):
    route_base = "/surrenders"
    kind = Surrender.code
    title = _("Surrender records")
    menu = MenuEntry(COMPLIANCE, 2)
    guide = {"enterprise": "二清缴履约", "province": "查询", "registry": "履约通知书与清缴记录"}
    form_title = _("Surrender application")
    form = SurrenderForm
    new_label = _("Surrender application")
    quantity_title = _("Submitted quantity")
    picker_title = _("Add instruments to surrender")
    filters = (
        *OF_NOTICE,
        *usual_filters(),
    )
    form_columns = form_columns(_("Submitted quantity"))
    confirm = _("What is surrendered cannot be taken back once it is approved. Submit it?")
    help: tuple[Any, ...] = (
        _("No more can be submitted than obligation - surrendered - pending review"),
        _(
            "Only the instruments of the notice's scope count; CCER is applied for apart, as an offset"
        ),
        _("While it is under review the quantity is held; if it is sent back the quantity returns"),
        _("Save keeps a draft that can be changed, saved again and submitted"),
        _("A restricted account may always surrender"),
    )

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        """Ask for the notice, then show the form."""
        if "notice" not in request.args:
            return self._choose_notice()
        return super().new()

    def offered(self, account_id: int) -> list[Choosable]:
        """Return every instrument held; those that the notice does not accept say so."""
        notice, plan = self._notice(), plans_on(clock.now().astimezone(BEIJING).date())
        rows = db.session.execute(
            select(
                Instrument.id,
                Instrument.code,
                Instrument.name,
                Holding.available,
                plans.accepts(plan.c).label("is_accepted"),
            )
            .join(Instrument, Instrument.id == Holding.instrument_id)
            .join(plan, (plan.c.year == notice.year) & (plan.c.sector == notice.sector))
            .where(Holding.account_id == account_id, Instrument.is_of_tonnes())
            .order_by(Instrument.code)
        )
        return [
            Choosable(row.id, row.code, row.name, row.available, refusal=_refusal(row))
            for row in rows
        ]

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Return what is due."""
        notice = self._notice()
        row = db.session.execute(notices().where(Notice.id == notice.id)).one()
        return notice_facts(row)

    def content(self, filled: Filled) -> dict[str, Any]:
        """Add the notice."""
        self._require_deadline_known(filled.form)
        return {
            **super().content(filled),
            "notice_id": filled.form.notice.id,
            "proposal": filled.form.confirmed(filled.lines),
        }

    def _require_deadline_known(self, form: SurrenderForm) -> None:
        """Say once that the deadline passed while the form was open; sent again, it is taken."""
        if "save" in request.form or form.overdue.data or not is_overdue(form):
            return
        form.overdue.data = "1"
        raise RuleError(overdue_text(form), code="deadline_passed")

    def obstacle(self, filled: Filled, account_id: int) -> str:
        """Say that the deadline has passed; a surrender is still accepted."""
        form = filled.form
        if request.method == "POST" or not is_overdue(form):
            return ""
        form.overdue.data = "1"
        return str(overdue_text(form))

    def new_form(self, account_id: int) -> SurrenderForm:
        """Fill in what the proposal of 履约规划 says, where the address asks for it."""
        if request.method == "POST" or "planned" not in request.args or sent():
            return super().new_form(account_id)
        planned = planning.for_account(account_id, clock.now()).proposal.lines
        lines = planned.get(self._notice().id, {})
        data = [{"choice": f"{id_}", "quantity": f"{tonnes}"} for id_, tonnes in lines.items()]
        return self._about(self.form(data={"lines": data}))

    def next_step(self, application: Application) -> Any:
        usual = gettext("The provincial authority reviews it; the quantity is held until then")
        notice, at = application.notice, application.submitted_at
        if notice is None or at is None or at <= (due := _deadline(notice)):
            return usual
        late = gettext("It was submitted after the deadline, %(deadline)s", deadline=_written(due))
        return f"{usual}；{late}"

    def _notice(self) -> Notice:
        """Return the notice of the application, or the one that the address names.

        The form holds it, so that it is read once.
        """
        if id_ := (request.view_args or {}).get("id"):
            notice = db.session.get_one(Application, id_).notice
        else:
            text = request.args.get("notice", "")
            number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
            notice = db.session.get(Notice, number)
        if notice is None or notice.account_id != g.user.account_id:
            abort(404)
        return notice

    def _choose_notice(self) -> Any:
        """Show the enterprise's notices with a gap."""
        statement = notices().where(Notice.account_id == self.account_id())
        rows = db.session.execute(statement.order_by(Notice.id.desc()).limit(MOST_NOTICES)).all()
        return self.render_template(
            "compliance/choose_notice.html",
            title=self.form_title,
            notices=[row for row in rows if row.remaining > 0],
            sectors=SECTORS,
            url=lambda row: self.url("new", notice=row.id),
            cancel_url=url_for("ComplianceView.list"),
        )


def is_overdue(form: SurrenderForm) -> bool:
    """Tell whether the business clock is past the deadline of a form's notice."""
    return form.deadline < clock.now()


def overdue_text(form: SurrenderForm) -> Any:
    """Return the deadline, that it has passed, and what to do."""
    return _(
        "The deadline of notice %(number)s, %(deadline)s, has passed: it is %(now)s. You can still"
        " submit, and it counts as late. Please check the form, submit it, and inform the provincial"
        " authority",
        number=form.notice.number,
        deadline=_written(form.deadline),
        now=_written(clock.now()),
    )


def _written(moment: datetime) -> str:
    return f"{moment.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"


def _deadline(notice: Notice) -> datetime:
    return plans.of_notice(notice, clock.now().astimezone(BEIJING).date()).surrender_by


def _refusal(row: Any) -> Any:
    """Return why a holding cannot be surrendered under the notice's plan, or ""."""
    if not row.is_accepted:
        return _("Not within the scope of this notice")
    return "" if row.available else _("Nothing available")
