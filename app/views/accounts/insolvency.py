"""破产管理人: who acts for an insolvent enterprise, entered on the court's document."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, func

from app.domain.errors import RuleError
from app.domain.kinds.accounts.bankruptcy import NEEDED, BankruptcyAdministrator
from app.models import Application
from app.operations.accounts import details
from app.security.roles import OFFICERS, REGISTRY_MAKER
from app.views.accounts.revealing import RevealingDesk
from app.views.applications.form import DocumentForm, Filled, Required
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import StringField
from app.views.chapters import ACCOUNTS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.listing import Conditions

TITLES = {
    "representative": _("Administrator's name"),
    "representative_phone": _("Administrator's mobile phone"),
    "representative_email": _("Administrator's e-mail"),
    "representative_identity_no": _("Administrator's identity number"),
}


def _field(name: str) -> Any:
    words = {"maxlength": details.BY_NAME[name].longest, "autocomplete": "off"}
    return StringField(TITLES[name], [Required()], render_kw=words)


class _AdministratorForm(DocumentForm):
    """The court's document; ``known`` are a draft's personal data."""

    known: dict[str, str]


AdministratorForm = type(
    "AdministratorForm", (_AdministratorForm,), {name: _field(name) for name in NEEDED}
)


class BankruptcyView(RevealingDesk, OfficerDesk):
    """破产管理人: entered by one officer, confirmed by another."""

    route_base = "/bankruptcies"
    kind = BankruptcyAdministrator.code
    title = _("Bankruptcy administrators")
    menu = MenuEntry(ACCOUNTS, 19)
    guide = {"registry": "破产管理人"}
    grants = {OFFICERS: "list export show reveal", REGISTRY_MAKER: "write"}
    form_title = _("New bankruptcy administrator")
    form = AdministratorForm
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("administrator", _("Administrator's name")),
        Column("document_no", _("Number of the authority document"), kind="code"),
        Column("authority", _("Deciding authority")),
        Column("starts_on", _("In force from"), kind="date"),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters(has_lines=False)
    confirm = _(
        "With the second officer all certificates of the enterprise are revoked. Submit it?"
    )
    help = (
        _("The court's document is attached; the administrator takes the representative's place"),
        _("Certificates so far are revoked at once, operators disabled; the administrator gets a link by"
          " mail, and a certificate by a certificate replacement"),
        _("Transfers, surrender and everything else are then submitted by the administrator alone"),
    )  # fmt: skip

    def needs_attachments(self, account_id: int) -> bool:
        return True

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the administrator."""
        name = func.jsonb_extract_path_text(Application.proposal, "representative", "1")
        return super().rows(conditions).add_columns(
            name.label("administrator"), Application.document_no, Application.authority,
            Application.starts_on,
        )  # fmt: skip

    def new_form(self, account_id: int) -> Any:
        return _prepared(self.form(), {})

    def edit_form(self, application: Application) -> Any:
        known = {name: pair[1] for name, pair in details.proposed(application.proposal).items()}
        data = {**self.typed_before(application), "representative": known.get("representative")}
        return _prepared(self.form(data=data), known)

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the document and the proposal.  Raises RuleError for an invalid field."""
        form = filled.form
        typed = {
            name: (form[name].data or "").strip() or form.known.get(name, "") for name in NEEDED
        }
        values, wrong = details.read(typed)
        for name, message in wrong.items():
            filled.refuse(RuleError(message, field=name))
        if wrong:
            message = gettext("%(count)s fields have to be corrected", count=len(wrong))
            raise RuleError(message, code="fields")
        return {**form.content(), "proposal": details.propose({}, values)}


def _prepared(form: Any, known: dict[str, str]) -> Any:
    form.known = known
    return form
