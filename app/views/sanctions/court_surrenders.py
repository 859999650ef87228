"""司法冻结配额清缴 (rules-2026 N105): out of what a court froze, with its written consent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import g
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, func, select
from wtforms import SelectField

from app.domain.kinds.sanctions.court_disposal import CourtSurrender
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line, Status
from app.extensions import db
from app.models import Application, CourtHold, CourtOrder, Instrument
from app.operations.compliance import plans
from app.operations.records import clock
from app.views.applications.choosable_lines import form_columns
from app.views.applications.form import PLEASE_CHOOSE, Choosable, Required, choices_of
from app.views.applications.texts import StringField
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.compliance.surrenders import SurrenderForm, SurrenderView
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions

FROZEN_COLUMNS: tuple[dict[str, Any], ...] = (
    {"label": _("Instrument code"), "kind": "code"},
    {"label": _("Instrument name"), "kind": "text"},
    {"label": _("Frozen by courts"), "kind": "number", "unit": _("tonnes")},
)


class CourtSurrenderForm(SurrenderForm):
    """A surrender out of one freeze, by the consent that it names."""

    order = SelectField(_("Judicial freeze"), [Required()], validate_choice=False)
    document_no = StringField(
        _("Reference number of the consent"), [Required()], render_kw={"maxlength": 100}
    )
    authority = StringField(_("Court"), [Required()], render_kw={"maxlength": 200})

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.orders = {str(row.id): row for row in db.session.execute(_orders(g.user.account_id))}
        titles = {
            key: f"{row.number} {row.authority} {row.document_no}（{row.held:,}）"
            for key, row in self.orders.items()
        }
        self.order.choices = choices_of(titles, PLEASE_CHOOSE)

    def confirmed(self, lines: Iterable[Line]) -> dict[str, Any]:
        """Add the freeze concerned, with its numbers."""
        found = self.orders.get(self.order.data or "")
        said = super().confirmed(lines)
        if found is None:
            return {**said, "order": None}
        return {
            **said,
            "order": found.id,
            "order_number": found.number,
            "original_case_no": found.case_no or "",
        }


def _orders(account_id: int | None) -> Select[Any]:
    """Return an account's orders that have something frozen, in tonnes."""
    return (
        select(
            CourtOrder.application_id.label("id"),
            Application.number,
            Application.authority,
            Application.document_no,
            Application.proposal["case_no"].astext.label("case_no"),
            func.sum(CourtHold.quantity).label("held"),
        )
        .join(Application, Application.id == CourtOrder.application_id)
        .join(CourtHold, CourtHold.order_id == CourtOrder.application_id)
        .join(Instrument, Instrument.id == CourtHold.instrument_id)
        .where(
            CourtOrder.account_id == account_id,
            Application.status == Status.APPROVED,
            Instrument.is_of_tonnes(),
        )
        .group_by(CourtOrder.application_id, Application.id)
        .order_by(CourtOrder.application_id)
        .limit(100)
    )


class CourtSurrenderView(SurrenderView):
    """司法冻结配额清缴: for a notice, with the court's consent, by two officers and the province."""

    route_base = "/court-surrenders"
    kind = CourtSurrender.code
    title = _("Surrenders of what courts froze")
    menu = MenuEntry(COMPLIANCE, 12)
    form_title = _("Surrender of what a court froze")
    form = CourtSurrenderForm
    new_label = _("New")
    picker_columns = FROZEN_COLUMNS
    form_columns = form_columns(_("Submitted quantity"), FROZEN_COLUMNS)
    columns = (
        *SurrenderView.columns,
        Column("order_number", _("Order concerned"), kind="code", is_shown=False),
        Column("document_no", _("Reference number of the consent"), kind="code", is_shown=False),
    )
    filters = (
        *SurrenderView.filters,
        Filter("order", _("Order concerned"), kind="prefix", on=("order_number",)),
    )
    help = (
        _("Name the freeze, and attach the court's written consent with its reference number"),
        _("Two officers of the registry check the consent, then the province reviews it"),
        _("It stays frozen until it is surrendered; no other court gets any of it"),
        _(
            "What the court releases, assigns or lets end meanwhile cannot be surrendered here any more"
        ),
        _("No more can be submitted than obligation - surrendered - pending review"),
    )
    empty_hint = _("Surrenders out of what courts froze appear here")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the freeze concerned."""
        number = func.jsonb_extract_path_text(Application.proposal, "order_number")
        return (
            super()
            .rows(conditions)
            .add_columns(number.label("order_number"), Application.document_no)
        )

    def offered(self, account_id: int) -> list[Choosable]:
        """Return what courts' orders have frozen; what the notice does not accept says so."""
        plan = plans.of_notice(self._notice(), clock.now().astimezone(BEIJING).date())
        accepted = {each.id for each in plans.accepted(plan)}
        rows = db.session.execute(
            select(Instrument, func.sum(CourtHold.quantity))
            .join(CourtHold, CourtHold.instrument_id == Instrument.id)
            .join(CourtOrder, CourtOrder.application_id == CourtHold.order_id)
            .where(CourtOrder.account_id == account_id, Instrument.is_of_tonnes())
            .group_by(Instrument.id)
            .order_by(Instrument.code)
        )
        refusal = _("Not within the scope of this notice")
        return [
            Choosable(
                what.id, what.code, what.name, int(held),
                refusal="" if what.id in accepted else refusal,
            )
            for what, held in rows
        ]  # fmt: skip

    def new_form(self, account_id: int) -> Any:
        """Begin empty: a proposal of the planner is of what is free."""
        return self._about(self.form())

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Add the freeze concerned."""
        return {
            **super().typed_before(application),
            "order": str(application.proposal.get("order") or ""),
        }

    def needs_attachments(self, account_id: int) -> bool:
        """The court's consent."""
        return True

    def next_step(self, application: Application) -> Any:
        """Say whose turn it is."""
        return gettext(
            "Two officers of the registry check the court's consent, then the provincial authority reviews"
            " it; the quantity stays frozen"
        )
