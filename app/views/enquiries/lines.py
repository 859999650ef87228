"""What enquiries show of the lines of applications: whose, of which instrument, what is left."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, TableClause, select

from app.domain.kinds import KINDS
from app.domain.workflow import Status
from app.models import Account, Application, ApplicationLine, Instrument
from app.models.figures import line_draw
from app.security.roles import READERS
from app.views.applications.list import approved_at
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage

BUSINESS_TITLES = {
    **{code: kind.title for code, kind in KINDS.items()},
    "issuance": _("Issuance"),
    "day_end": _("Day-end settlement"),
    "court_hold": _("Judicial freeze"),
    "carry_over_grant": _("Issue by carry-over"),
    "claim_netting": _("Netting of an issue by a claim"),
    "trade": _("Delivery of a trade"),
    "proceeds_release": _("Release of proceeds"),
    "bank_correction": _("Correction after the bank's file"),
    "receivable": _("Payment of a receivable"),
}
LINE_COLUMNS = (
    Column("member_no", _("Member number"), is_of_others=True, kind="code"),
    Column("account", _("Member name"), is_of_others=True),
    Column("code", _("Instrument code"), kind="code"),
    Column("instrument", _("Instrument name")),
)
LINE_FILTERS = (
    Filter("code", _("Instrument code"), kind="prefix", on=("code",)),
    Filter("instrument", _("Instrument name"), on=("instrument",)),
    Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
)


class ApprovedLines(ListPage):
    """The lines of one kind of application that were approved; nothing can be done here."""

    kind: str
    grants = {READERS: "list export"}
    account_column = "account_id"

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a line."""
        return lines(approved_at().label("handled_at")).where(
            Application.kind == self.kind, Application.status == Status.APPROVED
        )


def lines(*more: Any, parts: TableClause | None = None) -> Select[Any]:
    """Return lines with their application, account and instrument.

    Of what several accounts have a part of, ``parts`` is the view of them; each part is a row.
    """
    account_id = Application.account_id if parts is None else parts.c.account_id
    found: Select = select(
        ApplicationLine.id,
        account_id.label("account_id"),
        Account.member_no,
        Account.name.label("account"),
        Instrument.id.label("instrument_id"),
        Instrument.code,
        Instrument.name.label("instrument"),
        Instrument.vintage,
        (ApplicationLine if parts is None else parts.c).quantity,
        Application.number,
        Application.kind,
        Application.category,
        Application.document_no,
        Application.authority,
        Application.starts_on,
        Application.ends_on,
        Application.submitted_at,
        Application.status,
        *more,
    ).join(Application, Application.id == ApplicationLine.application_id)
    if parts is not None:
        found = found.join(parts, parts.c.line_id == ApplicationLine.id)
    return (
        found.join(Account, Account.id == account_id)
        .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
        .where(Instrument.is_of_tonnes())
    )


def given_back() -> ColumnElement[Any]:
    """Return what approved documents gave back of a line; for the rows shown alone."""
    return (
        select(line_draw.c.drawn)
        .where(line_draw.c.line_id == ApplicationLine.id)
        .correlate(ApplicationLine)
        .scalar_subquery()
    )
