"""账户信息修改 (manual 二-三): the enterprise proposes new details, the registry compares and decides."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_babel import gettext
from flask_babel import lazy_gettext as _

from app.domain.accounts import is_asked
from app.domain.errors import RuleError
from app.domain.kinds.accounts.account import AccountChange
from app.domain.masking import mask_of
from app.extensions import db
from app.models import Account, Application
from app.operations.accounts import details as account_details
from app.operations.accounts.details import FIELDS, DetailField
from app.security.roles import APPLICANTS, OFFICERS, READERS, REPRESENTATIVE
from app.views.accounts.revealing import RevealingDesk
from app.views.accounts.sectors_field import SectorsField
from app.views.applications.form import ApplicationForm, Filled, Required
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.texts import StringField
from app.views.chapters import ACCOUNTS, MenuEntry
from app.views.lists.columns import Column


def _field(field: DetailField) -> Any:
    marks = [Required()] if field.is_required else []
    if field.name == "sector":
        return SectorsField(field.title, [Required()])
    return StringField(field.title, marks, render_kw={"maxlength": field.longest})


class _AccountChangeForm(ApplicationForm):
    """The fields of account details; ``known`` are the current values."""

    known: dict[str, str]


# Blank means unchanged: the page never contains personal data.
AccountChangeForm = type(
    "AccountChangeForm", (_AccountChangeForm,), {each.name: _field(each) for each in FIELDS}
)


class AccountChangeView(RevealingDesk):
    """账户信息修改: what was proposed, 修改, and what became of it."""

    route_base = "/account-changes"
    kind = AccountChange.code
    title = _("Account detail changes")
    menu = MenuEntry(ACCOUNTS, 2)
    guide = {"enterprise": "三账户信息修改", "province": "查询", "registry": "账户信息修改"}
    grants = {
        READERS: "list export show",
        APPLICANTS: "write",
        f"{REPRESENTATIVE} {OFFICERS}": "reveal",
    }
    form_title = _("Change of account details")
    form = AccountChangeForm
    new_label = _("Change account details")
    columns = (
        *usual_columns("number", "member_no", "account", "created_at"),
        Column("reason", _("Reason for the application")),
        *usual_columns("status"),
    )
    filters = usual_filters(has_lines=False)
    help = (
        _("Fields marked with * must be filled in before the change can be submitted"),
        _("The old details hold until the registry has approved the new ones"),
        _("Accounts that were opened in a batch upload their opening documents first"),
        _(
            "Phone, identity and bank numbers are shown masked; leave a field empty to keep its value"
        ),
    )

    def needs_attachments(self, account_id: int) -> bool:
        """Tell whether the account still lacks the documents of its opening."""
        return db.session.get_one(Account, account_id).lacks_documents

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Number and day of opening, which never change."""
        account = db.session.get_one(Account, account_id)
        return [
            (_("Member number"), account.member_no, "code"),
            (_("Member name"), account.name, "text"),
            (_("Opened on"), account.opened_on, "date"),
        ]

    def new_form(self, account_id: int) -> Any:
        """Return the form filled in with the current details."""
        known = account_details.current(account_id)
        return _prepared(self.form(data=_shown(known)), known, account_id)

    def edit_form(self, application: Application) -> Any:
        """Return the form filled in with the proposal."""
        known = account_details.current(application.account_id)
        after = account_details.proposed(application.proposal)
        known |= {name: pair[1] for name, pair in after.items()}
        data = _shown(known) | {"reason": application.reason}
        return _prepared(self.form(data=data), known, application.account_id)

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the changed values.  Raises RuleError for an invalid field.

        A blank personal field keeps its value, of the draft's proposal too; a draft may lack what a
        submission requires.
        """
        known = filled.form.known
        asked = [each.name for each in FIELDS if each.name in filled.form]
        typed = {name: (filled.form[name].data or "").strip() for name in asked}
        typed |= {
            each.name: known[each.name]
            for each in FIELDS
            if each.is_personal and not typed.get(each.name)
        }
        if "save" in request.form:
            typed = {name: text for name, text in typed.items() if text}
        before = account_details.current(filled.account_id)
        values, wrong = account_details.read(typed, before)
        errors = [RuleError(message, field=name) for name, message in wrong.items()]
        for error in errors[1:]:
            filled.refuse(error)
        if errors:
            raise errors[0]
        proposal = account_details.propose(before, values)
        return {"reason": (filled.form.reason.data or "").strip(), "proposal": proposal}

    def next_step(self, application: Application) -> Any:
        return gettext("The registry reviews it; the old details hold until then")


def _shown(details: dict[str, str]) -> dict[str, str]:
    return {
        name: "" if account_details.BY_NAME[name].is_personal else value
        for name, value in details.items()
    }


def _prepared(form: Any, known: dict[str, str], account_id: int) -> Any:
    """Show the stored value beneath each personal field, masked; ask for what the class has."""
    form.known = known
    of_class = db.session.get_one(Account, account_id).holder_class
    for name in [each.name for each in FIELDS if not is_asked(each.name, of_class)]:
        del form[name]
    for name, value in known.items():
        mask = mask_of(name)
        if name in form and value and mask and account_details.BY_NAME[name].is_personal:
            form[name].description = gettext(
                "Now %(value)s; leave empty to keep it", value=mask(value)
            )
    return form
