"""账户类别: what each class of accounts may do today, and the decisions of two officers about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import request, url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, func, literal, select
from wtforms import SelectField, SelectMultipleField
from wtforms.fields.choices import SelectChoice
from wtforms.widgets import CheckboxInput, ListWidget

from app.domain.accounts import CLASSES, RIGHTS
from app.domain.kinds.accounts.class_rule import ClassRuleChange
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Application, ClassRule
from app.operations.records import clock
from app.security.roles import READERS
from app.views.applications.form import (
    DATE_INPUT,
    PLEASE_CHOOSE,
    ApplicationForm,
    DayField,
    Filled,
    Required,
    choices_of,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import StringField
from app.views.chapters import ACCOUNTS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction

DESK = "ClassRuleChangeView"
HAS = {True: (_("Yes"), "green"), False: (_("No"), "grey")}


class ClassRuleView(ListPage):
    """What each class may do: the versions that have begun, the newest of each class first."""

    route_base = "/account-classes"
    title = _("Classes of accounts")
    menu = MenuEntry(ACCOUNTS, 20)
    guide = {
        **dict.fromkeys(("enterprise", "province", "registry"), "账户类别"),
        "administration": "账户的查询",
    }
    grants = {READERS: "list export"}
    account_column = None  # They are of classes, not of accounts.
    columns = (
        Column("holder_class", _("Class of the account"), choices=CLASSES),
        *(Column(f"may_{name}", title, kind="status", choices=HAS)
          for name, title in RIGHTS.items()),
        Column("starts_on", _("In force from"), kind="date"),
        Column("document_no", _("Number of the document"), kind="code"),
    )  # fmt: skip
    filters = (Filter("holder_class", _("Class of the account"), kind="choice", choices=CLASSES),)
    help = (
        _("What an account may apply for follows its class and the day"),
        _("Accounts of natural persons are opened only where the system parameter admits them"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return the version of each class that holds today, or will."""
        today = clock.now().astimezone(BEIJING).date()
        begun = select(func.max(ClassRule.id)).where(ClassRule.starts_on <= today)
        held = begun.group_by(ClassRule.holder_class)
        return select(
            ClassRule.id, ClassRule.holder_class, ClassRule.starts_on, ClassRule.document_no,
            *(
                case((literal(name) == ClassRule.rights.any_(), True), else_=False).label(
                    f"may_{name}"
                )
                for name in RIGHTS
            ),
        ).where(ClassRule.id.in_(held) | (ClassRule.starts_on > today))  # fmt: skip

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("write", DESK):
            address = url_for(f"{DESK}.new", holder_class=row.holder_class)
            yield RowAction(_("Adjust"), address)


class ClassRuleForm(ApplicationForm):
    """A class, all of its rights, and the document."""

    holder_class = SelectField(
        _("Class of the account"), [Required()], choices=choices_of(CLASSES, PLEASE_CHOOSE),
        validate_choice=False,
    )  # fmt: skip
    rights = SelectMultipleField(
        _("Rights"), choices=[SelectChoice(*each) for each in RIGHTS.items()], validate_choice=False,
        widget=ListWidget(prefix_label=False), option_widget=CheckboxInput(),
    )  # fmt: skip
    document_no = StringField(
        _("Number of the document"), [Required()], render_kw={"maxlength": 100}
    )
    starts_on = DayField(_("In force from"), [Required()], render_kw=DATE_INPUT)


class ClassRuleChangeView(OfficerDesk):
    """账户类别权限: entered by one officer, confirmed by another."""

    route_base = "/account-class-changes"
    kind = ClassRuleChange.code
    title = _("Rights of classes")
    menu = MenuEntry(ACCOUNTS, 21)
    guide = {"registry": "账户类别"}
    form_title = _("Rights of a class")
    form = ClassRuleForm
    columns = (
        *usual_columns("number"),
        Column("holder_class", _("Class of the account"), choices=CLASSES),
        Column("document_no", _("Number of the document"), kind="code"),
        Column("starts_on", _("In force from"), kind="date"),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = tuple(each for each in usual_filters(has_lines=False) if each.name != "member")
    help = (
        _("Tick all that the class may do from that day on; what is not ticked it may not"),
        _("Applications under review go on as they were submitted"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add class, document and day."""
        return super().rows(conditions).add_columns(
            Application.proposal["class"].astext.label("holder_class"), Application.document_no,
            Application.starts_on,
        )  # fmt: skip

    def choose(self) -> None:
        """No enterprise has to be chosen first."""

    def account_id(self) -> int:
        return ISSUANCE_ACCOUNT_ID

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        return []

    def new_form(self, account_id: int) -> Any:
        """Begin with what the class that the address names may do today."""
        named = request.args.get("holder_class", "")
        held = db.session.scalars(
            select(ClassRule.rights).where(ClassRule.holder_class == named[:20])
            .order_by(ClassRule.id.desc()).limit(1)
        ).first()  # fmt: skip
        return self.form(data={"holder_class": named if held else "", "rights": held or []})

    def edit_form(self, application: Application) -> Any:
        said = application.proposal
        chosen = {"holder_class": said.get("class", ""), "rights": said.get("rights", [])}
        return self.form(data={**self.typed_before(application), **chosen})

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the document and the proposal."""
        form = filled.form
        rights = [name for name in RIGHTS if name in (form.rights.data or ())]
        proposal = {"class": form.holder_class.data or "", "rights": rights}
        return {**form.content(), "proposal": proposal}
