"""发放管理: 标的管理, and 配额发放 singly or by an allocation table (manual 三)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any

from flask import flash, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, ColumnElement, Select, cast, func, literal, select, true
from wtforms import SelectField

from app.domain.dates import as_written
from app.domain.errors import RuleError
from app.domain.moves import HELD_BUCKETS, Bucket, whole_tonnes
from app.domain.trading_day import BEIJING
from app.domain.workflow import Status
from app.extensions import db
from app.models import (
    Account,
    Application,
    ApplicationLine,
    Holding,
    Instrument,
    Venue,
    VenueInstrument,
)
from app.operations.applications import engine
from app.operations.compliance import chain
from app.operations.exchange import instruments
from app.operations.imports import allocation, batches
from app.operations.imports.tables import Table
from app.operations.records import clock
from app.operations.records.catalogue import ISSUANCE_TYPES
from app.security.roles import OFFICERS, REGISTRY_MAKER
from app.views.applications.form import (
    DATE_INPUT,
    PLEASE_CHOOSE,
    Choosable,
    DayField,
    Filled,
    LinesForm,
    OfferedField,
    Required,
    choices_of,
)
from app.views.applications.imports import ImportDesk
from app.views.applications.list import (
    AWAITING_DOCUMENT,
    REVIEWED_STATUSES,
    SHOWN_STATUSES,
    approved_at,
    usual_columns,
    usual_filters,
)
from app.views.applications.texts import StringField
from app.views.chapters import ISSUANCE, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import PageForm, carried_out, current_actor

# 各去向: where issued tonnes can be (domain.md R11).
WAITING = "waiting"  # at provinces
WHEREABOUTS: dict[str, tuple[Any, tuple[Bucket, ...]]] = {
    WAITING: (_("At provinces"), (Bucket.AVAILABLE, Bucket.RESERVED)),
    "held": (_("Held"), HELD_BUCKETS),
    "custody": (_("In custody"), (Bucket.CUSTODY, Bucket.IN_RETURN)),
    "surrendered": (_("Surrendered"), (Bucket.SURRENDERED,)),
    "cancelled": (_("Cancelled"), (Bucket.CANCELLED,)),
    "confiscated": (_("Confiscated"), (Bucket.CONFISCATED,)),
    "recalled": (_("Recalled"), (Bucket.RECALLED,)),
}


def _sum_of(buckets: Iterable[Bucket]) -> ColumnElement[Any]:
    amounts: list[ColumnElement[Any]] = [getattr(Holding, each.column) for each in buckets]
    return sum(amounts, start=literal(0))


class InstrumentForm(PageForm):
    """新增标的; the code is generated."""

    name = StringField(
        _("Instrument name"),
        [Required()],
        render_kw={"maxlength": instruments.LONGEST_NAME, "autocomplete": "off"},
    )
    vintage = StringField(
        _("Vintage"), [Required()], render_kw={"maxlength": 4, "inputmode": "numeric"}
    )
    venue = SelectField(_("Trading venue"), validate_choice=False)
    trade_code = StringField(
        _("Trade code"), render_kw={"maxlength": 20, "placeholder": "CEA25", "autocomplete": "off"}
    )


class InstrumentView(ListPage):
    """标的管理: every instrument, the quantity issued and where it is now."""

    route_base = "/instruments"
    title = _("Instrument management")
    menu = MenuEntry(ISSUANCE, 1)
    guide = {"registry": "标的管理"}
    grants = {OFFICERS: "list export", REGISTRY_MAKER: "write"}
    account_column = None  # Instruments belong to no account.
    columns = (
        Column("code", _("Instrument code"), kind="code"),
        Column("name", _("Instrument name")),
        Column("vintage", _("Vintage"), kind="code"),
        Column("trade_code", _("Trade code"), kind="code"),
        Column("issued", _("Issued"), kind="quantity"),
        *(Column(key, title, kind="quantity") for key, (title, _b) in WHEREABOUTS.items()),
    )
    filters = (
        Filter("code", _("Instrument code"), kind="prefix", on=("code",)),
        Filter("name", _("Instrument name"), on=("name",)),
        Filter("vintage", _("Vintage"), kind="number"),
    )
    help = (
        _(
            "Issued = at provinces + held + in custody + surrendered + cancelled + confiscated + recalled"
        ),
        _("Without a trade code an instrument cannot be transferred to a venue"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row per instrument; holdings are summed in one pass."""
        sums: dict[str, ColumnElement[Any]] = {"issued": -Holding.issued}
        sums |= {key: _sum_of(buckets) for key, (_title, buckets) in WHEREABOUTS.items()}
        is_waiting = Account.kind == "province"
        whose = {WAITING: is_waiting, "held": ~is_waiting}
        added = (
            select(
                Holding.instrument_id,
                *(
                    cast(func.sum(amount).filter(whose.get(key, true())), BigInteger).label(key)
                    for key, amount in sums.items()
                ),
            )
            .join(Account, Account.id == Holding.account_id)
            .group_by(Holding.instrument_id)
            .subquery("added")
        )
        trade_codes = (
            select(func.string_agg(VenueInstrument.trade_code, "、"))
            .where(VenueInstrument.instrument_id == Instrument.id)
            .scalar_subquery()
        )
        return (
            select(
                Instrument.id,
                Instrument.code,
                Instrument.name,
                Instrument.vintage,
                trade_codes.label("trade_code"),
                *(func.coalesce(added.c[key], 0).label(key) for key in sums),
            )
            .where(Instrument.is_of_tonnes())
            .outerjoin(added, added.c.instrument_id == Instrument.id)
        )

    def tools(self) -> Iterable[RowAction]:
        if self.may("write"):
            yield RowAction(_("New instrument"), self.url("new"), icon="plus")

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        form = InstrumentForm()
        venues = db.session.execute(
            select(Venue.id, Venue.name)
            .where(Venue.in_force(clock.now().date()))
            .order_by(Venue.id)
        ).all()
        form.venue.choices = choices_of({str(id_): name for id_, name in venues}, _("None"))
        if form.validate_on_submit() and self._create(form):
            return redirect(back_url(self.url("list")))
        return self.form_page(
            _("New instrument"),
            form,
            facts=[(_("Instrument code"), _("Given by the system: PE, year, six digits"), "text")],
            submit_label=_("Create"),
            cancel_url=back_url(self.url("list")),
            help=self.help[1:],
        )

    def _create(self, form: InstrumentForm) -> bool:
        vintage = (form.vintage.data or "").strip()
        new = instruments.NewInstrument(
            name=form.name.data or "",
            vintage=int(vintage) if vintage.isascii() and vintage.isdigit() else 0,
            venue_id=int(form.venue.data) if (form.venue.data or "").isdecimal() else None,
            trade_code=(form.trade_code.data or "").strip().upper(),
        )
        code = carried_out(
            form, lambda: instruments.create(new, current_actor(), now=clock.now()).code, "name"
        )
        if code:
            flash(gettext("Instrument %(code)s was created", code=code), "success")
        return bool(code)


