"""差异化名录 (rules-2026 N40, N41): enterprises whose allowances of a year stay with the province."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask import request, url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, literal, select

from app.extensions import db
from app.models import Application, Differentiation, Instrument
from app.models.figures import waiting_line
from app.operations.applications import engine
from app.operations.compliance import chain
from app.operations.records.catalogue import Titles
from app.security.roles import AUTHORITIES, PROVINCE, REGISTRY_MAKER
from app.views.applications.form import (
    PLEASE_CHOOSE,
    ApplicationForm,
    Filled,
    OfferedField,
    Required,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk, OfOffices
from app.views.applications.texts import StringField, TextAreaField
from app.views.chapters import ISSUANCE, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction

REASONS = Titles("differentiation")
LISTED, REMOVED = "listed", "removed"
STANDING = {LISTED: (_("In the list"), "amber"), REMOVED: (_("Removed"), "grey")}


class RemovalForm(ApplicationForm):
    """移出."""

    year = StringField(_("Compliance year"), [Required()], render_kw={"maxlength": 4})
    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )
    reason = TextAreaField(
        _("Reason for the application"), [Required()], render_kw={"rows": 3, "maxlength": 500}
    )


class EntryForm(RemovalForm):
    """列入."""

    category = OfferedField(_("Why it is listed"), REASONS, PLEASE_CHOOSE)


class _ListDesk(OfOffices, OfficerDesk):
    """Decisions about the list."""

    grants = {AUTHORITIES: "list export show", f"{PROVINCE} {REGISTRY_MAKER}": "write"}
    guide = {"province": "差异化名录与受托清缴", "registry": "差异化名录与受托清缴"}
    filters = (
        *usual_filters(has_lines=False),
        Filter("year", _("Compliance year"), kind="prefix"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the year."""
        year = Application.proposal["year"].astext
        return super().rows(conditions).add_columns(year.label("year"))

    def content(self, filled: Filled) -> dict[str, Any]:
        """Add the year, as it was typed: a rule reads it."""
        year = (filled.form.year.data or "").strip()
        return {**super().content(filled), "proposal": {"year": year}}

    def typed_before(self, application: Application) -> dict[str, Any]:
        return {**super().typed_before(application), "year": application.proposal.get("year", "")}


class DifferentiationView(_ListDesk):
    """差异化名录: who is or was in it, and 列入."""

    route_base = "/differentiations"
    kind = "differentiation"
    title = _("List of the differentiated")
    menu = MenuEntry(ISSUANCE, 12)
    form_title = _("New entry in the list of the differentiated")
    form = EntryForm
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("year", _("Compliance year"), kind="code"),
        Column("category", _("Why it is listed"), choices=REASONS),
        Column("document_no", _("Number of the authority document"), kind="code"),
        Column("standing", _("Standing in the list"), kind="status", choices=STANDING),
        *usual_columns("created_at", "status"),
    )
    help = (
        _(
            "By the plans of 2023 and 2024 nothing is pre-allocated to it, and the approved quantity waits"
        ),
        _("By those of 2025 on both stages wait at the province"),
        _(
            "What waits is surrendered by commission; the remainder is released once all is fulfilled"
        ),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add whether it stands."""
        standing = (
            select(
                case(
                    (Differentiation.removal_id.is_(None), literal(LISTED)), else_=literal(REMOVED)
                )
            )
            .where(Differentiation.application_id == Application.id)
            .scalar_subquery()
        )
        return super().rows(conditions).add_columns(standing.label("standing"))

    def actions(self, row: Any) -> Iterable[RowAction]:
        """What stands may be removed."""
        yield from super().actions(row)
        if self.may("write", "DifferentiationRemovalView") and row.standing == LISTED:
            about = {"account": row.account_id, "year": row.year}
            yield RowAction(
                _("Remove from the list"), url_for("DifferentiationRemovalView.new", **about)
            )


class DifferentiationRemovalView(_ListDesk):
    """移出差异化名录: what waits of the year goes to the enterprise."""

    route_base = "/differentiation-removals"
    kind = "differentiation_removal"
    title = _("Removals from the list of the differentiated")
    menu = MenuEntry(ISSUANCE, 13)
    form_title = _("New removal from the list of the differentiated")
    form = RemovalForm
    quantity_title = _("Goes to the enterprise")
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("year", _("Compliance year"), kind="code"),
        Column("quantity", _("Goes to the enterprise"), kind="quantity"),
        Column("document_no", _("Number of the authority document"), kind="code"),
        *usual_columns("created_at", "status"),
    )
    confirm = _("With the approval all that waits of the year goes to the enterprise. Submit it?")
    help = (_("With the removal all that waits of the year's vintage goes to the enterprise"),)

    def new_form(self, account_id: int) -> Any:
        return self.form(data={"year": request.args.get("year", "")})

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Add what waits, by instrument."""
        return [*super().form_facts(account_id), *waiting_facts(account_id)]

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        """Take all that waits of the year."""
        made, year = super().draft(filled, account_id), filled.form.year.data or ""
        is_year = year.strip().isascii() and year.strip().isdigit()
        lines = chain.released(account_id, int(year)) if is_year else []
        return replace(made, lines=tuple(lines))


def waiting_facts(account_id: int) -> list[tuple[Any, ...]]:
    """Return what waits for an enterprise at its province, by instrument, as facts of a form."""
    rows = waiting_rows(account_id)
    return summed(
        _("Waiting: %(code)s %(name)s"), rows, {row.line_id: row.remaining for row in rows}
    )


def waiting_rows(account_id: int) -> Sequence[Any]:
    """Return the lines that wait for an enterprise, with their instrument."""
    rows = (
        select(waiting_line.c.line_id, waiting_line.c.remaining, Instrument.code, Instrument.name)
        .join(Instrument, Instrument.id == waiting_line.c.instrument_id)
        .where(waiting_line.c.account_id == account_id, waiting_line.c.remaining > 0)
        .order_by(waiting_line.c.line_id)
    )
    return db.session.execute(rows).all()


def summed(title: Any, rows: Sequence[Any], tonnes: Mapping[int, int]) -> list[tuple[Any, ...]]:
    """Return facts of these tonnes, by line, summed by instrument; ``title`` names the instrument."""
    sums: dict[str, int] = {}
    for row in rows:
        if tonnes.get(row.line_id):
            name = str(title) % {"code": row.code, "name": row.name}
            sums[name] = sums.get(name, 0) + tonnes[row.line_id]
    return [(name, quantity, "number", _("tonnes")) for name, quantity in sums.items()]
