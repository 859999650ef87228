"""开户 (manual 二-一): enterprises entered singly or imported; another officer confirms them in 待办."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from flask import abort, flash, redirect
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, func, select
from wtforms import BooleanField, SelectField
from wtforms.fields.choices import SelectChoice

from app.domain.accounts import CLASSES, EMITTER, OPENED
from app.domain.errors import RuleError
from app.domain.kinds.accounts.account import AccountOpening
from app.domain.masking import mask_of
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.regions import PROVINCES
from app.domain.workflow import Status
from app.extensions import db, transaction
from app.models import Account, Application, Invitation, Member
from app.operations.accounts import details, openings
from app.operations.accounts.details import BY_NAME, FIELDS, DetailField
from app.operations.imports import batches, opening_import
from app.operations.records.catalogue import sector_titles
from app.security.roles import OFFICERS, REGISTRY_MAKER
from app.views.accounts.revealing import RevealingDesk
from app.views.accounts.sectors_field import SectorsField
from app.views.applications.form import (
    PLEASE_CHOOSE,
    ApplicationForm,
    Choosable,
    Filled,
    Required,
    choices_of,
)
from app.views.applications.imports import ImportDesk
from app.views.applications.list import subject_of, usual_columns, usual_filters, with_opening_names
from app.views.applications.texts import StringField
from app.views.chapters import ACCOUNTS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction

LETTERS = {
    "waiting": (_("Waiting to be sent"), "amber"),
    "sent": (_("Sent"), "blue"),
    "used": (_("First sign-in done"), "green"),
    "expired": (_("Expired"), "red"),
    "failed": (_("Cannot be sent"), "red"),
}
_STATE = case(
    (Invitation.member_id.is_(None), None),
    (Invitation.used_at.is_not(None), "used"),
    (Invitation.failure != "", "failed"),
    (Invitation.written_at.is_(None), "waiting"),
    (Invitation.expires_at < db.func.now(), "expired"),
    else_="sent",
)


def _field(field: DetailField) -> Any:
    marks = [Required()] if field.is_required else []
    if field.name == "sector":
        return SectorsField(field.title)  # Institutions are in none.
    return StringField(
        field.title, marks, render_kw={"maxlength": field.longest, "autocomplete": "off"}
    )


_FIELDS: dict[str, Any] = {
    "holder_class": SelectField(
        _("Class of the account"),
        [Required()],
        choices=[SelectChoice(code, CLASSES[code]) for code in OPENED],
        default=EMITTER,
        validate_choice=False,
        description=_("Sectors are of emitting enterprises alone"),
    ),
    "declared": BooleanField(
        _("Declared: no authority, registry, exchange or verifier, nor their staff"),
        description=_("Needed of all but emitting enterprises (Regulation, article 7)"),
    ),
}
for _each in FIELDS:
    _FIELDS[_each.name] = _field(_each)
    if _each.name == "sector":
        _FIELDS["province"] = SelectField(
            _("Province"),
            [Required()],
            choices=choices_of(PROVINCES, PLEASE_CHOOSE),
            validate_choice=False,
        )


class _OpeningForm(ApplicationForm):
    """The details of an enterprise; ``known`` are a draft's personal data."""

    known: dict[str, str]


OpeningForm = type("OpeningForm", (_OpeningForm,), _FIELDS)


