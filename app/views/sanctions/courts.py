"""司法协助: courts' freezes in a queue, their renewals, releases and deductions, by two officers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from flask import abort, g, redirect, request, url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, ColumnElement, Select, case, cast, func, literal, or_, select
from sqlalchemy.orm import aliased, joinedload
from wtforms import SelectField

from app.domain.errors import RuleError
from app.domain.kinds.sanctions.court import (
    TEXTS,
    CourtAssignment,
    CourtFreeze,
    CourtRelease,
    CourtRenewal,
)
from app.domain.money import fen, plain_yuan, written, yuan
from app.domain.moves import whole_tonnes
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line, Status
from app.extensions import db
from app.models import Account, Application, CourtHold, CourtOrder, CourtSale, Instrument, parameter
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.catalogue import Titles
from app.security.scope import in_scope
from app.views.applications import form as application_form
from app.views.applications.form import (
    DATE_INPUT,
    PLEASE_CHOOSE,
    DayField,
    DocumentForm,
    Filled,
    OfferedField,
    ProposalForm,
    Required,
    choices_of,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import StringField
from app.views.chapters import SANCTIONS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction
from app.views.page import named_in_address
from app.views.sanctions.court_orders import EXPIRY, history_table, holds_table, measures_table

MEASURES = {
    kind.code: Titles(kind.code)
    for kind in (CourtFreeze, CourtRenewal, CourtRelease, CourtAssignment)
}
WHOLE = "all"  # the choice of the whole account
ANY = "*"  # the same in a list
TWO_OFFICERS = _("One officer enters it by the court's paper, another confirms it")


class MomentField(StringField):
    """A time of service, to the second, in Beijing."""

    shape = "%Y-%m-%d %H:%M:%S"

    def process_data(self, value: Any) -> None:
        """Show a stored time in Beijing's."""
        try:
            found = datetime.fromisoformat(str(value or ""))
            self.data = found.astimezone(BEIJING).strftime(self.shape)
        except ValueError:
            self.data = ""

    def moment(self) -> str:
        """Return what was typed in ISO 8601, blank where nothing was.  Raises RuleError."""
        typed = (self.data or "").strip()
        if not typed:
            return ""
        try:
            found = datetime.strptime(typed, self.shape).replace(tzinfo=BEIJING)
        except ValueError:
            message = _("Please enter a time like 2026-11-20 10:15:00: %(typed)s", typed=typed[:30])
            raise RuleError(message, field=self.name, code="no_moment") from None
        return found.isoformat()


class CourtForm(ProposalForm, DocumentForm):
    """What every paper of a court says, besides what the page adds as its ``proposal``."""

    document_no = StringField(_("Number of the ruling"), [Required()], render_kw={"maxlength": 100})
    authority = StringField(_("Court"), [Required()], render_kw={"maxlength": 200})
    contact = StringField(TEXTS["contact"][0], [Required()], render_kw={"maxlength": 100})
    request_no = StringField(TEXTS["request_no"][0], [Required()], render_kw={"maxlength": 60})
    case_no = StringField(TEXTS["case_no"][0], [Required()], render_kw={"maxlength": 100})
    served_at = MomentField(
        _("Time of service"),
        [Required()],
        render_kw={"maxlength": 19, "placeholder": "YYYY-MM-DD HH:mm:ss", "autocomplete": "off"},
    )
    starts_on: Any = None

    def content(self) -> dict[str, Any]:
        """Return the draft's content.  Raises RuleError for a time that is none."""
        said = {name: (self[name].data or "").strip() for name in TEXTS}
        said["served_at"] = self.served_at.moment()
        self.proposal = {**self.proposal, **said}
        return super().content()


class TermForm(CourtForm):
    starts_on = DayField(_("In force from"), [Required()], render_kw=DATE_INPUT)
    ends_on = DayField(_("In force until"), [Required()], render_kw=DATE_INPUT)


QUANTITY = {"maxlength": 20, "inputmode": "decimal", "autocomplete": "off"}


def _measured(typed: str | None, *, is_money: bool, field: str = "quantity") -> int:
    """Read tonnes, or yuan as fen; 0 where nothing was typed, which a draft may lack."""
    if not (typed or "").strip():
        return 0
    return fen(typed, field=field) if is_money else whole_tonnes(typed, field=field)


