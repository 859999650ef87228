"""CCER账户绑定确认: what the CCER registry asked for, and what the enterprise answered (N80)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import g
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select
from wtforms import SelectField

from app.domain.compliance.offsets import ANSWERS
from app.domain.kinds.compliance.offset import OffsetBindingAnswer
from app.models import Application
from app.operations.offsets import applying, bindings
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import (
    PLEASE_CHOOSE,
    ApplicationForm,
    Filled,
    Required,
    choices_of,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.chapters import OFFSETS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.listing import Conditions, RowAction
from app.views.offsets.applications import GUIDE


class BindingAnswerForm(ApplicationForm):
    """Yes or no."""

    answer = SelectField(
        _("Answer"), [Required()], choices=choices_of(ANSWERS, PLEASE_CHOOSE), validate_choice=False
    )


class OffsetBindingView(ApplicationDesk):
    """The answers to bindings; a new one where a binding waits."""

    route_base = "/offset-bindings"
    kind = OffsetBindingAnswer.code
    title = _("Confirmation of CCER account bindings")
    menu = MenuEntry(OFFSETS, 3)
    guide = GUIDE
    form_title = _("Confirmation of a CCER account binding")
    form = BindingAnswerForm
    new_label = _("Answer a binding")
    accepts_attachments = False
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("ccer_account", _("CCER account"), kind="code"),
        Column("answer", _("Answer"), choices=ANSWERS),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters(has_lines=False)
    help = (
        _(
            "A binding is started in the CCER registry and confirmed here; one account with one account"
        ),
        _("CCER that is frozen there for offset appears here once the binding is confirmed"),
        _("Decline a binding that is not yours"),
    )
    empty_hint = _("Bindings that were confirmed or declined will be here")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the account there, and the answer."""
        return (
            super()
            .rows(conditions)
            .add_columns(
                Application.proposal["ccer_account"].astext.label("ccer_account"),
                Application.proposal["answer"].astext.label("answer"),
            )
        )

    def tools(self) -> Iterable[RowAction]:
        """Offer an answer where a binding waits for it."""
        binding = bindings.of_account(g.user.account_id) if g.user.account_id else None
        if binding is not None and binding.state == "asked":
            yield from super().tools()

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Show what the CCER registry says of the account to be bound."""
        binding = bindings.of_account(account_id)
        if binding is None:
            return []
        return [
            (_("CCER account"), binding.ccer_account, "code"),
            (_("Account holder there"), binding.name, "text"),
            (_("Unified social credit code"), binding.uscc, "code"),
            (_("Asked for at"), binding.asked_at, "datetime"),
        ]

    def obstacle(self, filled: Filled, account_id: int) -> str:
        """Say that no binding waits."""
        binding = bindings.of_account(account_id)
        if binding is None or binding.state != "asked":
            return gettext("No binding waits for an answer: start it in the CCER registry")
        return ""

    def typed_before(self, application: Application) -> dict[str, Any]:
        return {"reason": application.reason, "answer": application.proposal.get("answer", "")}

    def content(self, filled: Filled) -> dict[str, Any]:
        """Say which binding is answered, and how.  Raises RuleError where none waits."""
        answer = filled.form.answer.data or ""
        return {
            "reason": (filled.form.reason.data or "").strip(),
            "proposal": applying.binding_proposal(filled.account_id, answer),
        }

    def next_step(self, application: Application) -> Any:
        return gettext("The CCER registry is told; what it freezes for offset then appears here")