class AccountOpeningView(RevealingDesk, ImportDesk):
    """开户: what is to be opened, what was, and whether the first letters are out."""

    route_base = "/account-openings"
    kind = AccountOpening.code
    title = _("Account openings")
    menu = MenuEntry(ACCOUNTS, 1)
    guide = {"registry": "开户"}
    grants = {OFFICERS: "list export show reveal", REGISTRY_MAKER: "write bulk"}
    form_title = _("New account")
    form = OpeningForm
    importer = opening_import
    import_label = _("Import enterprises")
    import_page = "accounts/import.html"
    file_title = _("Accounts to open")
    new_label = _("New account")
    accepts_attachments = False
    columns = (
        *usual_columns("number"),
        Column("account", _("Enterprise name")),
        Column("uscc", _("Unified social credit code"), kind="code"),
        Column("province", _("Province"), choices=PROVINCES),
        Column("member_no", _("Member number"), kind="code"),
        Column("import_id", _("Import batch"), kind="code", is_shown=False),
        Column("created_at", _("Applied at"), kind="datetime"),
        Column("letters", _("First letters"), kind="status", choices=LETTERS),
        *usual_columns("status"),
    )
    filters = (
        *(each for each in usual_filters(has_lines=False) if each.name != "member"),
        Filter("member", _("Member"), on=("account", "member_no")),
        Filter("import", _("Import batch"), kind="number", on=("import_id",)),
        Filter("letters", _("First letters"), kind="choice", on=("letters",), choices=LETTERS),
    )
    confirm = _("Once it is confirmed, the account is open and both letters go out. Submit it?")
    help = (
        _("One officer enters enterprises or imports a table, another confirms them"),
        _("In the review list, the condition import batch finds all enterprises of one table"),
        _(
            "After the confirmation the link and the reference number go by mail, the authorisation"
            " code by text message; the password is chosen by the representative"
        ),
        _("An enterprise has one account: the unified social credit code is asked for once"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add proposal and state of the letters."""
        named = with_opening_names(super().rows(conditions))
        opened = select(Account.member_no, Account.opening_id).subquery("opened")
        return (
            named.add_columns(
                func.jsonb_extract_path_text(Application.proposal, "uscc", "1").label("uscc"),
                func.jsonb_extract_path_text(Application.proposal, "province", "1").label(
                    "province"
                ),
                Application.import_id,
                _STATE.label("letters"),
            )
            .outerjoin(opened, opened.c.opening_id == Application.id)
            .outerjoin(Member, Member.username == opened.c.member_no)
            .outerjoin(Invitation, Invitation.member_id == Member.id)
        )

    def preview(self, batch: batches.Batch) -> list[dict[str, Any]]:
        """Return the number of enterprises by province and sector."""
        province, sector = (
            func.jsonb_extract_path_text(Application.proposal, name, "1").label(name)
            for name in ("province", "sector")
        )
        of_batch = Application.import_id == batch.file.id
        each = select(province, sector).where(of_batch).subquery("each").c
        rows = db.session.execute(
            select(each.province, each.sector, func.count())
            .group_by(each.province, each.sector)
            .order_by(each.province, each.sector)
        )
        columns = [
            {"label": _("Province"), "kind": "text"},
            {"label": _("Sector"), "kind": "text"},
            {"label": _("Number of enterprises"), "kind": "number"},
        ]
        shown = [
            [PROVINCES.get(place, place), sector_titles(trade or ""), count]
            for place, trade, count in rows
        ]
        return [{"title": _("Totals"), "columns": columns, "rows": shown}]

    def offered(self, account_id: int) -> list[Choosable]:
        """There are no lines."""
        return []

    def account_id(self) -> int:
        """Return the registry's own account: the new one does not exist yet."""
        return ISSUANCE_ACCOUNT_ID

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        return [(_("Member number"), gettext("Given by the system when it is confirmed"), "text")]

    def choose(self) -> None:
        """No enterprise has to be chosen first."""

    def new_form(self, account_id: int) -> Any:
        return _prepared(self.form(), {})

    def edit_form(self, application: Application) -> Any:
        """Return the form filled in with the proposal, personal data masked."""
        known = {name: pair[1] for name, pair in details.proposed(application.proposal).items()}
        shown = {name: value for name, value in known.items() if not BY_NAME[name].is_personal}
        province = application.proposal.get("province", ["", ""])[1]
        of_class = application.proposal.get("holder_class", ["", EMITTER])[1]
        is_declared = application.proposal.get("declared", ["", ""])[1] == "yes"
        form = self.form(
            data=shown
            | {"province": province, "reason": application.reason}
            | {"holder_class": of_class, "declared": is_declared}
        )
        return _prepared(form, known)

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the proposal.  Raises RuleError for an invalid field."""
        form = filled.form
        names = (*BY_NAME, "province", "holder_class")
        typed = {name: (form[name].data or "").strip() for name in names}
        typed["declared"] = "yes" if form.declared.data else ""
        kept = {name: form.known.get(name, "") for name in BY_NAME if BY_NAME[name].is_personal}
        typed |= {name: value for name, value in kept.items() if value and not typed[name]}
        proposal, wrong = opening_import.judge(typed)
        for name, message in wrong.items():
            filled.refuse(RuleError(message, field=name))
        if wrong:
            raise RuleError(
                gettext("%(count)s fields have to be corrected", count=len(wrong)), code="fields"
            )
        return {"reason": (form.reason.data or "").strip(), "proposal": proposal}

    # Detail page ------------------------------------------------------------------------------

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        """Beside personal data in clear, the letters once more."""
        yield from super().detail_actions(application, status)
        invitation = _invitation_of(application)
        waits = invitation is not None and openings.lacks_something(invitation.member)
        if self.may("write") and waits:
            yield RowAction(
                _("Send the letters again"),
                self.url("invite", id=application.id),
                method="post",
                confirm=gettext("New codes are made, and those sent before lapse. Send them?"),
            )

    @expose("/<int:id>/invite", methods=["POST"])
    @has_access
    @permission_name("write")
    def invite(self, id: int) -> Any:
        """Send new letters; the former ones lapse."""
        application = self.load(id)
        invitation = _invitation_of(application)
        if invitation is None:
            abort(404)
        try:
            with transaction():
                openings.invite_again(invitation.member_id, self.actor(), now=datetime.now(UTC))
        except RuleError as error:
            flash(str(error), "danger")
        else:
            name = subject_of(application)[1]
            flash(gettext("Both letters to %(name)s are written anew", name=name), "success")
        return redirect(self.url("show", id=id))


def _invitation_of(application: Application) -> Invitation | None:
    if application.status != Status.APPROVED:
        return None
    return db.session.scalar(
        select(Invitation)
        .join(Member, Member.id == Invitation.member_id)
        .join(Account, Account.member_no == Member.username)
        .where(Account.opening_id == application.id)
    )


def _prepared(form: Any, known: dict[str, str]) -> Any:
    """Show the draft's value beneath each personal field, masked."""
    form.known = known
    for name, value in known.items():
        mask = mask_of(name)
        if value and mask and BY_NAME[name].is_personal:
            form[name].description = gettext(
                "Now %(value)s; leave empty to keep it", value=mask(value)
            )
            form[name].flags.required = False
    return form
