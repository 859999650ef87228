"""What pages show of a court's order: what it holds, what came and went, and what followed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, select

from app.domain.kinds import KINDS
from app.domain.kinds.sanctions.court import CourtAssignment, CourtRelease, CourtRenewal
from app.domain.kinds.sanctions.court_disposal import CourtSale, CourtSaleEnd, CourtSurrender
from app.domain.money import yuan
from app.domain.workflow import STATUS_TITLES, STATUS_TONES, Status
from app.extensions import db
from app.models import (
    Application,
    CourtEffect,
    CourtHold,
    CourtLapse,
    CourtOrder,
    Instrument,
    Posting,
)

EXPIRY = {
    "soon": (_("Ends soon"), "amber"),
    "ended": (_("Not in force any more"), "grey"),
}
CAUSES = {
    "order": _("The court's order"),
    "credit": _("Taken from the queue"),
    "taken_back": _("Sent back or withdrawn"),
    "release": _("Released by the court"),
    "assignment": _("Deducted by the court"),
    "lapse": _("Ended by itself"),
    "surrender": _("Surrendered with the court's consent"),
    "sale": _("Released to be sold"),
    "sale_return": _("Unsold, frozen again"),
    "proceeds": _("Proceeds of the sale"),
}
FOLLOWED = (
    CourtRenewal.code, CourtRelease.code, CourtAssignment.code, CourtSale.code, CourtSaleEnd.code,
    CourtSurrender.code,
)  # fmt: skip
MOST = 100  # rows of a history on a page


def _measure(order: CourtOrder) -> tuple[str, str, Callable[[int], Any]]:
    """Return kind, unit and reader of an order's quantities."""
    if order.is_money:
        return "money", _("yuan"), yuan
    return "number", _("tonnes"), int


def holds_table(order: CourtOrder, place_of: ColumnElement[Any]) -> dict[str, Any]:
    """Return where an order stands: its place, what is effective and of which instrument, what is queued."""
    kind, unit, read = _measure(order)
    held = db.session.execute(
        select(Instrument.code, CourtHold.quantity, place_of.label("place"))
        .select_from(CourtOrder)
        .outerjoin(CourtHold, CourtHold.order_id == CourtOrder.application_id)
        .outerjoin(Instrument, Instrument.id == CourtHold.instrument_id)
        .where(CourtOrder.application_id == order.application_id)
        .order_by(Instrument.code)
    ).all()
    place = held[0].place
    columns = [
        {"label": _("Place in the queue"), "kind": "number"},
        {"label": _("In force until"), "kind": "date"},
        {"label": _("Effective"), "kind": kind, "unit": unit},
        {"label": _("Queued"), "kind": kind, "unit": unit},
        {"label": _("Released or used up"), "kind": kind, "unit": unit},
        {"label": _("Frozen now")},
    ]
    written = yuan if kind == "money" else "{:,}".format
    parts = "、".join(f"{row.code} {written(row.quantity)}" for row in held if row.code)
    return {
        "title": _("Where the order stands"),
        "columns": columns,
        "rows": [
            [
                place or "-",
                order.ends_on,
                read(order.effective),
                read(order.queued),
                read(order.ended),
                parts or "-",
            ]
        ],
    }


def history_table(order: CourtOrder) -> dict[str, Any]:
    """Return what took effect and what ended, the latest first."""
    kind, unit, read = _measure(order)
    rows = db.session.execute(
        select(CourtEffect, Instrument.code, Posting.document)
        .join(Instrument, Instrument.id == CourtEffect.instrument_id)
        .join(Posting, Posting.id == CourtEffect.posting_id)
        .where(CourtEffect.order_id == order.application_id)
        .order_by(CourtEffect.id.desc())
        .limit(MOST)
    ).all()
    return {
        "title": _("What took effect and what ended"),
        "columns": [
            {"label": _("Time"), "kind": "datetime"},
            {"label": _("Instrument code"), "kind": "code"},
            {"label": _("Frozen"), "kind": kind, "unit": unit},
            {"label": _("Let go"), "kind": kind, "unit": unit},
            {"label": _("Cause")},
            {"label": _("Document"), "kind": "code"},
        ],
        "rows": [
            [
                effect.at,
                code,
                read(effect.quantity) if effect.quantity > 0 else None,
                read(-effect.quantity) if effect.quantity < 0 else None,
                CAUSES[effect.cause],
                document,
            ]
            for effect, code, document in rows
        ],
    }


def measures_table(order: CourtOrder) -> dict[str, Any]:
    """Return the measures that followed, and the entry of an end by itself."""
    found = db.session.execute(
        select(Application, CourtLapse)
        .outerjoin(CourtLapse, CourtLapse.order_id == order.application_id)
        .where(
            (
                Application.kind.in_(FOLLOWED)
                & (Application.account_id == order.account_id)
                & Application.status.not_in([Status.DRAFT, Status.DISCARDED])
                & (Application.proposal["order"].astext == str(order.application_id))
            )
            | (Application.id == order.application_id)
        )
        .order_by(Application.id)
        .limit(MOST)
    ).all()
    rows: list[list[Any]] = [
        [
            each.submitted_at or each.created_at,
            KINDS[each.kind].title,
            each.number,
            each.document_no,
            _status(STATUS_TITLES[Status(each.status)], STATUS_TONES[Status(each.status)]),
        ]
        for each, _lapse in found
        if each.id != order.application_id
    ]
    if lapse := found[0][1]:
        rows.append([lapse.at, _("Ended by itself"), lapse.number, "", _status(_("Done"), "grey")])
    return {
        "title": _("What followed"),
        "columns": [
            {"label": _("Time"), "kind": "datetime"},
            {"label": _("Business")},
            {"label": _("Number"), "kind": "code"},
            {"label": _("Number of the ruling")},
            {"label": _("Status"), "kind": "status"},
        ],
        "rows": rows,
    }


def _status(label: Any, tone: str) -> dict[str, Any]:
    return {"label": label, "tone": tone}
