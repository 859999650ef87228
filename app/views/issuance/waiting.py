"""发放链 in pages: what waits at provinces, the province's issues, and reversals (rules-2026 N10-N16)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flask import flash, url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, ColumnElement, Select, case, cast, func, literal, select
from sqlalchemy.orm import aliased

from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.trading_day import BEIJING
from app.domain.workflow import Status
from app.extensions import db, transaction, undone
from app.models import (
    Account,
    Application,
    ApplicationLine,
    Instrument,
)
from app.models.figures import waiting_line
from app.operations.applications import engine
from app.operations.imports import batches, province_issues
from app.operations.records import clock
from app.operations.records.catalogue import ISSUANCE_TYPES
from app.operations.records.columns import among
from app.security.roles import AUTHORITIES, PROVINCE
from app.views.applications import signing
from app.views.applications.choosable_lines import SOURCE_COLUMNS, form_columns
from app.views.applications.desk import DrawsOnDocuments
from app.views.applications.form import Choosable, LinesForm, Required
from app.views.applications.imports import ImportDesk
from app.views.applications.list import approved_at, usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk, OfOffices
from app.views.applications.texts import TextAreaField
from app.views.chapters import ISSUANCE, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import BulkResult, Conditions, ListPage, RowAction, action
from app.views.page import current_actor

DESK = "ProvinceIssueView"
MOST_SHOWN = 200  # rows of a preview
WITHHELD, WAITING, INCOMPLETE, DONE = "withheld", "waiting", "incomplete", "done"
STATES = {
    WAITING: (_("To be issued"), "amber"),
    INCOMPLETE: (_("Issued in part"), "red"),
    WITHHELD: (_("Kept: differentiated"), "grey"),
    DONE: (_("Nothing waits"), "green"),
}


class WaitingView(ListPage):
    """待发放配额: what the registry issued to a province for its enterprises, a row a line."""

    route_base = "/waiting-allowances"
    title = _("Allowances to be issued")
    menu = MenuEntry(ISSUANCE, 3)
    guide = {"province": "发放待发放的配额", "registry": "经省级账户发放与冲正"}
    grants = {AUTHORITIES: "list export", PROVINCE: "bulk"}
    account_column = "account_id"
    bulk_name, bulk_object = "number", "account"
    columns = (
        *usual_columns("member_no", "account"),
        Column("code", _("Instrument code"), kind="code"),
        Column("vintage", _("Compliance year"), kind="code"),
        Column("category", _("Issuance type"), choices=ISSUANCE_TYPES),
        Column("quantity", _("By the table"), kind="quantity"),
        Column("drawn", _("Issued or taken"), kind="quantity"),
        Column("pending", _("Under review"), kind="quantity"),
        Column("remaining", _("Waiting at the authority"), kind="quantity"),
        Column("since", _("At the authority since"), kind="datetime"),
        Column("state", _("Status"), kind="status", choices=STATES),
        Column("number", _("Application number"), kind="code", is_shown=False),
        Column("document_no", _("Number of the authority document"), kind="code", is_shown=False),
    )
    filters = (
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
        Filter("state", _("Status"), kind="choice", choices=STATES),
        Filter("year", _("Compliance year"), kind="number", on=("vintage",)),
        Filter("code", _("Instrument code"), kind="prefix", on=("code",)),
        Filter("type", _("Issuance type"), kind="choice", on=("category",), choices=ISSUANCE_TYPES),
    )
    help = (
        _(
            "The registry issues to the province; the province issues to each enterprise what is its own"
        ),
        _("Chosen in the list, all that waits is issued; less is issued singly or by a table"),
        _("Nothing above the table can be issued; what was issued in part is marked"),
        _("Of a differentiated enterprise it stays until the year's notices are fulfilled"),
    )
    empty_hint = _("What the registry issues to the province for its enterprises appears here")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a line that the province received."""
        wait = waiting_line.c
        is_withheld = func.is_withheld(wait.account_id, wait.vintage)
        state = case(
            (wait.remaining <= 0, literal(DONE)),
            (is_withheld, literal(WITHHELD)),
            (wait.remaining < wait.quantity, literal(INCOMPLETE)),
            else_=literal(WAITING),
        )
        return (
            select(
                wait.line_id.label("id"),
                wait.account_id,
                Account.member_no,
                Account.name.label("account"),
                Instrument.code,
                Instrument.vintage,
                Application.category,
                wait.quantity,
                wait.drawn,
                wait.pending,
                wait.remaining,
                approved_at().label("since"),
                state.label("state"),
                Application.number,
                Application.document_no,
                Application.id.label("application_id"),
            )
            .select_from(waiting_line)
            .join(Account, Account.id == wait.account_id)
            .join(Application, Application.id == wait.application_id)
            .join(Instrument, Instrument.id == wait.instrument_id)
        )

    def tools(self) -> Iterable[RowAction]:
        if self.may("write", DESK):
            address = url_for(f"{DESK}.import_table")
            yield RowAction(_("Import an issue"), address, icon="file-upload")

    def actions(self, row: Any) -> Iterable[RowAction]:
        """What waits can be issued in part."""
        if self.may("write", DESK) and row.state in (WAITING, INCOMPLETE):
            address = url_for(f"{DESK}.new", account=row.account_id, source=row.application_id)
            yield RowAction(_("Issue to the enterprise"), address)

    def bulk_facts(self, ids: Sequence[int]) -> Sequence[tuple[Any, ...]]:
        """Return the enterprises and what waits for them."""
        wait = waiting_line.c
        enterprises, tonnes = db.session.execute(
            select(
                func.count(wait.account_id.distinct()),
                cast(func.sum(wait.remaining), BigInteger),
            ).where(among(wait.line_id, ids))
        ).one()
        return [
            (_("Number of enterprises"), enterprises, "number"),
            (_("Total"), tonnes or 0, "number", _("tonnes")),
        ]

    def bulk_state(self, ids: Sequence[int]) -> str:
        """Return what waits: it changes with every issue."""
        found = select(func.sum(waiting_line.c.remaining))
        return str(db.session.scalar(found.where(among(waiting_line.c.line_id, ids))))

    def before_bulk(self, name: str, ids: Sequence[int]) -> Any:
        """Where submissions are signed, save the issues and sign them once."""
        if not signing.is_required():
            return None
        actor = current_actor()
        try:
            with transaction():
                made = province_issues.draft_waiting(ids, actor, now=clock.now())
            with transaction(), undone():
                engine.submit_all(made, actor, now=clock.now())
        except engine.NoneSubmitted as error:
            return signing.none_submitted(error, self.url("list"))
        return signing.ask_for_submissions(made, actor)

    @action(
        "issue",
        _("Issue all that waits"),
        _("Issue all that waits of the %(count)s rows chosen? Another officer approves it."),
        "send",
        single=False,
    )
    def issue(self, ids: Sequence[int]) -> BulkResult:
        """Save and submit an issue per enterprise, all or none."""
        actor = current_actor()
        made = province_issues.draft_waiting(ids, actor, now=clock.now())
        try:
            engine.submit_all(made, actor, now=clock.now())
        except engine.NoneSubmitted as error:
            flash(str(error), "danger")
            return BulkResult(refused=dict.fromkeys(ids, str(error)))
        return BulkResult(done=[*ids])


