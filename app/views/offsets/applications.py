"""CCER抵销申请: mirrored units for a 履约通知书; the province reviews it at its usual desk."""

from __future__ import annotations

from typing import Any

from flask import abort, g, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, cast, func, select

from app.domain.compliance.offsets import UNIT_TITLES, UnitState
from app.domain.kinds.compliance.offset import OffsetApplication
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Application, Notice, OffsetUnit, Plan
from app.operations.compliance import plans
from app.operations.offsets import applying, units
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import ApplicationForm, Filled
from app.views.applications.list import usual_columns, usual_filters
from app.views.chapters import OFFSETS, MenuEntry
from app.views.compliance.obligations import notice_facts, notices, offset_facts
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions
from app.views.offsets.units_field import Offered, UnitsField
from app.views.page import named_in_address

MOST_NOTICES, MOST_UNITS = 50, 200
GUIDE = {"enterprise": "ccer抵销", "province": "ccer抵销", "registry": "ccer抵销"}


class OffsetForm(ApplicationForm):
    """The units that are ticked, and the notice that the page names."""

    notice: Notice
    units = UnitsField(_("Units of CCER that wait for offset"))


class OffsetView(ApplicationDesk):
    """CCER抵销申请, with the state of what each names."""

    route_base = "/offsets"
    kind = OffsetApplication.code
    title = _("Applications for offset by CCER")
    menu = MenuEntry(OFFSETS, 2)
    guide = GUIDE
    form_title = _("Application for offset by CCER")
    form = OffsetForm
    new_label = _("Application for offset by CCER")
    columns = (
        *usual_columns("number"),
        Column("notice_number", _("Notice number"), kind="code"),
        Column("year", _("Compliance year"), kind="code"),
        *usual_columns("member_no", "account"),
        Column("total", _("CCER asked for"), kind="quantity"),
        Column("registered", _("Offset registered"), kind="quantity"),
        *usual_columns("created_at", "status"),
    )
    filters = (
        Filter("notice", _("Notice number"), kind="prefix", on=("notice_number",)),
        Filter("year", _("Compliance year"), kind="number", on=("year",)),
        *usual_filters(has_lines=False),
    )
    confirm = _("What is approved is cancelled in the CCER registry for good. Submit it?")
    help = (
        _("Units are offset as a whole; freeze in the CCER registry exactly what is to be offset"),
        _("It counts for the notice once the CCER registry has confirmed the cancellation"),
        _("If it is sent back or withdrawn, the units are released in the CCER registry"),
        _("At most the plan's share of the obligation, rounded down, can be offset"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the notice, the tonnes asked for and those that count."""
        done = (
            select(cast(func.coalesce(func.sum(OffsetUnit.quantity), 0), BigInteger))
            .where(
                OffsetUnit.application_id == Application.id,
                OffsetUnit.state == UnitState.REGISTERED,
            )
            .correlate(Application)
            .scalar_subquery()
        )
        return (
            super()
            .rows(conditions)
            .outerjoin(Notice, Notice.id == Application.notice_id)
            .add_columns(
                Notice.number.label("notice_number"),
                Notice.year,
                Application.proposal["total"].astext.cast(BigInteger).label("total"),
                done.label("registered"),
            )
        )

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        """Ask for the notice, then show the form."""
        if "notice" not in request.args:
            return self._choose_notice()
        return super().new()

    def new_form(self, account_id: int) -> OffsetForm:
        """Tick the units that the address names, as 履约规划 proposes them."""
        if request.method == "GET" and (named := request.args.getlist("unit", type=int)):
            return self._about(self.form(data={"units": named[:MOST_UNITS]}), account_id)
        return self._about(super().new_form(account_id), account_id)

    def edit_form(self, application: Application) -> OffsetForm:
        return self._about(super().edit_form(application), application.account_id)

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Tick the units that were chosen."""
        chosen = [each["unit"] for each in application.proposal.get("units", ())]
        return {"reason": application.reason, "units": chosen}

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Return what is due, and the rest of the CCER cap."""
        row = db.session.execute(notices().where(Notice.id == self._notice().id)).one()
        return [*notice_facts(row), *offset_facts(row)]

    def content(self, filled: Filled) -> dict[str, Any]:
        """Name the units and the notice."""
        form = filled.form
        return {
            **super().content(filled),
            "notice_id": form.notice.id,
            "proposal": applying.proposal(form.notice.account_id, form.units.data),
        }

    def next_step(self, application: Application) -> Any:
        return gettext(
            "The provincial authority reviews it; after its approval the CCER registry is ordered to"
            " cancel the units, and they count once it has confirmed that"
        )

    def detail_tables(
        self, application: Application, *, is_clear: bool = False
    ) -> list[dict[str, Any]]:
        """Add the state of each unit to what the application says."""
        found = super().detail_tables(application, is_clear=is_clear)
        rows = units.of_application(application)
        if rows:
            found.append(
                {
                    "title": _("State of the units"),
                    "columns": [
                        {"label": _("Serial block"), "kind": "code"},
                        {"label": _("Status"), "kind": "status"},
                        {"label": _("Changed at"), "kind": "datetime"},
                    ],
                    "rows": [
                        [
                            row.serial,
                            dict(zip(("label", "tone"), UNIT_TITLES[UnitState(row.state)],
                                     strict=True)),
                            row.at,
                        ]
                        for row in rows
                    ],
                }
            )  # fmt: skip
        return found

    def _about(self, form: OffsetForm, account_id: int) -> OffsetForm:
        form.notice = self._notice()
        today = clock.now().astimezone(BEIJING).date()
        plan = plans.of_notice(form.notice, today)
        form.units.offered = [
            Offered(unit, _refusal(unit, form.notice, plan))
            for unit in units.waiting(account_id, MOST_UNITS)
        ]
        return form

    def _notice(self) -> Notice:
        """Return the notice of the application, or the one that the address names."""
        if id_ := (request.view_args or {}).get("id"):
            notice = db.session.get_one(Application, id_).notice
        else:
            notice = db.session.get(Notice, named_in_address("notice"))
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
            notices=[row for row in rows if row.remaining > 0 and row.offset_percent],
            sectors=SECTORS,
            url=lambda row: self.url("new", notice=row.id),
            cancel_url=url_for("OffsetUnitView.list"),
        )


def _refusal(unit: OffsetUnit, notice: Notice, plan: Plan) -> Any:
    """Return why a unit cannot be chosen for a notice, or ""."""
    if unit.in_ets:
        return _("From a project inside the boundary of the carbon market")
    today = clock.now().astimezone(BEIJING).date()
    if not unit.as_unit().is_registered_in_time(plan.offset_registered_from, notice.year, today):
        return _("Registered too early for this notice")
    return ""
