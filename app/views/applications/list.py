"""The list and detail page of every kind of application, and what was done to a row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flask import abort, g
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, ColumnElement, Select, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased, joinedload, selectinload

from app.domain.accounts import CLASSES, EMITTER
from app.domain.kinds import KINDS
from app.domain.kinds.accounts.account import AccountOpening, CertificateReplacement
from app.domain.kinds.accounts.machine_key import MachineKey, MachineKeyRevocation
from app.domain.kinds.compliance.claim import AllowanceClaim
from app.domain.kinds.compliance.deduction import AllowanceDeduction
from app.domain.kinds.compliance.figure_table import FigureTable
from app.domain.kinds.issuance import Issuance
from app.domain.kinds.pledge import PLEDGES
from app.domain.kinds.sanctions.penalty import AdministrativePenalty
from app.domain.masking import mask_of
from app.domain.regions import PROVINCES
from app.domain.workflow import (
    ACTION_TITLES,
    COLLEAGUE_STEP,
    STATUS_TITLES,
    STATUS_TONES,
    Action,
    Party,
    Status,
)
from app.extensions import db
from app.models import (
    Account,
    Application,
    ApplicationEvent,
    ApplicationLine,
    ApplicationParty,
    Instrument,
    SettlementRun,
    Venue,
)
from app.models.figures import line_draw
from app.operations.accounts import details
from app.operations.applications import attachments, history
from app.operations.records.catalogue import Titles, sector_titles
from app.security.scope import scoped_applications
from app.views.applications import money, receivers
from app.views.applications.proposals import key_facts, proposal_table
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url

# Kinds whose first date is their document's.
_DATED = (
    Issuance.code,
    AllowanceDeduction.code,
    AllowanceClaim.code,
    AdministrativePenalty.code,
    FigureTable.code,
)
# What the last date of some kinds is.
_ENDS = {
    AllowanceClaim.code: _("Return by"),
    **dict.fromkeys((each.code for each in PLEDGES), _("Filing holds until")),
}
MAX_NAMED = 10  # instruments named in the question of a bulk operation
SETTLED = "settled"  # shown instead of "pending settlement" once the day has been closed
# Shown instead of "draft": an imported issuance without the document it rests on (N05).
AWAITING_DOCUMENT = "awaiting_document"
REVOKED = "revoked"  # shown instead of "approved"
SHOWN_STATUSES = {
    **{str(status): (STATUS_TITLES[status], STATUS_TONES[status]) for status in Status},
    SETTLED: (_("Transferred"), "green"),
    AWAITING_DOCUMENT: (_("Awaiting document"), "amber"),
    REVOKED: (_("Decision revoked"), "grey"),
}
# What an application that is reviewed, and settles at once, goes through.
REVIEWED_STATUSES = ("draft", "in_review", "approved", "returned", "withdrawn")
ACTION_TONES = {
    Action.SAVE: "grey",
    Action.SUBMIT: "blue",
    Action.APPROVE: "green",
    Action.SEND_BACK: "red",
    Action.WITHDRAW: "grey",
    Action.REFUSE: "red",
    Action.DISCARD: "grey",
}
SHOWN_STATUS = case(
    (Application.revoked_by_id.is_not(None), literal(REVOKED)),
    (
        (Application.status == Status.PENDING_SETTLEMENT)
        & (Application.settles_on <= select(func.max(SettlementRun.day)).scalar_subquery()),
        literal(SETTLED),
    ),
    (
        (Application.kind == Issuance.code)
        & (Application.status == Status.DRAFT)
        & Application.import_id.is_not(None)
        & ((Application.document_no == "") | Application.starts_on.is_(None)),
        literal(AWAITING_DOCUMENT),
    ),
    else_=Application.status,
)

# A deleted draft is shown in the logs only.
IS_THERE = Application.status != Status.DISCARDED


def line_subquery(expression: Any, *conditions: Any) -> Any:
    """Return a scalar subquery over an application's lines, evaluated for the rows shown only."""
    return (
        select(expression)
        .select_from(ApplicationLine)
        .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
        .join(Venue, Venue.id == ApplicationLine.venue_id, isouter=True)
        .where(ApplicationLine.application_id == Application.id, *conditions)
        .correlate(Application)
        .scalar_subquery()
    )