def _written(quantity: int, *, is_money: bool) -> str:
    if not quantity:
        return ""
    return plain_yuan(quantity) if is_money else str(quantity)


class CourtFreezeForm(TermForm):
    """司法冻结."""

    category = OfferedField(_("Measure"), MEASURES[CourtFreeze.code], PLEASE_CHOOSE)
    instrument = SelectField(_("Instrument"), [Required()], validate_choice=False)
    quantity = StringField(
        _("Quantity ordered"),
        [Required()],
        render_kw=QUANTITY,
        description=_("In tonnes; in yuan where a bank's money is frozen"),
    )

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.offered = {str(each.id): each for each in db.session.scalars(_INSTRUMENTS)}
        titles = {key: f"{each.code} {each.name}" for key, each in self.offered.items()}
        whole = {WHOLE: _("Whole account: all allowances held and to come")}
        self.instrument.choices = choices_of(whole | titles, PLEASE_CHOOSE)

    def content(self) -> dict[str, Any]:
        """Add what is to be frozen.  Raises RuleError for a quantity that is none."""
        what = self.offered.get(self.instrument.data or "")
        if what is None and self.instrument.data not in (WHOLE, "", None):
            raise RuleError(_("Choose one of the instruments offered"), field="instrument")
        is_money = what is not None and what.kind == "money"
        quantity = _measured(self.quantity.data, is_money=is_money)
        if not self.instrument.data:
            quantity = 0  # Kept as a draft; nothing is ordered before something is chosen.
        self.proposal = {
            "instrument": what.id if what else None,
            "instrument_code": what.code if what else "",
            "instrument_name": what.name if what else "",
            "quantity": quantity,
            **({"currency": "CNY", "amount": yuan(quantity)} if is_money else {}),
        }
        return super().content()


_INSTRUMENTS = select(Instrument).order_by(Instrument.kind == "money", Instrument.code)


class CourtRenewalForm(TermForm):
    """续行冻结."""

    category = OfferedField(_("Measure"), MEASURES[CourtRenewal.code], PLEASE_CHOOSE)


class CourtReleaseForm(CourtForm):
    """解除."""

    category = OfferedField(_("Measure"), MEASURES[CourtRelease.code], PLEASE_CHOOSE)
    quantity = StringField(_("Quantity released"), [Required()], render_kw=QUANTITY)

    def content(self) -> dict[str, Any]:
        is_money = "currency" in self.proposal
        quantity = _measured(self.quantity.data, is_money=is_money)
        amount = {"amount": yuan(quantity)} if is_money else {}
        self.proposal = {**self.proposal, "quantity": quantity, **amount}
        return super().content()


class DrawingForm(CourtForm):
    """A measure that draws on what its order has frozen."""

    instrument = SelectField(_("Instrument"), [Required()], validate_choice=False)
    quantity = StringField(_("Quantity"), [Required()], render_kw=QUANTITY)

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.held: dict[str, Any] = {}

    def offer(self, order: CourtOrder) -> None:
        """Offer what the order has frozen."""
        rows = db.session.execute(
            select(Instrument, CourtHold.quantity)
            .join(CourtHold, CourtHold.instrument_id == Instrument.id)
            .where(CourtHold.order_id == order.application_id)
            .order_by(Instrument.code)
        )
        self.held = {str(row[0].id): row for row in rows}
        titles = {
            key: f"{what.code} {what.name}（{written(quantity, is_money=what.kind == 'money')}）"
            for key, (what, quantity) in self.held.items()
        }
        self.instrument.choices = choices_of(titles, PLEASE_CHOOSE)

    def lines(self) -> tuple[Line, ...]:
        """Return the line that is drawn.  Raises RuleError where none, or no quantity, is entered."""
        found = self.held.get(self.instrument.data or "")
        if found is None:
            message = _("Choose one of the instruments that the order has frozen")
            raise RuleError(message, field="instrument")
        quantity = _measured(self.quantity.data, is_money=found[0].kind == "money")
        if not quantity:
            raise RuleError(_("Enter a quantity in whole tonnes"), field="quantity")
        return (Line(found[0].id, quantity),)


