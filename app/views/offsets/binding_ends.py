"""CCER账户解绑: by the holder's application or by the registry on a document; both may be bound anew."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select

from app.domain.compliance.offsets import CONFIRMED
from app.domain.kinds.compliance.offset import OffsetBindingEnd, OffsetBindingEndByRegistry
from app.models import Application
from app.operations.offsets import applying, bindings
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import ApplicationForm, Filled, Required
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import StringField
from app.views.chapters import OFFSETS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.listing import Conditions
from app.views.offsets.applications import GUIDE


class BindingEndByRegistryForm(ApplicationForm):
    """By which document."""

    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )


class OffsetBindingEndView(ApplicationDesk):
    """The holder's applications; the binding that they end is the one confirmed."""

    route_base = "/offset-binding-ends"
    kind = OffsetBindingEnd.code
    title = _("Ends of CCER account bindings")
    menu = MenuEntry(OFFSETS, 6)
    guide = GUIDE
    form_title = _("Application to end a CCER account binding")
    form = ApplicationForm
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("ccer_account", _("CCER account"), kind="code"),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters(has_lines=False)
    confirm = _(
        "The accounts are not bound any more once the registry has confirmed it. Submit it?"
    )
    help = (
        _("CCER that waits for offset, is in an application or being cancelled is settled first"),
        _("The registry confirms it and tells the CCER registry; what was offset stays"),
        _("Afterwards another binding can be started in the CCER registry"),
    )
    empty_hint = _("Bindings that were ended will be here")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the account there."""
        bound = Application.proposal["ccer_account"].astext
        return super().rows(conditions).add_columns(bound.label("ccer_account"))

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Show the binding."""
        binding = bindings.of_account(account_id)
        facts = super().form_facts(account_id)
        if binding is None or binding.state != CONFIRMED:
            return facts
        return [
            *facts,
            (_("CCER account"), binding.ccer_account, "code"),
            (_("Account holder there"), binding.name, "text"),
        ]

    def obstacle(self, filled: Filled, account_id: int) -> str:
        """Say that nothing is bound."""
        binding = bindings.of_account(account_id)
        if binding is None or binding.state != CONFIRMED:
            return gettext("No CCER account is bound")
        return ""

    def content(self, filled: Filled) -> dict[str, Any]:
        """Say which binding ends.  Raises RuleError where none is confirmed."""
        return {**filled.form.content(), "proposal": applying.end_proposal(filled.account_id)}

    def next_step(self, application: Application) -> Any:
        return gettext("An officer of the registry confirms it")


class OffsetBindingEndByRegistryView(OfficerDesk, OffsetBindingEndView):
    """The registry's, on a document."""

    route_base = "/offset-binding-ends-by-registry"
    kind = OffsetBindingEndByRegistry.code
    title = _("Ends of CCER account bindings by the registry")
    menu = MenuEntry(OFFSETS, 7)
    guide = {"registry": GUIDE["registry"]}
    form_title = _("New end of a CCER account binding")
    form = BindingEndByRegistryForm
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("ccer_account", _("CCER account"), kind="code"),
        Column("document_no", _("Number of the authority document"), kind="code"),
        *usual_columns("created_at", "status"),
    )
