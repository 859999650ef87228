"""系统接入凭证: the keys that a member issues to its own systems, and what was done with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from flask import abort, flash, g, redirect, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, case, func, literal, select
from sqlalchemy.orm import aliased
from wtforms import SelectMultipleField
from wtforms.fields.choices import SelectChoice
from wtforms.widgets import CheckboxInput, ListWidget

from app.domain.errors import RuleError
from app.domain.machines import CREDENTIAL_CODE, LONGEST_CLIENT_NAME, MEMBER_SCOPES
from app.extensions import db
from app.models import Account, MachineClient, MachineKey, MachineUse, Member
from app.models.parameter import settings
from app.operations.people import credentials, machine_keys
from app.operations.people.machine_sign_in import has_standing_issuer
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.security.roles import (
    AUDITOR,
    ENTERPRISES,
    OFFICERS,
    PROVINCE,
    REPRESENTATIVE,
    SECURITY_ADMIN,
)
from app.security.scope import scope_of
from app.views.applications import signing
from app.views.applications.form import DATE_INPUT, DayField, Required
from app.views.applications.texts import StringField, TextAreaField
from app.views.chapters import ACCOUNTS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Columns, Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import PageForm, SignedAct, carried_out

STATES = {
    "valid": (_("Valid"), "green"),
    "stopped": (_("Stopped"), "amber"),
    "expired": (_("Expired"), "grey"),
    "revoked": (_("Revoked"), "red"),
}
GUIDE = {
    "enterprise": "系统接入凭证",
    "province": "系统接入凭证",
    "registry": "系统接入凭证",
    "administration": "系统接入凭证",
}
_READERS = f"{ENTERPRISES} {PROVINCE} {OFFICERS} {SECURITY_ADMIN} {AUDITOR}"


class CredentialForm(PageForm):
    """What a system is called, its public key, what it may read and until when."""

    name = StringField(
        _("Name of the system"), [Required()],
        render_kw={"maxlength": LONGEST_CLIENT_NAME, "autocomplete": "off"},
    )  # fmt: skip
    jwk = TextAreaField(
        _("Public key (JWK or PEM)"),
        [Required()],
        description=_("EC P-256, Ed25519 or RSA from 2048 bits; never the private part"),
        render_kw={"rows": 6, "maxlength": machine_keys.LONGEST_KEY, "autocomplete": "off"},
    )
    scopes = SelectMultipleField(
        _("Scopes"),
        [Required()],
        validate_choice=False,
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    ends_on = DayField(_("Valid until"), [Required()], render_kw=DATE_INPUT)


def _issue(values: Mapping[str, Any], actor: Actor, signature: int | None) -> str:
    code = credentials.issue(values, actor, signature, now=clock.now())
    return gettext(
        "Credential %(code)s was issued; the system signs in by this code",
        code=code,
    )


def _shown(values: Mapping[str, Any]) -> list[tuple[Any, str]]:
    return [
        (_("Name of the system"), values["name"]),
        (_("Scopes"), "、".join(str(MEMBER_SCOPES[each]) for each in values["scopes"])),
        (_("Valid until"), values["ends_on"]),
        (_("Key id"), values["kid"]),
        (_("Key thumbprint"), values["thumbprint"]),
    ]


def _revoke(values: Mapping[str, Any], actor: Actor, signature: int | None) -> str:
    code = credentials.revoke(values, actor, signature, now=clock.now())
    return gettext("Credential %(code)s was revoked; its tokens are over", code=code)


def _shown_revocation(values: Mapping[str, Any]) -> list[tuple[Any, str]]:
    return [
        (_("Credential"), values["credential"]),
        (_("Name of the system"), values["name"]),
        (_("Key id"), values["kid"]),
    ]


class _OfMember(ListPage):
    """Credentials, and what belongs to them: an enterprise's or a province's own, all in national scope."""

    guide = GUIDE
    account_column = "account_id"

    def in_scope(self, statement: Select[Any], columns: Columns) -> Select[Any]:
        """Leave a province its own; those of its enterprises are theirs."""
        if scope_of(g.user) == "province":
            return statement.where(columns["province"] == g.user.province)
        return super().in_scope(statement, columns)


class CredentialView(_OfMember):
    """系统接入凭证: issued and revoked by signed acts of the member."""

    route_base = "/credentials"
    title = _("System credentials")
    menu = MenuEntry(ACCOUNTS, 10)
    beneath = ("CredentialUseView",)
    grants = {
        _READERS: "list export",
        f"{REPRESENTATIVE} {PROVINCE}": "issue revoke",
        SECURITY_ADMIN: "revoke",
    }
    signed_acts = {
        "credential.issue": SignedAct(_("Issue a system credential"), "issue", _issue, _shown),
        "credential.revoke": SignedAct(
            _("Revoke a system credential"), "revoke", _revoke, _shown_revocation
        ),
    }
    stacks_actions = True
    columns = (
        Column("code", _("Credential"), kind="code"),
        Column("name", _("Name of the system")),
        Column("owner", _("Member name"), is_of_others=True),
        Column("scopes", _("Scopes")),
        Column("kid", _("Key id"), kind="code", is_long=True),
        Column("thumbprint", _("Key thumbprint"), kind="code", is_long=True, is_shown=False),
        Column("status", _("Status"), kind="status", choices=STATES),
        Column("ends_on", _("Valid until"), kind="date"),
        Column("used_at", _("Last used"), kind="datetime"),
        Column("issuer", _("Issued by")),
        Column("registered_at", _("Credential issued at"), kind="datetime", is_shown=False),
        Column("revoker", _("Revoked by"), is_shown=False),
        Column("revoked_at", _("Revoked at"), kind="datetime", is_shown=False),
    )
    filters = (
        Filter("code", _("Credential"), kind="prefix"),
        Filter("name", _("Name of the system")),
        Filter("status", _("Status"), kind="choice", choices=STATES),
        Filter("member", _("Member name"), on=("owner",), is_of_others=True),
    )
    help = (
        _(
            "A system of your own signs in with its key and reads what you may read; it changes nothing"
        ),
        _(
            "The private key stays in your system; whoever has it reads in your name: revoke at once"
        ),
        _(
            "A credential stops while who issued it is disabled or the certificate that signed it is"
            " over, suspended or revoked; a renewed certificate carries it on"
        ),
    )
    empty_hint = _("Issue one for a system that is to read your holdings, notices or applications")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a credential; what it was used for last is read for the rows shown."""
        issuer, revoker = aliased(Member), aliased(Member)
        used = (
            select(func.coalesce(MachineUse.last_call_at, MachineUse.signed_in_at))
            .where(MachineUse.key_id == MachineKey.id)
            .correlate(MachineKey)
            .order_by(MachineUse.id.desc())
            .limit(1)
        )
        found: Select = (
            select(
                MachineKey.id,
                MachineClient.account_id,
                MachineClient.province,
                MachineClient.code,
                MachineClient.name,
                func.coalesce(Account.name, issuer.first_name).label("owner"),
                _titles().label("scopes"),
                MachineKey.kid,
                MachineKey.thumbprint,
                MachineKey.ends_on,
                used.scalar_subquery().label("used_at"),
                issuer.first_name.label("issuer"),
                MachineKey.registered_at,
                revoker.first_name.label("revoker"),
                MachineKey.revoked_at,
                _state(clock.now().date()).label("status"),
            )
            .join(MachineClient, MachineClient.id == MachineKey.client_id)
            .join(issuer, issuer.id == MachineKey.issued_by)
            .outerjoin(revoker, revoker.id == MachineKey.revoked_by)
            .outerjoin(Account, Account.id == MachineClient.account_id)
        )
        return found

    def tools(self) -> Iterable[RowAction]:
        if self.may("issue"):
            yield RowAction(_("Issue a credential"), self.url("new"), icon="plus")
        address = url_for("member.reference")
        yield RowAction(_("About the interface"), address, icon="book", keeps_place=False)

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Uses"), url_for("CredentialUseView.list", credential=row.id))
        if self.may("revoke") and row.status in ("valid", "stopped"):
            question = gettext(
                "Revoke credential %(code)s (%(name)s)? It cannot be taken back; its tokens end at once.",
                code=row.code,
                name=row.name,
            )
            yield RowAction(
                _("Revoke"), self.url("revoke", credential=row.code), method="post",
                confirm=question, is_dangerous=True,
            )  # fmt: skip

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("issue")
    def new(self) -> Any:
        form = CredentialForm()
        form.scopes.choices = [SelectChoice(*each) for each in MEMBER_SCOPES.items()]
        back = back_url(self.url("list"))
        if form.validate_on_submit():
            typed = (form.name.data or "", form.jwk.data or "", form.scopes.data or ())
            values = carried_out(
                form, lambda: credentials.content(*typed, form.ends_on.data), "name"
            )
            name = "credential.issue"
            done = values and signing.carry_out(self, name, values, form, "name", back)
            if done:
                return done
        limits = settings(db.session)
        return self.form_page(
            _("Issue a system credential"),
            form,
            crumb=gettext("Issue a credential"),
            cancel_url=back,
            submit_label=gettext("Next"),
            refused=422,
            help=[
                gettext(
                    "Valid for %(days)s days at most; %(count)s credentials may stand at a time",
                    days=limits["credential_days"],
                    count=limits["credentials_a_member"],
                ),
                *map(str, self.help[1:]),
            ],
        )

    @expose("/<credential>/revoke", methods=["POST"])
    @has_access
    @permission_name("revoke")
    def revoke(self, credential: str) -> Any:
        """Have the revocation signed, and carry it out."""
        self._require_mine(credential)
        page = self.url("list")
        try:
            values = credentials.revocation(credential)
            return signing.at_once(self, "credential.revoke", values, page)
        except RuleError as error:
            flash(str(error), "warning")
            return redirect(page)

    def _require_mine(self, credential: str) -> None:
        """Answer 404 for what is not in the member's list."""
        if not CREDENTIAL_CODE.fullmatch(credential):
            abort(404)
        owner = MachineClient.__table__.c
        found = select(MachineClient.id).where(MachineClient.code == credential)
        if db.session.scalar(self.in_scope(found, owner)) is None:
            abort(404)