class CourtAssignmentForm(DrawingForm):
    """扣划."""

    category = OfferedField(_("Measure"), MEASURES[CourtAssignment.code], PLEASE_CHOOSE)
    quantity = StringField(_("Quantity deducted"), [Required()], render_kw=QUANTITY)
    receiver = StringField(
        _("Member number of the receiver"), [Required()], render_kw={"maxlength": 20}
    )

    def lines(self) -> tuple[Line, ...]:
        """Add the receiver.  Raises RuleError where it has no account."""
        (line,) = super().lines()
        number = (self.receiver.data or "").strip()
        receiver = db.session.scalar(select(Account.id).where(Account.member_no == number))
        if receiver is None:
            message = _(
                "There is no account %(number)s; without one the units have to be sold (须变卖)",
                number=number[:20],
            )
            raise RuleError(message, field="receiver", code="sale_needed")
        return (Line(line.instrument_id, line.quantity, account_id=receiver),)


PAPER_COLUMNS = (
    Column("document_no", _("Number of the ruling"), kind="code"),
    Column("authority", _("Court"), is_shown=False),
    Column("case_no", _("Case number"), kind="code", is_shown=False),
    Column("request_no", _("Number of the request"), kind="code", is_shown=False),
)
HIDDEN = ("member_no", "created_at")
PAPER_FILTERS = (
    Filter("ruling", _("Number of the ruling"), on=("document_no",)),
    Filter("court", _("Court"), on=("authority",)),
    Filter("case", _("Case number"), on=("case_no",)),
)


class CourtDesk(OfficerDesk):
    """A court's measure: entered with its paper, confirmed by another officer."""

    guide = {"registry": "司法冻结与扣划"}

    def needs_attachments(self, account_id: int) -> bool:
        """The court's paper."""
        return True

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what the paper says."""
        said = Application.proposal
        return (
            super()
            .rows(conditions)
            .add_columns(
                said["case_no"].astext.label("case_no"),
                said["request_no"].astext.label("request_no"),
                said["order_number"].astext.label("order_number"),
                cast(func.jsonb_extract_path_text(said, "served_at"), _MOMENT).label("served_at"),
                of_measure(
                    cast(said["quantity"].astext, BigInteger), said.has_key("currency")
                ).label("asked"),
            )
        )

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Return an application as form data, with what its paper says."""
        said = application.proposal
        quantity = _written(said.get("quantity") or 0, is_money="currency" in said)
        found = {name: said.get(name, "") for name in (*TEXTS, "served_at")}
        return {**super().typed_before(application), **found, "quantity": quantity}


_MOMENT = CourtOrder.served_at.type


def of_measure(figure: Any, is_money: Any, *, of_money: bool = False) -> ColumnElement[Any]:
    """Return a figure where it is of tonnes, or, asked for, where it is of money."""
    return case((is_money if of_money else ~is_money, figure))