def of_line_draw(figure: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the total of a figure of `line_draw` over an application's lines; run as `of_line` is."""
    return (
        select(cast(func.coalesce(func.sum(figure), 0), BigInteger))
        .where(line_draw.c.application_id == Application.id)
        .correlate(Application)
        .scalar_subquery()
    )


def instruments_subquery(column: str, *conditions: Any) -> Any:
    """Return codes or names of an application's instruments, each once, in the order of the codes."""
    held = (
        select(Instrument.code, Instrument.name)
        .distinct()
        .join(ApplicationLine, ApplicationLine.instrument_id == Instrument.id)
        .where(ApplicationLine.application_id == Application.id, *conditions)
        .correlate(Application)
        .subquery("held")
    )
    order = aggregate_order_by(literal("、"), held.c.code)
    return select(func.string_agg(held.c[column], order)).scalar_subquery()


class ApplicationList(ListPage):
    """The applications of one kind in the member's row scope."""

    kind: str
    account_column = "account_id"

    columns: tuple[Column, ...] = (
        Column("number", _("Application number"), kind="code"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("instrument_codes", _("Instrument code"), kind="code"),
        Column("instruments", _("Instrument name")),
        Column("quantity", _("Quantity"), kind="quantity"),
        Column("created_at", _("Applied at"), kind="datetime"),
        Column("status", _("Status"), kind="status", choices=SHOWN_STATUSES),
    )
    quantity_title: Any = _("Quantity")
    filters: tuple[Filter, ...] = ()

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row per application; lines are aggregated."""
        shown = self.lines_shown()
        return (
            select(
                Application.id,
                Application.account_id,
                Application.number,
                Account.member_no,
                Account.name.label("account"),
                instruments_subquery("code", *shown).label("instrument_codes"),
                instruments_subquery("name", *shown).label("instruments"),
                line_subquery(
                    func.sum(ApplicationLine.quantity), Instrument.is_of_tonnes(), *shown
                ).label("quantity"),
                line_subquery(
                    func.sum(ApplicationLine.quantity), Instrument.is_of_money(), *shown
                ).label("amount"),
                line_subquery(func.max(Venue.name)).label("venue"),
                Application.kind,
                Application.category,
                Application.document_no,
                Application.authority,
                Application.starts_on,
                Application.ends_on,
                Application.reason,
                Application.created_at,
                Application.submitted_at,
                Application.settles_on,
                Application.refusal,
                Application.status.label("stored_status"),
                SHOWN_STATUS.label("status"),
            )
            .join(Account, Account.id == Application.account_id)
            .where(self.chosen(), IS_THERE)
        )

    def lines_shown(self) -> Sequence[ColumnElement[bool]]:
        """Return the conditions for the lines that a row aggregates."""
        return ()

    def bulk_facts(self, ids: Sequence[int]) -> Sequence[tuple[Any, ...]]:
        """Return the enterprises and tonnes concerned."""
        # Openings share the registry's account; each counts as an enterprise.
        concerned = case(
            (Application.kind == AccountOpening.code, -Application.id),
            else_=Application.account_id,
        )
        enterprises = select(func.count(concerned.distinct())).where(Application.id.in_(ids))
        lines = db.session.execute(
            select(
                Instrument.code,
                Instrument.name,
                cast(func.sum(ApplicationLine.quantity), BigInteger),
                Instrument.kind,
            )
            .select_from(ApplicationLine)
            .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
            .join(Application, Application.id == ApplicationLine.application_id)
            .where(Application.id.in_(ids), *self.lines_shown())
            .group_by(Instrument.code, Instrument.name, Instrument.kind)
            .order_by(Instrument.code)
        ).all()
        facts: list[tuple[Any, ...]] = [
            (_("Number of enterprises"), db.session.scalar(enterprises), "number")
        ]
        for kind, mine in money.by_measure(lines, lambda each: each.kind):
            facts.append((_("Total"), sum(each[2] for each in mine), *money.measure(kind)))
            for code, name, quantity, _kind in mine[:MAX_NAMED]:
                facts.append((f"{code} {name}", quantity, *money.measure(kind)))
            if len(mine) > MAX_NAMED:
                others = sum(each[2] for each in mine[MAX_NAMED:])
                title = gettext("%(count)s other instruments", count=len(mine) - MAX_NAMED)
                facts.append((title, others, *money.measure(kind)))
        return facts

    def bulk_state(self, ids: Sequence[int]) -> str:
        """Return the sum of the versions: every change increments one."""
        return str(
            db.session.scalar(select(func.sum(Application.version)).where(Application.id.in_(ids)))
        )

    def chosen(self) -> ColumnElement[bool]:
        """Return the condition for the applications of this page."""
        return Application.kind == self.kind

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("show"):
            yield RowAction(_("Details"), self.url("show", id=row.id))

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        return self.render_template("parts/detail.html", detail=self.detail(*self.found(id)))

    def detail(
        self, application: Application, status: str = "", *, is_clear: bool = False
    ) -> dict[str, Any]:
        """Return the context of detail.html; ``status`` is the one that `found` returns.

        Personal data are masked unless ``is_clear``.
        """
        status = status or application.status
        label, tone = SHOWN_STATUSES[status]
        return {
            "title": self.title,
            "number": application.number,
            "status": {"label": label, "tone": tone},
            "actions": [
                {
                    "label": each.label,
                    "url": each.url,
                    "method": each.method,
                    "confirm": each.confirm,
                    "tone": "danger" if each.is_dangerous else "",
                }
                for each in self.detail_actions(application, status)
            ],
            "sections": [{"title": _("Application"), "items": self.detail_facts(application)}],
            "tables": self.detail_tables(application, is_clear=is_clear),
            "lines": self.detail_lines(application),
            "attachments": attachments.of_application(application.id),
            "timeline": timeline(application),
            "help": self.help,
            "back_url": back_url(self.url("list")),
        }

    def detail_facts(self, application: Application) -> list[tuple[Any, Any, str]]:
        """Return the facts above the lines."""
        number, name = subject_of(application)
        facts = [
            (_("Application number"), application.number, "code"),
            (_("Member number"), number, "code"),
            (_("Member name"), name, "text"),
            (_("Business"), KINDS[application.kind].title, "text"),
            (_("Applied at"), application.created_at, "datetime"),
            (_("Submitted at"), application.submitted_at, "datetime"),
        ]
        facts += [(title, value, kind) for title, value, kind in _kind_facts(application) if value]
        if waits_for_colleague(application):
            facts.append((_("Review step"), waits_for_colleague(application), "text"))
        if application.kind == CertificateReplacement.code:
            proposal = application.proposal
            facts.append((_("Certificate of"), proposal.get("member_no", ""), "code"))
            facts.append((_("Serial number"), proposal.get("certificate", ""), "text"))
        if application.kind in (MachineKey.code, MachineKeyRevocation.code):
            facts += key_facts(application.proposal)
        facts.append((_("Reason for the application"), application.reason, "text"))
        if application.refusal:
            facts.append((_("Reason for the refusal"), application.refusal, "text"))
        return facts

    def detail_tables(
        self, application: Application, *, is_clear: bool = False
    ) -> list[dict[str, Any]]:
        """Return the tables above the lines: proposed details, receivers' agreement."""
        found = []
        if table := proposal_table(application.kind, application.proposal):
            found.append(table)
        elif application.proposal:
            is_new = application.kind == AccountOpening.code
            table = comparison(application.proposal, is_clear=is_clear, is_new=is_new)
            found += [table] if table["rows"] else []
        if Party.RECEIVER in KINDS[application.kind].reviews:
            table = receivers.agreements(application, self.quantity_title)
            found += [table] if table["rows"] else []
        return found

    def detail_lines(self, application: Application) -> dict[str, Any] | None:
        """Return the table of lines, without empty columns."""
        of_kind = KINDS[application.kind]
        if not (of_kind.has_lines or of_kind.routes or application.lines):
            return None
        quantity_title = self.quantity_title
        lines = receivers.lines_of(application)
        if not of_kind.has_lines and not lines:
            return None
        columns: list[tuple[Any, str, Any]] = [
            (_("Instrument code"), "code", lambda line: line.instrument.code),
            (_("Instrument name"), "text", lambda line: line.instrument.name),
            (_("Vintage"), "text", lambda line: line.instrument.vintage or ""),
        ]
        for kind, mine in money.by_measure(lines, lambda line: line.instrument.kind):
            is_money = kind == "money"
            title = _("Amount") if is_money and len(mine) < len(lines) else quantity_title
            columns.append((title, money.measure(kind)[0], money.reader(is_money=is_money)))
        if any(line.source_line_id for line in lines):
            columns.append((_("Drawn from"), "code", lambda line: line.source.application.number))
        if any(line.account_id and line.instrument.kind != "money" for line in lines):
            columns.append((_("Receiving enterprise"), "text", lambda line: line.account.name))
        if any(line.venue_id for line in lines):
            columns.append((_("Trading venue"), "text", lambda line: line.venue.name))
        return {
            "columns": [
                {"label": label, "kind": kind, "unit": money.UNITS.get(kind, "")}
                for label, kind, _read in columns
            ],
            "rows": [[read(line) for _label, _kind, read in columns] for line in lines],
        }

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        return ()

    def load(self, id_: int) -> Application:
        """Return an application of this kind in the member's scope, or abort with 404."""
        return self.found(id_)[0]

    def found(self, id_: int) -> tuple[Application, str]:
        """Return an application in scope with the status that people see, or abort with 404.

        Transfers of a settled day count as settled, though their rows still wait.
        """
        return self.find(id_, self.chosen()) or abort(404)

    def find(self, id_: int, is_about: ColumnElement[bool]) -> tuple[Application, str] | None:
        """Return the same where the condition holds, or None."""
        wanted = scoped_applications(
            select(Application, SHOWN_STATUS).where(Application.id == id_, is_about, IS_THERE),
            Application.id,
            Application.account_id,
            g.user,
        )
        found = db.session.execute(
            wanted.options(
                joinedload(Application.account),
                joinedload(Application.notice),
                joinedload(Application.parties).joinedload(ApplicationParty.account),
                selectinload(Application.lines).options(
                    joinedload(ApplicationLine.instrument),
                    joinedload(ApplicationLine.venue),
                    joinedload(ApplicationLine.account),
                    joinedload(ApplicationLine.source).joinedload(ApplicationLine.application),
                ),
            )
        ).unique()
        row = found.one_or_none()
        if row is None:
            return None
        application, status = row
        return application, status


def approved_at() -> ColumnElement[Any]:
    """Return when an Application was approved last; for the rows shown alone."""
    found = select(func.max(ApplicationEvent.at)).where(
        ApplicationEvent.application_id == Application.id,
        ApplicationEvent.action == Action.APPROVE,
    )
    return found.correlate(Application).scalar_subquery()


def subject_of(application: Application) -> tuple[str, str]:
    """Return number and name of the enterprise; an account being opened has no number yet."""
    if application.kind != AccountOpening.code:
        return application.account.member_no, application.account.name
    number = ""
    if application.status == Status.APPROVED:
        opened = select(Account.member_no).where(Account.opening_id == application.id)
        number = db.session.scalars(opened).one()
    return number, application.proposal.get("name", ["", ""])[1]


def with_opening_names(statement: Select[Any]) -> Select[Any]:
    """Replace the registry's account by the enterprise that an opening is about."""
    is_opening = Application.kind == AccountOpening.code
    opened = aliased(Account)
    number = select(opened.member_no).where(opened.opening_id == Application.id)
    number = number.correlate(Application)
    named = {
        "member_no": case(
            (is_opening, func.coalesce(number.scalar_subquery(), "")), else_=Account.member_no
        ),
        "account": case(
            (is_opening, func.jsonb_extract_path_text(Application.proposal, "name", "1")),
            else_=Account.name,
        ),
    }
    columns = [
        named[each.name].label(each.name) if each.name in named else each
        for each in statement.selected_columns
    ]
    return statement.with_only_columns(*columns, maintain_column_froms=True)


def waits_for_colleague(application: Application) -> str:
    """Return a note where another operator of the enterprise has to agree first (操作复核), or ""."""
    is_waiting = application.status == Status.IN_REVIEW and application.step == COLLEAGUE_STEP
    return gettext("Another operator of the enterprise agrees first") if is_waiting else ""


def comparison(
    proposal: Mapping[str, Any], *, is_clear: bool, is_new: bool = False
) -> dict[str, Any]:
    """Return old and new values side by side; personal data masked unless ``is_clear``.

    Where ``is_new``, there are no old values.
    """
    rows = []
    for name, (before, after) in details.proposed(proposal).items():
        field = details.BY_NAME[name]
        mask = mask_of(name) if field.is_personal and not is_clear else None
        if name == "sector":
            before, after = (sector_titles(each) for each in (before, after))
        rows.append([field.title, *(mask(each) if mask else each for each in (before, after))])
    if is_new:
        province = PROVINCES.get(proposal.get("province", ["", ""])[1], "")
        of_class = proposal.get("holder_class", ["", EMITTER])[1]
        return {
            "title": _("Account details"),
            "columns": [{"label": _("Field")}, {"label": _("Value")}],
            "rows": [
                [_("Class of the account"), CLASSES.get(of_class, of_class)],
                *([title, after] for title, _old, after in rows),
                [_("Province"), province],
            ],
        }
    return {
        "title": _("Old and new details"),
        "columns": [
            {"label": _("Field")},
            {"label": _("Before the change")},
            {"label": _("After the change")},
        ],
        "rows": rows,
    }


def _kind_facts(application: Application) -> list[tuple[Any, Any, str]]:
    """Return the facts of certain kinds."""
    kind = KINDS[application.kind]
    # Receivers of a kind with lines are named in its table of agreements.
    others = [] if kind.has_lines else application.parties
    names = "、".join(f"{each.account.name}（{each.account.member_no}）" for each in others)
    return [
        (_("Type"), Titles(kind.code).get(application.category), "text"),
        (_("Compliance notice"), application.notice and application.notice.number, "code"),
        (_("Number of the authority document"), application.document_no, "text"),
        (_("Deciding authority"), application.authority, "text"),
        (
            _("Date of the document") if application.kind in _DATED else _("In force from"),
            application.starts_on,
            "date",
        ),
        (
            _ENDS.get(application.kind, _("In force until")),
            application.ends_on,
            "date",
        ),
        (_("Settles on"), application.settles_on, "date"),
        (_("Other enterprises concerned"), names, "text"),
    ]


def timeline(application: Application) -> list[dict[str, Any]]:
    """Return the application's events: what, by whom, when and from where."""
    return [
        {
            "at": event.at,
            "who": event.member_name,
            "action": ACTION_TITLES[Action(event.action)],
            "comment": event.comment if is_open else "",
            "ip": event.ip if is_open else "",
            "tone": ACTION_TONES[Action(event.action)],
        }
        for event, is_open in receivers.events_of(application)
    ]


def usual_columns(*keys: str, hidden: Collection[str] = ()) -> tuple[Column, ...]:
    """Return columns that lists of applications share, by key and in this order.

    Those ``hidden`` are not shown by default.
    """
    known = {each.key: each for each in ApplicationList.columns}
    return tuple(
        replace(known[key], is_shown=False) if key in hidden else known[key] for key in keys
    )


def last_event_text(application: Application) -> str:
    """Return what was done to an application last, by whom and when."""
    event = history.last_event(application.id)
    told = history.described(event) if event else ""
    return gettext("Application %(number)s: %(event)s", number=application.number, event=told)


def usual_filters(
    *statuses: str, has_lines: bool = True, with_settles_on: bool = False
) -> tuple[Filter, ...]:
    """Return the query form that lists of applications share, for the statuses or the usual ones."""
    instrument = (Filter("instrument", _("Instrument"), on=("instrument_codes", "instruments")),)
    found: tuple[Filter, ...] = (
        Filter("number", _("Application number"), kind="prefix", on=("number",)),
        *(instrument if has_lines else ()),
        Filter(
            "status",
            _("Status"),
            kind="choice",
            on=("status",),
            choices={status: SHOWN_STATUSES[status] for status in statuses or REVIEWED_STATUSES},
        ),
        Filter("created", _("Applied on"), kind="date_range", on=("created_at",)),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
    )
    if with_settles_on:
        found += (Filter("settles", _("Settles on"), kind="date_range", on=("settles_on",)),)
    return found