class IssuanceForm(LinesForm):
    """配额发放."""

    category = OfferedField(_("Issuance type"), ISSUANCE_TYPES, PLEASE_CHOOSE)
    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )
    starts_on = DayField(_("Date of the document"), [Required()], render_kw=DATE_INPUT)


class DocumentEntry(PageForm):
    """The document that an imported table rests on."""

    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )
    starts_on = DayField(_("Date of the document"), [Required()], render_kw=DATE_INPUT)


class IssuanceView(ImportDesk):
    """配额发放: entered by one officer or imported, confirmed by another."""

    route_base = "/issuances"
    kind = "issuance"
    title = _("Issuances")
    menu = MenuEntry(ISSUANCE, 2)
    guide = {"registry": "逐笔发放"}
    form_title = _("New issuance")
    form = IssuanceForm
    importer = allocation
    import_label = _("Import an allocation table")
    import_page = "issuance/import.html"
    file_title = _("Allocation table")
    outside_the_table = {
        "declared": _("Total of all rows"),
        "document_no": _("Number of the authority document"),
        "starts_on": _("Date of the document"),
    }
    quantity_title = _("Issued quantity")
    picker_columns = (
        {"label": _("Instrument code"), "kind": "code"},
        {"label": _("Instrument name"), "kind": "text"},
        {"label": _("Vintage"), "kind": "code"},
        {"label": _("Held now"), "kind": "number", "unit": _("tonnes")},
    )
    form_columns = (
        *picker_columns,
        {
            "label": _("Issued quantity"),
            "kind": "quantity",
            "unit": _("tonnes"),
            "is_required": True,
        },
    )
    columns: tuple[Column, ...] = (
        *usual_columns("number", "member_no", "account", "instrument_codes", "instruments"),
        Column("category", _("Issuance type"), choices=ISSUANCE_TYPES),
        Column("quantity", _("Issued quantity"), kind="quantity"),
        Column("document_no", _("Number of the authority document"), kind="code", is_shown=False),
        Column("import_id", _("Import batch"), kind="code"),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *usual_filters("draft", AWAITING_DOCUMENT, *REVIEWED_STATUSES[1:]),
        Filter("type", _("Issuance type"), kind="choice", on=("category",), choices=ISSUANCE_TYPES),
        Filter("import", _("Import batch"), kind="number", on=("import_id",)),
    )
    confirm = _("Once it is confirmed, the tonnes come into being. Submit it?")
    help = (
        _("One officer enters an issuance or imports an allocation table, another confirms it"),
        _("In the review list, the condition import batch finds all that came with one table"),
        _("A table without the paper of the province waits for it: it cannot be submitted before"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the import batch."""
        return (
            super()
            .rows(conditions)
            .add_columns(Application.import_id, approved_at().label("approved_at"))
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        """What was issued today can be reversed (N16)."""
        yield from super().actions(row)
        is_issued = row.stored_status == Status.APPROVED
        if is_issued and self.may("write", "IssuanceReversalView") and _is_of_today(row):
            address = url_for("IssuanceReversalView.new", account=row.account_id, source=row.id)
            yield RowAction(_("Reverse"), address, is_dangerous=True)

    def offered(self, account_id: int) -> list[Choosable]:
        """Return every instrument, with the holding of the enterprise."""
        held = _sum_of(HELD_BUCKETS)
        rows = db.session.execute(
            select(
                Instrument.id,
                Instrument.code,
                Instrument.name,
                Instrument.vintage,
                func.coalesce(held, 0).label("held"),
            )
            .outerjoin(
                Holding,
                (Holding.instrument_id == Instrument.id) & (Holding.account_id == account_id),
            )
            .where(Instrument.is_of_tonnes())
            .order_by(Instrument.code.desc())
        )
        return [
            Choosable(
                row.id,
                row.code,
                row.name,
                None,
                cells=(
                    (row.code, "code"),
                    (row.name, "text"),
                    (row.vintage, "code"),
                    (row.held, "number"),
                ),
                picked_cells=(row.code, row.name, row.vintage, row.held),
            )
            for row in rows
        ]

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        """Send each line where the plan says."""
        made = super().draft(filled, account_id)
        today = clock.now().astimezone(BEIJING).date()
        return replace(
            made, lines=tuple(chain.routed(account_id, made.category, made.lines, today))
        )

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Name the lines as they are picked: where they go follows from the plan."""
        found = super().typed_before(application)
        for line, typed in zip(application.lines, found["lines"], strict=True):
            typed["choice"] = str(line.instrument_id)
        return found

    def take(self, table: Table) -> batches.Imported:
        """Import an allocation table, whose total is declared in the form."""
        typed = request.form.get("declared", "").strip()
        declared = whole_tonnes(typed, field="declared") if typed else None
        document_no = request.form.get("document_no", "").strip()
        day = _document_day(request.form.get("starts_on", "").strip(), document_no)
        return allocation.take(
            table,
            self.actor(),
            now=clock.now(),
            declared=declared,
            document_no=document_no,
            documented_on=day,
            only_tries=True,
        )

    def facts_of(self, batch: batches.Batch) -> list[tuple[Any, ...]]:
        """Add the document."""
        about = select(Application.document_no, Application.starts_on)
        row = db.session.execute(
            about.where(Application.import_id == batch.file.id).order_by(Application.id)
        ).first()
        return [
            *super().facts_of(batch),
            (_("Number of the authority document"), row and row.document_no, "text"),
            (_("Date of the document"), row and row.starts_on, "date"),
        ]

    def batch_status(self, batch: batches.Batch, status: Status) -> tuple[Any, str]:
        """Show 待文件 instead of a draft's status (N05)."""
        if status is Status.DRAFT and self._awaits_document(batch):
            return SHOWN_STATUSES[AWAITING_DOCUMENT]
        return super().batch_status(batch, status)

    def batch_actions(self, batch: batches.Batch) -> list[dict[str, Any]]:
        """What waits for its document cannot be submitted before."""
        found = super().batch_actions(batch)
        if not batch.statuses[Status.DRAFT]:
            return found
        awaits = self._awaits_document(batch)
        address = self.url("document", import_id=batch.file.id)
        enter = {"label": gettext("Enter the document"), "url": address}
        if awaits:
            found = [each for each in found if not each["url"].endswith("/submit")]
            enter["tone"] = "primary"
        return [enter, *found]

    def _awaits_document(self, batch: batches.Batch) -> bool:
        lacking = (Application.document_no == "") | Application.starts_on.is_(None)
        found = select(func.count()).where(
            Application.import_id == batch.file.id, Application.status == Status.DRAFT, lacking
        )
        return bool(db.session.scalar(found))

    @expose("/import/<int:import_id>/document", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def document(self, import_id: int) -> Any:
        """Enter number and date of the document that an imported table rests on."""
        batch, form = self._batch(import_id), DocumentEntry()
        page = self.url("imported", import_id=import_id)
        if form.validate_on_submit():
            entered = carried_out(form, lambda: self._enter_document(batch, form), "document_no")
            if entered:
                flash(gettext("The document is entered; the batch can be submitted now"), "success")
                return redirect(page)
        return self.form_page(
            gettext("Enter the document"),
            form,
            cancel_url=page,
            facts=self.facts_of(batch),
            submit_label=gettext("Save"),
            help=(_("The sealed paper of the province is the authority for issuing"),),
        )

    def _enter_document(self, batch: batches.Batch, form: Any) -> int:
        number = (form.document_no.data or "").strip()
        if not number:
            raise RuleError(_("Please fill this in"), field="document_no", code="required")
        if form.starts_on.data is None:
            raise RuleError(_("Please fill this in"), field="starts_on", code="required")
        return batches.enter_document(
            batch.file.id, number, form.starts_on.data, self.actor(), now=clock.now()
        )

    def preview(self, batch: batches.Batch) -> list[dict[str, Any]]:
        """Return the tonnes by instrument and type."""
        rows = db.session.execute(
            select(
                Instrument.code,
                Instrument.name,
                Application.category,
                func.count(Application.account_id.distinct()),
                cast(func.sum(ApplicationLine.quantity), BigInteger),
            )
            .join(ApplicationLine, ApplicationLine.application_id == Application.id)
            .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
            .where(Application.import_id == batch.file.id)
            .group_by(Instrument.code, Instrument.name, Application.category)
            .order_by(Instrument.code, Application.category)
        )
        columns = [
            {"label": _("Instrument code"), "kind": "code"},
            {"label": _("Instrument name"), "kind": "text"},
            {"label": _("Issuance type"), "kind": "text"},
            {"label": _("Number of enterprises"), "kind": "number"},
            {"label": _("Issued quantity"), "kind": "number", "unit": _("tonnes")},
        ]
        shown = [[code, name, ISSUANCE_TYPES[type_], *rest] for code, name, type_, *rest in rows]
        return [{"title": _("Totals"), "columns": columns, "rows": shown}]


def _is_of_today(row: Any) -> bool:
    """Tell whether an issue took effect today."""
    at, today = row.approved_at, clock.now().astimezone(BEIJING).date()
    return at is not None and at.astimezone(BEIJING).date() == today


def _document_day(typed: str, document_no: str) -> date | None:
    """Read the date of a table's document; neither number nor date may stand alone.  Raises RuleError."""
    if not typed:
        if document_no:
            raise RuleError(_("Enter the date of the document, too"), field="starts_on")
        return None
    if not document_no:
        raise RuleError(_("Enter the number of the document, too"), field="document_no")
    try:
        return as_written(typed)[0].date()
    except ValueError as error:
        message = _("%(typed)s is not a date; write it as YYYY-MM-DD", typed=typed[:30])
        raise RuleError(message, field="starts_on") from error
