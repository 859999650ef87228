"""接入密钥: keys of machine clients, registered and revoked by two officers, and the clients there are."""

from __future__ import annotations

from typing import Any

from flask import abort, request
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, case, func, literal, select
from sqlalchemy.orm import contains_eager
from wtforms import SelectField, SelectMultipleField
from wtforms.fields.choices import SelectChoice
from wtforms.widgets import CheckboxInput, ListWidget

from app.domain.errors import RuleError
from app.domain.kinds.accounts.machine_key import MachineKey, MachineKeyRevocation
from app.domain.machines import (
    CLIENT_CODE,
    CREDENTIAL_CODE,
    LONGEST_CLIENT_NAME,
    PLATFORM,
    PLATFORM_SCOPES,
    PLATFORM_TITLE,
    SCOPES,
    THUMBPRINT,
    owner_of,
)
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.texts import require_showable
from app.extensions import db
from app.models import Application, MachineClient, Venue
from app.models import MachineKey as Key
from app.operations.people import machine_keys
from app.operations.records import clock
from app.security.roles import OFFICERS
from app.views.applications.form import (
    DATE_INPUT,
    PLEASE_CHOOSE,
    ApplicationForm,
    DayField,
    Filled,
    ProposalForm,
    Required,
    choices_of,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import StringField, TextAreaField
from app.views.chapters import ACCOUNTS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage
from app.views.page import named_in_address

_CODE = {"maxlength": 10, "autocomplete": "off", "placeholder": "SHEX01"}
_GUIDE = {"registry": "交易系统接入"}
_OFFERED = SCOPES | PLATFORM_SCOPES


class KeyForm(ApplicationForm):
    """登记接入密钥: the client as it is to be, and one of its keys."""

    client = StringField(
        _("Client code"), [Required()], description=_("2 to 10 capital letters and digits"),
        render_kw=_CODE,
    )  # fmt: skip
    client_name = StringField(
        _("Client name"), [Required()], render_kw={"maxlength": LONGEST_CLIENT_NAME}
    )
    venue = SelectField(_("Belongs to"), [Required()], validate_choice=False)
    scopes = SelectMultipleField(
        _("Scopes"),
        [Required()],
        choices=[SelectChoice(*each) for each in _OFFERED.items()],
        validate_choice=False,
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    jwk = TextAreaField(
        _("Public key (JWK or PEM)"),
        [Required()],
        description=_("EC P-256, Ed25519 or RSA from 2048 bits; never the private part"),
        render_kw={"rows": 5, "maxlength": machine_keys.LONGEST_KEY, "autocomplete": "off"},
    )
    certificate = StringField(
        _("Client certificate (SHA-256, base64url)"),
        description=_("Where its calls come with a client certificate (mTLS); otherwise empty"),
        render_kw={"maxlength": 43, "autocomplete": "off"},
    )
    starts_on = DayField(_("Valid from"), [Required()], render_kw=DATE_INPUT)
    ends_on = DayField(_("Valid until"), [Required()], render_kw=DATE_INPUT)

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        owners = {**_venues(), PLATFORM: str(PLATFORM_TITLE)}
        self.venue.choices = choices_of(owners, PLEASE_CHOOSE)

    def proposal(self) -> dict[str, Any]:
        """Return client and key as the application proposes them.  Raises RuleError at a field."""
        code, name = (self.client.data or "").strip(), (self.client_name.data or "").strip()
        certificate = (self.certificate.data or "").strip()
        if not CLIENT_CODE.fullmatch(code) or CREDENTIAL_CODE.fullmatch(code):
            raise RuleError(
                _("A client code has 2 to 10 capital letters and digits, a letter first"),
                field="client",
            )
        if not name or len(name) > LONGEST_CLIENT_NAME:
            message = _("Enter a name of at most %(most)d characters", most=LONGEST_CLIENT_NAME)
            raise RuleError(message, field="client_name")
        require_showable(name, _("Client name"), field="client_name")
        owner = self.venue.data
        if owner != PLATFORM and owner not in _venues():
            raise RuleError(_("This is not one of the venues"), field="venue")
        scopes = [each for each in _OFFERED if each in (self.scopes.data or ())]
        if not scopes or len(scopes) != len(set(self.scopes.data or ())):
            raise RuleError(_("Choose at least one of the scopes offered"), field="scopes")
        if certificate and not THUMBPRINT.fullmatch(certificate):
            message = _("A certificate's SHA-256 has 43 characters in base64url")
            raise RuleError(message, field="certificate")
        whose = {"is_platform": True} if owner == PLATFORM else {"venue": owner}
        said = {"client": code, "name": name, **whose, "scopes": scopes}
        bound = {"certificate": certificate} if certificate else {}
        return {**said, **bound, **machine_keys.read_key(self.jwk.data or "")}


def _venues() -> dict[str, str]:
    """Return the venues in force, by code."""
    rows = db.session.execute(
        select(Venue.code, Venue.name)
        .where(Venue.in_force(clock.now().date()))
        .order_by(Venue.code)
    )
    return {row.code: f"{row.code} {row.name}" for row in rows}


def _proposed(name: str) -> ColumnElement[str]:
    return func.jsonb_extract_path_text(Application.proposal, name)


class _KeyDesk(OfficerDesk):
    """Applications about keys: of the registry's own account, without lines."""

    accepts_attachments = False
    columns = (
        *usual_columns("number"),
        Column("client", _("Client code"), kind="code"),
        Column("kid", _("Key id"), kind="code"),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters(has_lines=False)

    def choose(self) -> Any:
        """The form needs no enterprise."""
        return None

    def account_id(self) -> int:
        """Return the registry's account."""
        return ISSUANCE_ACCOUNT_ID

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """There is nothing to say of the registry's own account."""
        return []

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add client and key."""
        named = (_proposed(name).label(name) for name in ("client", "kid"))
        return super().rows(conditions).add_columns(*named)


class MachineKeyView(_KeyDesk):
    """接入密钥登记: entered by one officer, confirmed by another."""

    route_base = "/machine-keys"
    kind = MachineKey.code
    title = _("Machine key registrations")
    menu = MenuEntry(ACCOUNTS, 8)
    guide = _GUIDE
    form_title = _("New machine key")
    form = KeyForm
    confirm = _("Did the client's operator confirm the key's thumbprint by another way? Submit it?")
    help = (
        _("One officer enters the key, another confirms it; then the client can sign in with it"),
        _("Compare the thumbprint with the client's operator by telephone before confirming"),
        _("A new key of a known client also replaces its name, scopes and certificate"),
    )

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the reason, the days and the proposal.  Raises RuleError."""
        return {**filled.form.content(), "proposal": filled.form.proposal()}

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Return client and key as they were typed."""
        said = application.proposal
        key = {**said.get("jwk", {}), "kid": said.get("kid", "")}
        return {
            **super().typed_before(application),
            **{name: said.get(name, "") for name in ("client", "certificate")},
            "venue": owner_of(said),
            "client_name": said.get("name", ""),
            "scopes": said.get("scopes", []),
            "jwk": machine_keys.shown_key(key),
        }


class MachineKeyRevocationView(_KeyDesk):
    """接入密钥吊销: from its approval on no token of the key is accepted."""

    route_base = "/machine-key-revocations"
    kind = MachineKeyRevocation.code
    title = _("Machine key revocations")
    menu = MenuEntry(ACCOUNTS, 9)
    guide = _GUIDE
    form_title = _("Revoke a machine key")
    form = ProposalForm
    new_label = _("Choose a key")
    help = (
        _("One officer asks for it, another confirms it; the key's tokens end at once"),
        _("Another key of the same client goes on, so that keys can be changed without a pause"),
    )

    def choose(self) -> Any:
        """Return the page on which the key is chosen, or nothing once the address names it."""
        if "key" in request.args:
            return None
        return self.render_template(
            "applications/choose.html",
            title=self.form_title,
            question=_("Choose the key that is to be revoked"),
            columns=[
                _("Client code"),
                _("Client name"),
                _("Key id"),
                _("Valid until"),
            ],
            rows=[
                {
                    "name": row.kid,
                    "cells": [
                        (row.client.code, True),
                        (row.client.name, False),
                        (row.kid, True),
                        (row.ends_on.isoformat(), False),
                    ],
                    "url": self.url("new", key=row.id),
                }
                for row in db.session.scalars(_standing().order_by(Key.id.desc()))
            ],
            cancel_url=self.url("list"),
        )

    def new_form(self, account_id: int) -> Any:
        """Return the form about the key that the address names."""
        row, form = _named_key(), self.form()
        form.proposal = {
            "client": row.client.code,
            "kid": row.kid,
            "thumbprint": row.thumbprint,
        }
        return form


def _standing() -> Select[tuple[Key]]:
    """Return the keys of venues' clients and the platform's; a member revokes its credentials itself."""
    standing = select(Key).join(Key.client).options(contains_eager(Key.client))
    return standing.where(Key.revoked_at.is_(None), Key.issued_by.is_(None))


def _named_key() -> Key:
    """Return the standing key that the address names, or answer 404."""
    named = named_in_address("key")
    return db.session.scalar(_standing().where(Key.id == named)) or abort(404)


_STATES = {
    "valid": (_("Valid"), "green"),
    "future": (_("Not valid yet"), "grey"),
    "expired": (_("Expired"), "grey"),
    "revoked": (_("Revoked"), "red"),
}


class MachineClientView(ListPage):
    """接入方与密钥: the clients and their keys as they stand."""

    route_base = "/machine-clients"
    title = _("Machine clients")
    menu = MenuEntry(ACCOUNTS, 7)
    guide = _GUIDE
    grants = {OFFICERS: "list export"}
    key = ("id",)
    account_column = None
    columns = (
        Column("client", _("Client code"), kind="code"),
        Column("name", _("Client name")),
        Column("venue", _("Belongs to")),
        Column("scopes", _("Scopes")),
        Column("kid", _("Key id"), kind="code"),
        Column("thumbprint", _("Key thumbprint"), kind="code"),
        Column("starts_on", _("Valid from"), kind="date"),
        Column("ends_on", _("Valid until"), kind="date"),
        Column("registered_at", _("Registered at"), kind="datetime"),
        Column("revoked_at", _("Revoked at"), kind="datetime"),
        Column("status", _("Status"), kind="status", choices=_STATES),
    )
    filters = (
        Filter("client", _("Client"), on=("client", "name")),
        Filter("status", _("Status"), kind="choice", on=("status",), choices=_STATES),
    )
    help = (_("What is shown here follows from approved registrations and revocations alone"),)

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a key."""
        today = clock.now().date()
        status = case(
            (Key.revoked_at.is_not(None), literal("revoked")),
            (Key.starts_on > today, literal("future")),
            (Key.ends_on < today, literal("expired")),
            else_=literal("valid"),
        )
        return (
            select(
                Key.id,
                MachineClient.code.label("client"),
                MachineClient.name,
                case(
                    (MachineClient.is_platform, literal(str(PLATFORM_TITLE))), else_=Venue.name
                ).label("venue"),
                func.array_to_string(MachineClient.scopes, " ").label("scopes"),
                Key.kid,
                Key.thumbprint,
                Key.starts_on,
                Key.ends_on,
                Key.registered_at,
                Key.revoked_at,
                status.label("status"),
            )
            .join(MachineClient, MachineClient.id == Key.client_id)
            .outerjoin(Venue, Venue.id == MachineClient.venue_id)
            .where(MachineClient.is_platform | MachineClient.venue_id.is_not(None))
        )
