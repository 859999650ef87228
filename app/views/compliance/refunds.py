"""清缴退还: refunds of what was surrendered, each to where it came from (rules-2026 N54)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app.domain.errors import RuleError
from app.domain.kinds.compliance.assistance import AssistedSurrender
from app.domain.kinds.compliance.commission import Commission
from app.domain.kinds.compliance.refund import (
    CommissionRefund,
    HelperRefund,
    PledgeRefund,
    SurrenderRefund,
)
from app.domain.kinds.compliance.surrender import Surrender
from app.domain.kinds.pledge import PledgeSurrender
from app.extensions import db
from app.models import Application, ApplicationLine, Notice
from app.views.applications.choosable_lines import form_columns, lines_left
from app.views.applications.form import Choosable, DocumentLinesForm, Filled
from app.views.applications.list import usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.compliance.surrenders import OF_NOTICE, OfNotice

LATEST_FIRST = _("The latest surrender is offered first; the document says what goes back")


class SurrenderRefundView(OfNotice, OfficerDesk):
    """清缴退还: required before an obligation is lowered beneath what was surrendered (R83)."""

    route_base = "/surrender-refunds"
    kind = SurrenderRefund.code
    draws_on = Surrender.code
    title = _("Surrender refunds")
    menu = MenuEntry(COMPLIANCE, 6)
    guide = {"registry": "清缴退还"}
    form_title = _("New surrender refund")
    form = DocumentLinesForm
    new_label = _("New")
    quantity_title = _("Refunded quantity")
    picker_title = _("Choose what was surrendered")
    filters = (
        *OF_NOTICE,
        *usual_filters(),
    )
    picker_columns = (
        {"label": _("Application number"), "kind": "code"},
        {"label": _("Notice number"), "kind": "code"},
        {"label": _("Instrument code"), "kind": "code"},
        {"label": _("Instrument name"), "kind": "text"},
        {"label": _("Originally surrendered"), "kind": "number", "unit": _("tonnes")},
        {"label": _("Not refunded yet"), "kind": "number", "unit": _("tonnes")},
    )
    form_columns = form_columns(_("Refunded quantity"), picker_columns)
    confirm = _("The quantity returns to the enterprise once another officer confirms. Submit it?")
    help: tuple[Any, ...] = (
        _(
            "A refund draws on approved surrenders of one notice; the obligation is adjusted after it"
        ),
        _("What is refunded is available to the enterprise again"),
        LATEST_FIRST,
        _(
            "What was supplied, commissioned or pledged is refunded on pages of its own; cancelled CCER"
            " is not"
        ),
    )

    def offered(self, account_id: int) -> list[Choosable]:
        """Return the approved lines that are not drawn completely, the latest first, each with its notice."""
        lines = lines_left(account_id, self.draws_on)[::-1]
        of = self._notices_of([each.source_line_id for each in lines])
        found = []
        for each in lines:
            picked = list(each.picked_cells)
            picked[1] = of[each.source_line_id or 0].number
            kinds = [kind for _value, kind in each.cells]
            cells = tuple(zip(picked, kinds, strict=True))
            found.append(replace(each, cells=cells, picked_cells=tuple(picked)))
        return found

    def content(self, filled: Filled) -> dict[str, Any]:
        """Add the notice that the lines were surrendered for; they share it."""
        of = self._notices_of([line.source_line_id for line in filled.lines])
        ids = {notice.id for notice in of.values()}
        if len(ids) > 1:
            raise RuleError(
                _("One refund is about one notice; make another one for the other"), field="lines"
            )
        return {**super().content(filled), "notice_id": next(iter(ids), None)}

    def _notices_of(self, lines: Iterable[int | None]) -> dict[int, Any]:
        """Return id and number of the notice that each line was surrendered for."""
        rows = db.session.execute(
            select(ApplicationLine.id.label("line"), Notice.id, Notice.number)
            .join(Application, Application.id == ApplicationLine.application_id)
            .join(Notice, Notice.id == Application.notice_id)
            .where(ApplicationLine.id.in_([id_ for id_ in lines if id_]))
        )
        return {row.line: row for row in rows}


class CommissionRefundView(SurrenderRefundView):
    """受托清缴退还."""

    route_base = "/commission-refunds"
    kind = CommissionRefund.code
    draws_on = Commission.code
    title = _("Refunds of commissioned surrenders")
    menu = MenuEntry(COMPLIANCE, 13)
    form_title = _("New refund of a commissioned surrender")
    help = (
        _("A refund draws on approved surrenders by commission for one notice"),
        _("It goes to the enterprise: what waits at its province is released once the notice is fulfilled"),
        LATEST_FIRST,
    )  # fmt: skip


class HelperRefundView(SurrenderRefundView):
    """协助清缴退还: entered for the helper."""

    route_base = "/helper-refunds"
    kind = HelperRefund.code
    draws_on = AssistedSurrender.code
    title = _("Refunds to helpers")
    menu = MenuEntry(COMPLIANCE, 14)
    form_title = _("New refund to a helper")
    confirm = _("The quantity returns to the helper once another officer confirms. Submit it?")
    help = (
        _("Choose the enterprise that supplied the allowances: they go back to it, not to whom it helped"),
        LATEST_FIRST,
    )  # fmt: skip


class PledgeRefundView(SurrenderRefundView):
    """质押清缴退还."""

    route_base = "/pledge-refunds"
    kind = PledgeRefund.code
    draws_on = PledgeSurrender.code
    title = _("Refunds under pledges")
    menu = MenuEntry(COMPLIANCE, 15)
    form_title = _("New refund under a pledge")
    confirm = _(
        "The quantity is frozen under its pledge again once another officer confirms. Submit it?"
    )
    help = (
        _("What was surrendered out of a pledge is frozen under it again, also where the rest was released"),
        _("It is free once the pledgee releases it (release of a pledge)"),
        LATEST_FIRST,
    )  # fmt: skip