class CredentialUseView(_OfMember):
    """凭证使用记录: a row a sign-in, with the calls that followed."""

    route_base = "/credential-uses"
    title = _("Uses of system credentials")
    grants = {_READERS: "list export"}
    columns = (
        Column("signed_in_at", _("Signed in at"), kind="datetime"),
        Column("code", _("Credential"), kind="code"),
        Column("name", _("Name of the system")),
        Column("owner", _("Member name"), is_of_others=True),
        Column("ip", _("IP address"), kind="code"),
        Column("calls", _("Calls"), kind="number"),
        Column("last_call_at", _("Last call"), kind="datetime"),
        Column("last_ip", _("Address of the last call"), kind="code"),
    )
    filters = (
        Filter("signed_in", _("Signed in at"), kind="date_range", on=("signed_in_at",)),
        Filter("code", _("Credential"), kind="prefix"),
        Filter("ip", _("IP address"), kind="exact"),
        Filter("credential", _("Credential"), kind="number", on=("key_id",), is_hidden=True),
    )
    help = (
        _(
            "One row a sign-in: a token serves for ten minutes, and its calls are counted in its row"
        ),
        _("Rows are kept for 400 days"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a sign-in of members' systems."""
        issuer = aliased(Member)
        found: Select = (
            select(
                MachineUse.id,
                MachineUse.key_id,
                MachineClient.account_id,
                MachineClient.province,
                MachineUse.signed_in_at,
                MachineClient.code,
                MachineClient.name,
                func.coalesce(Account.name, issuer.first_name).label("owner"),
                MachineUse.ip,
                MachineUse.calls,
                MachineUse.last_call_at,
                MachineUse.last_ip,
            )
            .join(MachineKey, MachineKey.id == MachineUse.key_id)
            .join(MachineClient, MachineClient.id == MachineKey.client_id)
            .join(issuer, issuer.id == MachineKey.issued_by)
            .outerjoin(Account, Account.id == MachineClient.account_id)
        )
        return found

    def tools(self) -> Iterable[RowAction]:
        address = back_url(url_for("CredentialView.list"))
        yield RowAction(_("Back"), address, icon="arrow-back-up", keeps_place=False)


def _titles() -> ColumnElement[str]:
    """Return the scopes of a credential in words."""
    named = [
        case((literal(scope) == func.any(MachineClient.scopes), str(title)))
        for scope, title in MEMBER_SCOPES.items()
    ]
    return func.concat_ws("、", *named)


def _state(today: date) -> ColumnElement[str]:
    return case(
        (MachineKey.revoked_at.is_not(None), literal("revoked")),
        (MachineKey.ends_on < today, literal("expired")),
        (~has_standing_issuer(), literal("stopped")),
        else_=literal("valid"),
    )
