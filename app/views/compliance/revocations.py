"""撤销决定: what an authority takes back, by two of its officers (docs/adr/0100)."""

from __future__ import annotations

from typing import Any

from flask import abort, g, request
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, func, select

from app.domain.kinds.revocation import REVOCABLE, Revocation
from app.extensions import db
from app.models import Application
from app.models.figures import claim_part
from app.security.roles import AUTHORITIES, PROVINCE, REGISTRY_MAKER
from app.security.scope import in_scope
from app.views.applications.form import (
    DATE_INPUT,
    ApplicationForm,
    DayField,
    Filled,
    Required,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk, OfOffices
from app.views.applications.texts import StringField
from app.views.chapters import ISSUANCE, MenuEntry
from app.views.compliance.deductions import OF_OFFICERS, REASON
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions

TITLES = {each.code: each.title for each in REVOCABLE}


class RevocationForm(ApplicationForm):
    """What is revoked, by which document."""

    number = StringField(
        _("Number of what is revoked"),
        [Required()],
        description=_("Of an approved deduction, adjustment notice or administrative penalty"),
        render_kw={"maxlength": 30},
    )
    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )
    starts_on = DayField(_("Date of the document"), [Required()], render_kw=DATE_INPUT)
    reason = REASON


class RevocationView(OfOffices, OfficerDesk):
    """撤销决定: each authority revokes its own decisions."""

    route_base = "/revocations"
    kind = Revocation.code
    title = _("Revocations of decisions")
    menu = MenuEntry(ISSUANCE, 17)
    guide = OF_OFFICERS
    grants = {AUTHORITIES: "list export show", f"{PROVINCE} {REGISTRY_MAKER}": "write"}
    form_title = _("New revocation")
    form = RevocationForm
    columns = (
        *usual_columns("number", "member_no", "account", hidden=("member_no",)),
        Column("revoked", _("Number of what is revoked"), kind="code"),
        Column("kind_revoked", _("What is revoked"), choices=TITLES),
        Column("document_no", _("Number of the authority document"), kind="code"),
        Column("starts_on", _("Date of the document"), kind="date"),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *usual_filters(has_lines=False),
        Filter("revoked", _("Number of what is revoked"), kind="prefix"),
        Filter("kind_revoked", _("What is revoked"), kind="choice", choices=TITLES),
    )
    confirm = _("It counts no longer once another officer has approved this. Submit it?")
    help = (
        _("The authority that decided revokes it, by two officers and with a document"),
        _("A revoked deduction counts no longer in the true-up: what was issued too little is issued as a"
          " supplementary issue"),
        _("Of an adjustment notice what is still open ends; what was returned or netted stays, and is issued"
          " again where the document says so"),
        _("A revoked penalty stays published, marked as withdrawn"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what is revoked."""
        said = Application.proposal
        return (
            super()
            .rows(conditions)
            .add_columns(
                said["number"].astext.label("revoked"), said["kind"].astext.label("kind_revoked")
            )
        )

    def choose(self) -> Any:
        """Ask for the enterprise unless the address names it, or what is revoked."""
        return None if "of" in request.args else super().choose()

    def account_id(self) -> int:
        """Return the enterprise that the decision is about by now, or the one that was chosen."""
        if "of" not in request.args or "account" in request.args:
            return super().account_id()
        return _about(request.args["of"][:30]) or abort(404)

    def new_form(self, account_id: int) -> Any:
        """Begin with the decision that the address names."""
        return self.form(data={"number": request.args.get("of", "")[:30]})

    def edit_form(self, application: Application) -> Any:
        """Return the form filled in with what is to be revoked."""
        number = application.proposal.get("number", "")
        return self.form(data={**self.typed_before(application), "number": number})

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the number, and the kind that it is of; the rules say whether it can be revoked."""
        number = (filled.form.number.data or "").strip().upper()
        kind = db.session.scalar(select(Application.kind).where(Application.number == number))
        found = {"number": number, "kind": kind if kind in TITLES else ""}
        return {**filled.form.content(), "proposal": found}


def _about(number: str) -> int:
    """Return the enterprise in scope that a decision is about; a claim may have gone to a successor."""
    owing = select(func.min(claim_part.c.account_id)).where(
        claim_part.c.application_id == Application.id, claim_part.c.remaining > 0
    )
    found = select(
        func.coalesce(owing.correlate(Application).scalar_subquery(), Application.account_id)
    ).where(Application.number == number, Application.kind.in_(TITLES))
    account_id = db.session.scalar(found)
    return account_id if account_id and in_scope(account_id, g.user) else 0