class CourtFreezeView(CourtDesk):
    """司法冻结: orders by their service, what is effective and what is queued, and 新增."""

    route_base = "/court-freezes"
    kind = CourtFreeze.code
    title = _("Judicial freezes")
    menu = MenuEntry(SANCTIONS, 7)
    form_title = _("New judicial freeze")
    form = CourtFreezeForm
    stacks_actions = True
    columns = (
        *usual_columns("number", "member_no", "account", hidden=("number", *HIDDEN)),
        Column("target", _("Instrument code"), kind="text", choices={ANY: _("Whole account")}),
        Column("category", _("Measure"), choices=MEASURES[CourtFreeze.code], is_shown=False),
        *PAPER_COLUMNS,
        Column("served_at", _("Time of service"), kind="datetime", is_shown=False),
        Column("place", _("Place in the queue"), kind="number"),
        Column("asked", _("Ordered"), kind="quantity"),
        Column("effective", _("Effective"), kind="quantity"),
        Column("queued", _("Queued"), kind="quantity"),
        Column("asked_amount", _("Ordered, money"), kind="money", is_shown=False),
        Column("effective_amount", _("Effective, money"), kind="money", is_shown=False),
        Column("queued_amount", _("Queued, money"), kind="money", is_shown=False),
        Column("until", _("In force until"), kind="date"),
        Column("expiry", _("Expiry"), kind="status", choices=EXPIRY),
        *usual_columns("created_at", "status", hidden=HIDDEN),
    )
    filters = (
        *PAPER_FILTERS,
        *usual_filters(has_lines=False),
        Filter("target", _("Instrument code"), kind="prefix", on=("target",)),
        Filter("expiry", _("Expiry"), kind="choice", choices=EXPIRY),
    )
    confirm = _("What there is of it is frozen at once, the rest queued. Submit it?")
    help = (
        TWO_OFFICERS,
        _(
            "Courts are served in the order of service; when one ends, the next takes effect by itself"
        ),
        _("What is credited later is frozen as far as somebody waits for it"),
        _("An order that nobody renews ends by itself at 24:00 of its last day"),
        _("Allowances that wait in the province's account are not reached"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what the order has, its place, and its end."""
        said = Application.proposal
        code = func.nullif(func.jsonb_extract_path_text(said, "instrument_code"), "")
        found = (
            super()
            .rows(conditions)
            .outerjoin(CourtOrder, CourtOrder.application_id == Application.id)
        )
        columns = [
            func.coalesce(code, literal(ANY)).label("target"),
            place_of(CourtOrder).label("place"),
            func.coalesce(CourtOrder.ends_on, Application.ends_on).label("until"),
            expiry_of(CourtOrder).label("expiry"),
            (CourtOrder.quantity - CourtOrder.ended).label("left"),
        ]
        for name, figure in (
            ("asked_amount", cast(said["quantity"].astext, BigInteger)),
            ("effective_amount", CourtOrder.effective),
            ("queued_amount", CourtOrder.queued),
        ):
            columns.append(of_measure(figure, said.has_key("currency"), of_money=True).label(name))
        for name, figure in (("effective", CourtOrder.effective), ("queued", CourtOrder.queued)):
            columns.append(of_measure(figure, said.has_key("currency")).label(name))
        return found.add_columns(*columns)

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield from super().actions(row)
        if row.stored_status == Status.APPROVED and row.left:
            yield from self._measures(row.account_id, row.id)

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        yield from super().detail_actions(application, status)
        order = db.session.get(CourtOrder, application.id)
        if application.status == Status.APPROVED and order and order.ended < order.quantity:
            yield from self._measures(application.account_id, application.id)
        elif application.status == Status.APPROVED and order and _is_on_sale(order):
            yield from following(self, application.account_id, application.id, ["CourtRenewalView"])

    def _measures(self, account_id: int, order: int) -> Iterable[RowAction]:
        return following(self, account_id, order, (page for page, _label in FOLLOWING))

    def detail(self, application: Application, *arguments: Any, **how: Any) -> dict[str, Any]:
        """Keep the order in the session while its parts are drawn, so that it is read once."""
        order = find_order(application.id)
        found = super().detail(application, *arguments, **how)
        if order is not None:
            found["tables"] += order_tables(order)
        return found

    def new_form(self, account_id: int) -> Any:
        form = self.form()
        form.proposal = {}
        return form

    def typed_before(self, application: Application) -> dict[str, Any]:
        said = application.proposal
        chosen = str(said.get("instrument") or (WHOLE if said.get("quantity") else ""))
        return {**super().typed_before(application), "instrument": chosen}


FOLLOWING: Sequence[tuple[str, Any]] = (
    ("CourtRenewalView", _("Renew the freeze")),
    ("CourtReleaseView", _("Release")),
    ("CourtAssignmentView", _("Deduct")),
    ("CourtSaleView", _("Sell at the exchange")),
)


def _is_on_sale(order: CourtOrder) -> bool:
    unsold = select(CourtSale.application_id).where(
        CourtSale.order_id == order.application_id, CourtSale.unsold > 0
    )
    return db.session.scalar(unsold.limit(1)) is not None


def following(page: Any, account_id: int, order: int, pages: Iterable[str]) -> Iterable[RowAction]:
    """Yield the actions that enter what follows an order, as far as the member may."""
    titles = dict(FOLLOWING)
    for name in pages:
        if page.may("write", name):
            address = url_for(f"{name}.new", account=account_id, order=order)
            yield RowAction(titles[name], address)


def order_tables(order: CourtOrder) -> list[dict[str, Any]]:
    """Return what pages show of an order: where it stands, its history, and what followed."""
    return [holds_table(order, place_of(CourtOrder)), history_table(order), measures_table(order)]


def place_of(order: Any) -> ColumnElement[Any]:
    """Return an order's place among those of its account in force that compete with it, from 1 on."""
    other = aliased(CourtOrder)
    before = (
        select(func.count())
        .select_from(other)
        .where(
            other.account_id == order.account_id,
            other.ended < other.quantity,
            other.sale_of.is_(None),
            or_(
                other.served_at < order.served_at,
                (other.served_at == order.served_at)
                & (other.application_id < order.application_id),
            ),
            or_(
                other.instrument_id.is_(None),
                order.instrument_id.is_(None),
                other.instrument_id == order.instrument_id,
            ),
        )
        .correlate(order)
        .scalar_subquery()
    )
    return case((order.sale_of.is_(None) & (order.ended < order.quantity), before + 1))


def expiry_of(order: Any) -> ColumnElement[Any]:
    """Return whether an order in force ends within the days of the reminder."""
    today = clock.now().astimezone(BEIJING).date()
    soon = today + timedelta(days=parameter.settings(db.session)["court_reminder_days"])
    return case(
        (order.ended >= order.quantity, literal("ended")),
        (order.ends_on <= soon, literal("soon")),
        else_=literal(""),
    )


class FollowingDesk(CourtDesk):
    """A measure about an earlier order, which its address names."""

    new_label = _("Choose a judicial freeze")
    columns = (
        *usual_columns("number", "member_no", "account", hidden=HIDDEN),
        Column("order_number", _("Order concerned"), kind="code"),
        Column("category", _("Measure")),
        *PAPER_COLUMNS,
        Column("served_at", _("Time of service"), kind="datetime"),
        *usual_columns("created_at", "status", hidden=HIDDEN),
    )
    filters = (
        *PAPER_FILTERS,
        *usual_filters(has_lines=False),
        Filter("order", _("Order concerned"), kind="prefix", on=("order_number",)),
    )

    def choose(self) -> Any:
        """Lead to the orders; nothing once the address names one."""
        return None if "order" in request.args else redirect(url_for("CourtFreezeView.list"))

    def account_id(self) -> int:
        return self.named_order().account_id

    def named_order(self) -> CourtOrder:
        """Return the order that the address names, or abort with 404."""
        return _named_order()

    def new_form(self, account_id: int) -> Any:
        """Begin with the court of the order, which mostly is the same."""
        order = self.named_order()
        original = order.application
        begins = {"authority": original.authority, "contact": original.proposal.get("contact", "")}
        return self._about(self.form(data=begins), order)

    def edit_form(self, application: Application) -> Any:
        order = find_order(application.proposal["order"])
        return self._about(super().edit_form(application), order)

    def _about(self, form: Any, order: Any) -> Any:
        """Bind a form to an order, with the original's numbers (N95)."""
        original = order.application
        form.order = order  # Kept in the session by it, so that the page reads it once.
        form.proposal = {
            "order": order.application_id,
            "order_number": original.number,
            "original_case_no": original.proposal.get("case_no", ""),
            "original_request_no": original.proposal.get("request_no", ""),
            **({"currency": "CNY"} if order.is_money else {}),
        }
        return form

    def title_of(self, form: Any) -> Any:
        return f"{self.form_title}：{form.proposal['order_number']}"

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Add what the order has and until when."""
        found = super().form_facts(account_id)
        order = self._order_of_page()
        is_money = order.is_money
        return [
            *found,
            (_("Case number of the order"), order.application.proposal.get("case_no", ""), "text"),
            (_("Effective"), written(order.effective, is_money=is_money), "text"),
            (_("Queued"), written(order.queued, is_money=is_money), "text"),
            (_("In force until"), order.ends_on, "date"),
        ]

    def _order_of_page(self) -> CourtOrder:
        if id_ := (request.view_args or {}).get("id"):
            application = db.session.get_one(Application, id_)
            return db.session.get_one(CourtOrder, application.proposal["order"])
        return self.named_order()


def _named_order() -> CourtOrder:
    order = find_order(named_in_address("order", digits=18))
    if order is None or not in_scope(order.account_id, g.user):
        abort(404)
    return order


def find_order(id_: int) -> CourtOrder | None:
    """Return an order with its application, account and instrument."""
    related = (CourtOrder.application, CourtOrder.account, CourtOrder.instrument)
    return db.session.get(CourtOrder, id_, options=[joinedload(each) for each in related])


def _with_measure(code: str, *more: Column) -> tuple[Column, ...]:
    found = []
    for each in FollowingDesk.columns:
        if each.key == "category":
            found += [Column("category", _("Measure"), choices=MEASURES[code]), *more]
        else:
            found.append(each)
    return tuple(found)


class CourtRenewalView(FollowingDesk):
    """续行冻结: served before the end, it keeps the place in the queue."""

    route_base = "/court-renewals"
    kind = CourtRenewal.code
    title = _("Renewals of judicial freezes")
    menu = MenuEntry(SANCTIONS, 8)
    form_title = _("Renew a judicial freeze")
    form = CourtRenewalForm
    columns = _with_measure(CourtRenewal.code, Column("ends_on", _("In force until"), kind="date"))
    help = (
        TWO_OFFICERS,
        _("Served before the order's end it keeps its place; served later it is a new freeze"),
    )


class CourtReleaseView(FollowingDesk):
    """解除冻结, 解除轮候."""

    route_base = "/court-releases"
    kind = CourtRelease.code
    title = _("Releases of judicial freezes")
    menu = MenuEntry(SANCTIONS, 9)
    form_title = _("Release a judicial freeze")
    form = CourtReleaseForm
    columns = _with_measure(CourtRelease.code, Column("asked", _("Released"), kind="quantity"))
    help = (
        TWO_OFFICERS,
        _(
            "In part or whole; what is released goes to the next court in the queue, if there is one"
        ),
        _("05 lifts what is queued, and no more than that"),
    )


class DrawingDesk(FollowingDesk):
    """A measure that draws on what its order has frozen: one line."""

    def _about(self, form: Any, order: Any) -> Any:
        form = super()._about(form, order)
        form.offer(order)
        return form

    def typed_before(self, application: Application) -> dict[str, Any]:
        found = super().typed_before(application)
        found.pop("lines")
        for line in application.lines:
            found |= {
                "instrument": str(line.instrument_id),
                "quantity": _written(line.quantity, is_money=line.instrument.kind == "money"),
            }
        return found

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        lines, content = filled.form.lines(), filled.form.content()
        content["proposal"] |= self.said_of(lines)
        return engine.Draft(
            kind=self.kind,
            account_id=account_id,
            lines=lines,
            request_key=application_form.request_key(),
            **content,
        )

    def said_of(self, lines: Sequence[Line]) -> dict[str, str]:
        """Return what the proposal says of the lines."""
        return {}


class CourtAssignmentView(DrawingDesk):
    """司法扣划: what an order has frozen goes to the receiver; it is published."""

    route_base = "/court-assignments"
    kind = CourtAssignment.code
    title = _("Judicial deductions")
    menu = MenuEntry(SANCTIONS, 10)
    form_title = _("Deduct from a judicial freeze")
    quantity_title = _("Deducted")
    form = CourtAssignmentForm
    columns = _with_measure(
        CourtAssignment.code,
        Column("instrument_codes", _("Instrument code"), kind="code"),
        Column("quantity", _("Deducted"), kind="quantity"),
        Column("receiver", _("Receiver")),
    )
    confirm = _("Once it is confirmed, the units belong to the receiver. Submit it?")
    help = (
        TWO_OFFICERS,
        _("Only what this very order has frozen can be deducted"),
        _("The receiver needs an account of a class that may hold them; otherwise they are sold"),
        _("A deduction is published: enterprise, instrument, quantity, document and date"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the receiver's name."""
        name = func.jsonb_extract_path_text(Application.proposal, "receiver_name")
        return super().rows(conditions).add_columns(name.label("receiver"))

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Add the receiver."""
        receivers = [line.account.member_no for line in application.lines if line.account]
        return {**super().typed_before(application), "receiver": "".join(receivers)}

    def said_of(self, lines: Sequence[Line]) -> dict[str, str]:
        """Return the receiver's name."""
        return {"receiver_name": db.session.get_one(Account, lines[0].account_id).name}
