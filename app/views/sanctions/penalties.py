"""行政处罚公开: penalties that authorities imposed, by two officers, published by 信息公开 (条例 27)."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, cast

from app.domain.compliance.penalties import Penalty
from app.domain.kinds.sanctions.penalty import AdministrativePenalty
from app.domain.money import fen, plain_yuan
from app.models import Application
from app.operations.records.catalogue import PENALTIES
from app.security.roles import AUTHORITIES, PROVINCE, REGISTRY_MAKER
from app.views.applications.form import (
    DATE_INPUT,
    PLEASE_CHOOSE,
    ApplicationForm,
    DayField,
    Filled,
    OfferedField,
    Required,
    typed_year,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk, OfOffices, Revocable
from app.views.applications.texts import StringField
from app.views.chapters import SANCTIONS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions


class PenaltyForm(ApplicationForm):
    """What for, of which year, the fine, and the document."""

    category = OfferedField(_("What for"), PENALTIES, PLEASE_CHOOSE)
    year = StringField(_("Compliance year"), [Required()], render_kw={"maxlength": 4})
    amount = StringField(
        _("Fine (yuan)"),
        [Required()],
        description=_("0 for a penalty without a fine, such as a warning"),
        render_kw={"maxlength": 20},
    )
    authority = StringField(_("Deciding authority"), [Required()], render_kw={"maxlength": 200})
    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )
    starts_on = DayField(_("Date of the document"), [Required()], render_kw=DATE_INPUT)


class PenaltyView(Revocable, OfOffices, OfficerDesk):
    """行政处罚公开: a province enters those on its own enterprises, the registry all."""

    route_base = "/penalties"
    kind = AdministrativePenalty.code
    title = _("Administrative penalties")
    menu = MenuEntry(SANCTIONS, 11)
    guide = dict.fromkeys(("province", "registry"), "信息公开")
    grants = {AUTHORITIES: "list export show", f"{PROVINCE} {REGISTRY_MAKER}": "write"}
    form_title = _("New administrative penalty")
    form = PenaltyForm
    columns = (
        *usual_columns("number", "member_no", "account", hidden=("member_no",)),
        Column("category", _("What for"), choices=PENALTIES),
        Column("year", _("Compliance year"), kind="code"),
        Column("fine", _("Fine"), kind="money"),
        Column("authority", _("Deciding authority")),
        Column("document_no", _("Number of the authority document"), kind="code"),
        Column("starts_on", _("Date of the document"), kind="date"),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *usual_filters(has_lines=False),
        Filter("year", _("Compliance year"), kind="number"),
        Filter("category", _("What for"), kind="choice", choices=PENALTIES),
    )
    confirm = _("It is published once another officer has approved it. Submit it?")
    help = (
        _(
            "Two officers of one authority enter a penalty; it is published on the next business day"
        ),
        _(
            "Published are enterprise, year, what for, fine, authority, document and its date; not the reason"
        ),
        _("The frame of a fine for a shortfall stands on the page of the notice"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what the penalty is."""
        said = Application.proposal
        return (
            super()
            .rows(conditions)
            .add_columns(
                cast(said["year"].astext, BigInteger).label("year"),
                cast(said["fen"].astext, BigInteger).label("fine"),
            )
        )

    def edit_form(self, application: Application) -> Any:
        """Return the form filled in with what is entered."""
        said = Penalty.read(application.proposal)
        found = self.typed_before(application) | {
            "year": str(said.year or ""),
            "amount": plain_yuan(said.fen),
        }
        return self.form(data=found)

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the penalty.  Raises RuleError where a figure cannot be read."""
        form = filled.form
        said = Penalty(typed_year(form.year.data), fen(form.amount.data, may_be_zero=True))
        return {**form.content(), "proposal": said.stored()}