class ReasonLinesForm(LinesForm):
    """Lines, and why."""

    reason = TextAreaField(
        _("Reason for the application"), [Required()], render_kw={"rows": 3, "maxlength": 500}
    )


class ProvinceIssueView(DrawsOnDocuments, OfOffices, ImportDesk):
    """主管部门发放: two officers of the province issue what waits."""

    route_base = "/province-issues"
    kind = "province_issue"
    draws_on = "issuance"
    draws_whole = True
    title = _("Issues by the authority")
    menu = MenuEntry(ISSUANCE, 4)
    guide = {"province": "发放待发放的配额", "registry": "经省级账户发放与冲正"}
    grants = {AUTHORITIES: "list export show", PROVINCE: "write bulk"}
    form_title = _("New issue by the authority")
    form = LinesForm
    importer = province_issues
    import_label = _("Import an issue")
    import_page = "issuance/province_import.html"
    file_title = _("Issue by the authority")
    accepts_attachments = False
    picker_title = _("Choose what waits")
    quantity_title = _("Issued quantity")
    form_columns = form_columns(_("Issued quantity"), SOURCE_COLUMNS)
    columns = (
        *usual_columns("number", "member_no", "account", "instrument_codes", "instruments"),
        Column("quantity", _("Issued quantity"), kind="quantity"),
        Column("import_id", _("Import batch"), kind="code"),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *usual_filters(),
        Filter("import", _("Import batch"), kind="number", on=("import_id",)),
    )
    confirm = _("It reaches the enterprise once another officer of yours approves. Submit it?")
    help = (
        _("One officer of the province enters an issue or imports a table, another approves it"),
        _("An issue draws on what the registry issued for this enterprise, and on nothing else"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the import batch."""
        return super().rows(conditions).add_columns(Application.import_id)

    def drawable(self) -> Sequence[ColumnElement[bool]]:
        """Only what went to the province waits there."""
        return (ApplicationLine.account_id.is_not(None),)

    def preview(self, batch: batches.Batch) -> list[dict[str, Any]]:
        """Return the tonnes by instrument, and what the table leaves waiting (N12)."""
        source = aliased(ApplicationLine)
        of_batch = (
            select(
                Account.member_no,
                Account.name,
                Instrument.code,
                ApplicationLine.quantity,
                (waiting_line.c.remaining - ApplicationLine.quantity).label("left"),
            )
            .join(Application, Application.id == ApplicationLine.application_id)
            .join(Account, Account.id == Application.account_id)
            .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
            .join(source, source.id == ApplicationLine.source_line_id)
            .join(waiting_line, waiting_line.c.line_id == source.id)
            .where(Application.import_id == batch.file.id, Application.status == Status.DRAFT)
        )
        short = of_batch.where(waiting_line.c.remaining > ApplicationLine.quantity)
        rows = db.session.execute(short.order_by(Account.member_no).limit(MOST_SHOWN)).all()
        columns = [
            {"label": _("Member number"), "kind": "code"},
            {"label": _("Member name"), "kind": "text"},
            {"label": _("Instrument code"), "kind": "code"},
            {"label": _("Issued quantity"), "kind": "number", "unit": _("tonnes")},
            {"label": _("Left waiting"), "kind": "number", "unit": _("tonnes")},
        ]
        if not rows:
            return []
        title = _("Incomplete: something is left waiting")
        return [{"title": title, "columns": columns, "rows": [list(row) for row in rows]}]


class IssuanceReversalView(DrawsOnDocuments, OfficerDesk):
    """发放冲正: a wrong issue of today is undone in full."""

    route_base = "/issuance-reversals"
    kind = "issuance_reversal"
    draws_on = "issuance"
    draws_whole = True
    title = _("Reversals of issues")
    menu = MenuEntry(ISSUANCE, 5)
    guide = {"registry": "经省级账户发放与冲正"}
    form_title = _("New reversal of an issue")
    form = ReasonLinesForm
    picker_title = _("Choose issues of today")
    quantity_title = _("Reversed quantity")
    form_columns = form_columns(_("Reversed quantity"), SOURCE_COLUMNS)
    columns = (
        *usual_columns("number", "member_no", "account", "instrument_codes", "instruments"),
        Column("quantity", _("Reversed quantity"), kind="quantity"),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters()
    confirm = _("The whole issue is undone once another officer confirms. Submit it?")
    help = (
        _("One officer enters it on the day of the issue, another confirms it on the same day"),
        _("Only in full, and only while all of it is available at the enterprise or its province"),
        _("Later, or when part of it was used, it is claimed back by a notice of adjustment"),
    )

    def drawable(self) -> Sequence[ColumnElement[bool]]:
        """Only issues of today can be reversed."""
        today = clock.now().astimezone(BEIJING)
        begins = datetime.combine(today.date(), datetime.min.time(), tzinfo=BEIJING)
        at = approved_at()
        return (at >= begins, at < begins + timedelta(days=1))

    def offered(self, account_id: int) -> list[Choosable]:
        """What is reversed goes back to the account that it was issued from."""
        found = super().offered(account_id)
        return [replace(each, account_id=ISSUANCE_ACCOUNT_ID) for each in found]
