"""销户 and 停用: applied for by the holder, its province or the registry; and what has ended."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select
from wtforms import SelectField

from app.domain.accounts import CLASSES, ENDS
from app.domain.errors import RuleError
from app.domain.kinds.accounts.closure import (
    AccountClosure,
    AccountRetirement,
    ClosureByOffice,
    InstrumentRetirement,
)
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.regions import PROVINCES
from app.extensions import db
from app.models import Account, Application, Instrument
from app.operations.accounts import life
from app.security.roles import APPLICANTS, AUDITOR, AUTHORITIES, PROVINCE, READERS, REGISTRY_MAKER
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import (
    PLEASE_CHOOSE,
    ApplicationForm,
    Filled,
    Required,
    choices_of,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import StringField
from app.views.chapters import ACCOUNTS, ISSUANCE, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage

CONDITIONS = (
    _("Nothing may be left: holdings, money, applications under way, open notices, freezes, debts"),
    _("Two officers of the registry approve it; nobody signs in for the account afterwards"),
    _("Records of the account stay"),
)
GUIDE = {"enterprise": "销户", "province": "销户", "registry": "销户与停用"}


def obstacles(account_id: int) -> str:
    """Return what keeps an account from being closed, as a page says it."""
    return "；".join(each.told() for each in life.obstacles_of(account_id)) or gettext("Nothing")


class _ClosureList:
    """What the lists of all three ends of accounts show."""

    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("document_no", _("Number of the document"), kind="code", is_shown=False),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters(has_lines=False)
    confirm = _("An account that is closed is not opened again. Submit it?")
    rows: Any


def _with_document(statement: Select[Any]) -> Select[Any]:
    return statement.add_columns(Application.document_no)


class AccountClosureView(_ClosureList, ApplicationDesk):
    """销户, applied for by the enterprise."""

    route_base = "/account-closures"
    kind = AccountClosure.code
    title = _("Account closures")
    menu = MenuEntry(ACCOUNTS, 14)
    guide = GUIDE
    grants = {READERS: "list export show", APPLICANTS: "write"}
    form_title = _("Close the account")
    form = ApplicationForm
    new_label = _("Close the account")
    help = CONDITIONS

    def rows(self, conditions: Conditions) -> Select[Any]:
        return _with_document(super().rows(conditions))

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Say what is left."""
        return [(_("Left in the account"), obstacles(account_id), "text")]

    def next_step(self, application: Application) -> Any:
        return gettext("Two officers of the registry review it; until then everything goes on")


class _DocumentForm(ApplicationForm):
    document_no = StringField(
        _("Number of the document"), [Required()], render_kw={"maxlength": 100}
    )


