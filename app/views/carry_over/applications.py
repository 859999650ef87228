"""结转申请: an enterprise chooses what it carries over, within its notice (rules-2026 N69, N70, N72)."""

from __future__ import annotations

from typing import Any

from flask import g, request
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, cast, select

from app.domain.compliance.carry_over import REFUSALS
from app.domain.kinds.compliance.carry_over import CarryOver
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import (
    Application,
    CarryOverGrant,
    CarryOverNotice,
    CarryOverRound,
    Holding,
    Instrument,
)
from app.operations.applications import engine
from app.operations.carry_over import drafts
from app.operations.compliance import carry_over
from app.operations.records import clock
from app.views.applications import form as application_form
from app.views.applications.choosable_lines import form_columns
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import Choosable, Filled, LinesForm
from app.views.applications.list import ApplicationList, usual_filters
from app.views.applications.texts import StringField
from app.views.carry_over.notices import no_round
from app.views.carry_over.rounds import GUIDE
from app.views.chapters import CARRY_OVERS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions


class CarryOverForm(LinesForm):
    """Instruments and tonnes; late, the number of the release that it rests on."""

    release = StringField(
        _("Number of the release"),
        description=_("After the last day: of the judicial freeze's release"),
        render_kw={"maxlength": 30},
    )


class CarryOverView(ApplicationDesk):
    """结转申请 with what each batch brought."""

    route_base = "/carry-overs"
    kind = CarryOver.code
    title = _("Carry-over applications")
    menu = MenuEntry(CARRY_OVERS, 5)
    guide = GUIDE
    form_title = _("Carry-over application")
    new_label = _("Apply for carry-over")
    form = CarryOverForm
    quantity_title = _("Carried over")
    picker_title = _("Choose what is carried over")
    form_columns = form_columns(_("Carried over"))
    accepts_attachments = False
    columns = (
        *(each for each in ApplicationList.columns if each.key not in ("created_at", "status")),
        Column("year", _("Carried over into"), kind="code"),
        Column("notice_number", _("Notice number"), kind="code"),
        Column("granted", _("Granted"), kind="quantity"),
        Column("release", _("Number of the release"), kind="code", is_shown=False),
        *(each for each in ApplicationList.columns if each.key in ("created_at", "status")),
    )
    filters = (
        Filter("year", _("Carried over into"), kind="number", on=("year",)),
        *usual_filters(),
    )
    help = (
        _("All applications together stay within the notice; what is in trading comes home first"),
        _("The quantity is held until the batch; an application can be withdrawn before it"),
        _("A batch recalls the older vintages and grants as much of the newer one"),
        _("What courts have frozen counts in the notice; once released it is applied for at any time, by"
          " the number of the release"),
        _("What is not carried over serves the years whose plans accept its vintage"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the notice and what was granted."""
        said = Application.proposal
        return (
            super()
            .rows(conditions)
            .outerjoin(CarryOverGrant, CarryOverGrant.application_id == Application.id)
            .add_columns(
                cast(said["year"].astext, BigInteger).label("year"),
                said["notice_number"].astext.label("notice_number"),
                said["release"].astext.label("release"),
                CarryOverGrant.quantity.label("granted"),
            )
        )

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        """Lead to the rounds where there is none; else show the form."""
        return super().new() if self._round() else no_round()

    def offered(self, account_id: int) -> list[Choosable]:
        """Return every allowance held; those that the round does not take say so."""
        found = self._round()
        rows = db.session.execute(
            select(Instrument.id, Instrument.code, Instrument.name, Instrument.vintage,
                   Holding.available)
            .join(Holding, Holding.instrument_id == Instrument.id)
            .where(Holding.account_id == account_id, Instrument.kind == "allowance")
            .order_by(Instrument.code)
        )  # fmt: skip
        return [
            Choosable(row.id, row.code, row.name, row.available, refusal=_refusal(row, found))
            for row in rows
        ]

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Return the notice and what is left of it."""
        notice, found = self._notice(account_id), self._round()
        if notice is None or found is None:
            return []
        done, pending = carry_over.taken_of(notice.id)
        return [
            (_("Notice number"), notice.number, "code"),
            (_("Carried over into"), f"{found.target.code} {found.target.name}", "text"),
            (_("May be carried over"), notice.quota, "number", _("tonnes")),
            (_("Left to be carried over"), notice.quota - done - pending, "number", _("tonnes")),
            (_("Applications until"), found.apply_until, "date"),
        ]

    def obstacle(self, filled: Filled, account_id: int) -> str:
        """Say why there is no notice."""
        found = self._round()
        if found is None or self._notice(account_id):
            return ""
        today = clock.now().astimezone(BEIJING).date()
        reason, number = carry_over.refusal_of(found, account_id, today)
        why = REFUSALS[reason] if reason else _("It was not made")
        return gettext(
            "There is no carry-over notice of %(year)s for this enterprise: %(why)s",
            year=found.year,
            why=f"{why} {number}".strip(),
        )

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        found, form = self._round(), filled.form
        return drafts.of_enterprise(
            account_id,
            found.year if found else 0,
            filled.lines,
            application_form.request_key(),
            reason=(form.reason.data or "").strip(),
            release=(form.release.data or "").strip(),
        )

    def edit_form(self, application: Application) -> Any:
        data = self.typed_before(application)
        return self.form(data=data | {"release": application.proposal.get("release", "")})

    def next_step(self, application: Application) -> Any:
        return gettext(
            "The next batch recalls it and grants the newer vintage; it is held until then"
        )

    def _round(self) -> CarryOverRound | None:
        return self._found()[0]

    def _notice(self, account_id: int) -> CarryOverNotice | None:
        return self._found()[1]

    def _found(self) -> tuple[CarryOverRound | None, CarryOverNotice | None]:
        """Return the round that the application or the address names, or the newest, and its notice.

        Read once a request.
        """
        if "carry_over" not in g:
            year = self._year()
            found = carry_over.latest(year) if year else next(iter(carry_over.rounds()), None)
            notice = carry_over.notice_for(g.user.account_id or 0, found.year) if found else None
            g.carry_over = (found, notice)
        return g.carry_over

    def _year(self) -> int:
        if id_ := (request.view_args or {}).get("id"):
            text = str(db.session.get_one(Application, id_).proposal.get("year", ""))
        else:
            text = request.args.get("year", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) == 4 else 0


def _refusal(row: Any, found: CarryOverRound | None) -> Any:
    """Return why an allowance cannot be chosen, or ""."""
    if found is None or row.vintage not in found.vintages:
        return _("Not among the vintages carried over")
    return "" if row.available else _("Nothing available")