class _EndingDesk(_ClosureList, OfficerDesk):
    def rows(self, conditions: Conditions) -> Select[Any]:
        return _with_document(super().rows(conditions))

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Say what is left."""
        left = (_("Left in the account"), obstacles(account_id), "text")
        return [*super().form_facts(account_id), left]


class ClosureByOfficeView(_EndingDesk):
    """销户 at the request of the province."""

    route_base = "/closures-by-authority"
    kind = ClosureByOffice.code
    title = _("Closures at the authority's request")
    menu = MenuEntry(ACCOUNTS, 15)
    guide = {"province": "销户", "registry": "销户与停用"}
    grants = {AUTHORITIES: "list export show", f"{PROVINCE} {REGISTRY_MAKER}": "write"}
    form_title = _("Close an enterprise's account")
    form = _DocumentForm
    help = CONDITIONS

    def next_step(self, application: Application) -> Any:
        return gettext("Two officers of the registry review it; until then everything goes on")


class AccountRetirementView(_EndingDesk):
    """停用: an account that was opened by mistake."""

    route_base = "/account-retirements"
    kind = AccountRetirement.code
    title = _("Retirements of accounts")
    menu = MenuEntry(ACCOUNTS, 16)
    guide = {"registry": "销户与停用"}
    form_title = _("Retire an account")
    form = ApplicationForm
    help = (
        _("For an account that was opened by mistake: nothing was applied for, nobody signed in"),
        _("It disappears wherever an account is chosen, and stays in history"),
    )


class InstrumentForm(ApplicationForm):
    """An instrument, and the reason."""

    instrument = SelectField(_("Instrument"), [Required()], validate_choice=False)


class InstrumentRetirementView(OfficerDesk):
    """停用: an instrument that was created by mistake."""

    route_base = "/instrument-retirements"
    kind = InstrumentRetirement.code
    title = _("Retirements of instruments")
    menu = MenuEntry(ISSUANCE, 14)
    guide = {"registry": "销户与停用"}
    form_title = _("Retire an instrument")
    form = InstrumentForm
    accepts_attachments = False
    columns = (
        *usual_columns("number"),
        Column("code", _("Instrument code"), kind="code"),
        Column("name", _("Instrument name")),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = tuple(each for each in usual_filters(has_lines=False) if each.name != "member")
    help = (
        _("For an instrument that was created by mistake: nothing of it was ever issued"),
        _(
            "Its trade codes are disabled first; it is offered nowhere any more, and stays in history"
        ),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the instrument."""
        proposal = Application.proposal
        return super().rows(conditions).add_columns(
            proposal["code"].astext.label("code"), proposal["instrument_name"].astext.label("name")
        )  # fmt: skip

    def choose(self) -> None:
        """No enterprise has to be chosen first."""

    def account_id(self) -> int:
        return ISSUANCE_ACCOUNT_ID

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        return []

    def new_form(self, account_id: int) -> Any:
        return _with_instruments(self.form())

    def edit_form(self, application: Application) -> Any:
        chosen = {"instrument": str(application.proposal.get("instrument", ""))}
        return _with_instruments(self.form(data={**self.typed_before(application), **chosen}))

    def content(self, filled: Filled) -> dict[str, Any]:
        """Name the instrument.  Raises RuleError for an unknown one."""
        chosen = filled.form.known.get(filled.form.instrument.data or "")
        if chosen is None:
            raise RuleError(_("Choose the instrument that is to be retired"), field="instrument")
        named = {"instrument": chosen.id, "code": chosen.code, "instrument_name": chosen.name}
        return {**filled.form.content(), "proposal": named}


MOST_INSTRUMENTS = 200


def _with_instruments(form: Any) -> Any:
    """Offer the latest instruments that have not ended."""
    rows = db.session.scalars(
        select(Instrument)
        .where(Instrument.retired_at.is_(None), Instrument.is_of_tonnes())
        .order_by(Instrument.id.desc())
        .limit(MOST_INSTRUMENTS)
    )
    form.known = {str(row.id): row for row in rows}
    titles = {key: f"{row.code} {row.name}" for key, row in form.known.items()}
    form.instrument.choices = choices_of(titles, PLEASE_CHOOSE)
    return form


class ClosedAccountView(ListPage):
    """Accounts that have ended, with the day."""

    route_base = "/closed-accounts"
    title = _("Closed accounts")
    menu = MenuEntry(ACCOUNTS, 17)
    guide = {"province": "销户", "registry": "销户与停用", "administration": "账户的查询"}
    grants = {f"{AUTHORITIES} {AUDITOR}": "list export"}
    account_column = "id"
    columns = (
        Column("member_no", _("Member number"), kind="code"),
        Column("account", _("Member name")),
        Column("holder_class", _("Class of the account"), choices=CLASSES),
        Column("province", _("Province"), choices=PROVINCES),
        Column("opened_on", _("Opened on"), kind="date"),
        Column("closed_as", _("How it ended"), choices=ENDS),
        Column("closed_at", _("Closed at"), kind="datetime"),
    )
    filters = (
        Filter("member", _("Member"), on=("member_no", "account")),
        Filter("closed", _("Closed on"), kind="date_range", on=("closed_at",)),
        Filter("closed_as", _("How it ended"), kind="choice", choices=ENDS),
    )
    help = (_("Their records stay; nobody signs in for them, and nothing is credited to them"),)
    empty_hint = _("No account was closed yet")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row an account."""
        statement: Select = select(
            Account.id, Account.member_no, Account.name.label("account"), Account.holder_class,
            Account.province, Account.opened_on, Account.closed_as, Account.closed_at,
        ).where(Account.closed_at.is_not(None))  # fmt: skip
        return statement
