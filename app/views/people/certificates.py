"""证书管理: members' certificates with their state; 挂起, 恢复, 吊销 by an officer, 续期 by its holder."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask import abort, flash, g, jsonify, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Integer, Select, case, cast, exists, func, literal, select
from wtforms import SelectField

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Certificate, CertificateEnrolment, Member
from app.operations.people import certificates
from app.pki.authority import RENEWAL_DAYS
from app.pki.canonical import one_line
from app.pki.errors import SignatureRefused
from app.security import certificates as signed
from app.security.roles import ALL_ROLES, OFFICERS, REPRESENTATIVE, SECURITY_ADMIN
from app.security.scope import scope_of
from app.views.applications.form import PLEASE_CHOOSE, Required, choices_of
from app.views.applications.texts import TextAreaField
from app.views.chapters import ACCOUNTS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Columns, Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import PageForm, carried_out, current_actor
from app.views.people import deeds
from app.views.people.deeds import REASONS

STATES = {
    "active": (_("Valid"), "green"),
    "suspended": (_("Suspended"), "amber"),
    "revoked": (_("Revoked"), "red"),
    "ended": (_("Ended"), "grey"),
}
ASSURANCES = {"hard": _("USBKey"), "soft": _("Soft certificate")}
SHOWN_REASONS = REASONS | {"certificateHold": _("Suspended")}
ACTS = {"suspend": _("Suspend"), "resume": _("Resume"), "revoke": _("Revoke")}
POSSIBLE = {"active": ("suspend", "revoke"), "suspended": ("resume", "revoke")}
# How a person stands: what is certified, or what was sent and not used yet.
HOLDINGS = {
    "none": (_("No certificate"), "grey"),
    "sent": (_("Codes sent"), "blue"),
    "asked": (_("Asked for, to be confirmed"), "amber"),
    **STATES,
}
LONGEST_REMARK = 200
LONGEST_CSR = 16_000
_SHOWN = case(
    ((Certificate.state != "revoked") & (Certificate.not_after < func.now()), "ended"),
    else_=Certificate.state,
)
_HELD = Certificate.member_id == Member.id


def holding() -> list[Any]:
    """Return what pages of people show of their certificates, as columns beside `Member`.

    They are the state, the certificate that can be suspended or revoked, and whether there was one.
    """
    latest = select(_SHOWN).where(_HELD, Certificate.state != "revoked")
    latest = latest.order_by(Certificate.id.desc())
    state = func.coalesce(
        _one(_waiting("asked", "asked")),
        _one(latest.where(Certificate.not_after >= func.now())),
        _one(_waiting("open", "sent")),
        _one(latest),
        _one(select(literal("revoked")).where(_HELD)),
        "none",
    )
    present = select(Certificate.id).where(_HELD, Certificate.state != "revoked")
    return [
        state.label("certificate"),
        _one(present.order_by(Certificate.id.desc())).label("certificate_id"),
        exists(select(Certificate.id).where(_HELD)).correlate(Member).label("had_certificate"),
    ]


def change_action(row: Any) -> RowAction:
    """Lead from a person's row to the change of the present certificate."""
    label = _("Resume or revoke") if row.certificate == "suspended" else _("Suspend or revoke")
    return RowAction(label, url_for("CertificateView.change", certificate_id=row.certificate_id))


def _waiting(state: str, shown: str) -> Select[Any]:
    return select(literal(shown)).where(
        CertificateEnrolment.member_id == Member.id,
        CertificateEnrolment.state == state,
        CertificateEnrolment.expires_at > func.now(),
    )


def _one(statement: Select[Any]) -> Any:
    return statement.limit(1).correlate(Member).scalar_subquery()


_DAYS = cast(func.date_part("day", Certificate.not_after - func.now()), Integer)


class ChangeForm(PageForm):
    """What is to be done with a certificate, and why."""

    act = SelectField(_("Act"), [Required()], validate_choice=False)
    reason = SelectField(
        _("Reason of the revocation"),
        choices=choices_of(REASONS, _("Only for a revocation")),
        validate_choice=False,
    )
    remark = TextAreaField(
        _("Remark"), [Required()], render_kw={"rows": 3, "maxlength": LONGEST_REMARK}
    )


class CertificateView(ListPage):
    """证书管理: everybody sees the certificates within the scope; keepers act on them."""

    route_base = "/certificates"
    title = _("Certificates")
    menu = MenuEntry(ACCOUNTS, 3)
    guide = {
        "enterprise": "证书管理",
        "province": "查询",
        "registry": "证书管理与证书补办",
        "administration": "证书管理",
    }
    grants = {
        ALL_ROLES: "list export renew",
        f"{REPRESENTATIVE} {OFFICERS} {SECURITY_ADMIN}": "manage",
    }
    signed_acts = {
        name: deeds.signed_act(name, "manage")
        for name in ("certificate.suspend", "certificate.resume", "certificate.revoke")
    }
    account_column = "account_id"
    columns = (
        Column("member_no", _("Member number"), kind="code"),
        Column("name", _("Member name")),
        Column("state", _("Status"), kind="status", choices=STATES),
        Column("not_after", _("Valid until"), kind="datetime"),
        Column("days", _("Days left"), kind="number"),
        Column("assurance", _("Kept in"), choices=ASSURANCES),
        Column("serial", _("Serial number"), kind="code", is_long=True),
        Column("issued_at", _("Issued at"), kind="datetime", is_shown=False),
        Column("reason", _("Reason of the revocation"), choices=SHOWN_REASONS, is_shown=False),
    )
    filters = (
        Filter("member", _("Member"), on=("member_no", "name")),
        Filter("state", _("Status"), kind="choice", on=("state",), choices=STATES),
        Filter("serial", _("Serial number"), kind="prefix", on=("serial",)),
        Filter("ends", _("Valid until"), kind="date_range", on=("not_after",)),
    )
    help = (
        _("A certificate is valid for two years; it can be renewed in its last 60 days"),
        _("A suspended certificate counts again once it is resumed; a revoked one never"),
        _("After a loss: revoke the certificate, then two officers have a replacement sent"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a certificate; what is over has no days left."""
        return select(
            Certificate.id,
            Certificate.member_id,
            Member.account_id,
            Member.username.label("member_no"),
            Member.first_name.label("name"),
            func.upper(Certificate.serial).label("serial"),
            Certificate.assurance,
            Certificate.issued_at,
            Certificate.not_after,
            case((_SHOWN.in_(["active", "suspended"]), _DAYS), else_=None).label("days"),
            Certificate.reason,
            _SHOWN.label("state"),
        ).join(Member, Member.id == Certificate.member_id)

    def in_scope(self, statement: Select[Any], columns: Columns) -> Select[Any]:
        """Leave an enterprise its own people's; a province's officer sees the own one.

        Administrators see those of people who belong to no enterprise.
        """
        scope = scope_of(g.user)
        if scope == "all":
            return (
                statement.where(columns["account_id"].is_(None))
                if deeds.is_administrator()
                else statement
            )
        if scope == "account":
            return statement.where(columns["account_id"] == g.user.account_id)
        return statement.where(columns["member_id"] == g.user.id)

    def actions(self, row: Any) -> Iterable[RowAction]:
        """What an officer may do with it."""
        is_own = row.member_id == g.user.id and row.state == "active"
        if is_own and self.may("renew") and row.days < RENEWAL_DAYS:
            yield RowAction(_("Renew"), url_for("CertificateView.renew", certificate_id=row.id))
        if self.may("manage") and row.state in POSSIBLE and _keeps(row):
            yield RowAction(_("Change"), url_for("CertificateView.change", certificate_id=row.id))
        may_replace = self.may("manage") and self.may("write", "CertificateReplacementView")
        if may_replace and row.account_id is not None:
            url = url_for("CertificateReplacementView.new", certificate=row.id)
            yield RowAction(_("Replace"), url)

    @expose("/<int:certificate_id>/change", methods=["GET", "POST"])
    @has_access
    @permission_name("manage")
    def change(self, certificate_id: int) -> Any:
        """Suspend, resume or revoke a certificate; the reason is kept in the log."""
        row = db.session.get(Certificate, certificate_id) or abort(404)
        certificates.require_keeper(row, current_actor(), is_administrator=deeds.is_administrator())
        possible = POSSIBLE.get(row.state, ())
        form = ChangeForm()
        form.act.choices = choices_of({name: ACTS[name] for name in possible}, PLEASE_CHOOSE)
        changed = form.validate_on_submit() and self._change(form, row, possible)
        if changed:
            return changed
        return self.form_page(
            _("Change of a certificate"),
            form,
            facts=[
                (_("Member number"), row.member.username, "code"),
                (_("Member name"), row.member.first_name, "text"),
                (_("Serial number"), row.serial.upper(), "text"),
                (_("Valid until"), row.not_after, "datetime"),
                (_("Status"), STATES[row.state][0], "text"),
            ],
            submit_label=_("Confirm"),
            cancel_url=back_url(url_for("CertificateView.list")),
            help=self.help[1:],
        )

    # 续期 ---------------------------------------------------------------------------------------

    @expose("/<int:certificate_id>/renew")
    @has_access
    @permission_name("renew")
    def renew(self, certificate_id: int) -> Any:
        """Show the two steps: a new key, and the present certificate's signature for it."""
        row = _own(certificate_id)
        if not _is_renewable(row):
            flash(gettext("Renewal opens 60 days before the end of the certificate"), "warning")
            return redirect(url_for("CertificateView.list"))
        return self.render_template(
            "people/renewal.html",
            crumb=gettext("Renew"),
            facts=[
                (_("Member number"), row.member.username, "code"),
                (_("Serial number"), row.serial.upper(), "text"),
                (_("Valid until"), row.not_after, "datetime"),
            ],
            step={
                "type": "enrol",
                "challenge": secrets.token_urlsafe(32),
                "payload": {
                    "schema": "enrolment/1",
                    "member_no": row.member.username,
                    "member_name": one_line(row.member.first_name),
                },
            },
            certificate_id=row.id,
        )

    @expose("/<int:certificate_id>/renew/begin", methods=["POST"])
    @has_access
    @permission_name("renew")
    def begin_renewal(self, certificate_id: int) -> Any:
        """Answer what the present certificate is to sign for the new key."""
        row = _own(certificate_id)
        payload = certificates.renewal_payload(row, _csr())
        with transaction():
            challenge = signed.ask(g.user.id, "sign", payload)
        return jsonify({"type": "renew", "challenge": challenge, "payload": payload})

    @expose("/<int:certificate_id>/renew", methods=["POST"])
    @has_access
    @permission_name("renew")
    def issue_renewal(self, certificate_id: int) -> Any:
        """Issue the successor, where the present certificate has signed for its key."""
        row, actor = _own(certificate_id), current_actor()
        try:
            with transaction():
                content, cms = _decoded("content"), _decoded("cms")
                found = signed.verify_signed(
                    content,
                    cms,
                    member_id=g.user.id,
                    purpose="renew",
                    expected_payload=certificates.renewal_payload(row, _csr()),
                )
                if found.id != row.id:
                    raise SignatureRefused("other_certificate")
                made = certificates.renew(
                    row, _csr(), actor, now=datetime.now(UTC), content=content, cms=cms
                )
                pem = x509.load_der_x509_certificate(made.der).public_bytes(Encoding.PEM)
        except RuleError as error:
            return jsonify({"error": str(error), "code": error.code})
        return jsonify({"certificate": pem.decode()})

    @expose("/renewed")
    @has_access
    @permission_name("renew")
    def renewed(self) -> Any:
        """Say that the new certificate is in the USBKey."""
        flash(
            gettext(
                "The new certificate is in the USBKey. The present one ends with the first use of"
                " the new."
            ),
            "success",
        )
        return redirect(url_for("CertificateView.list"))

    def _change(self, form: ChangeForm, row: Certificate, possible: tuple[str, ...]) -> Any:
        """Have the change signed; None where the form is wrong."""
        act, remark = form.act.data or "", (form.remark.data or "").strip()
        if act not in possible:
            form.act.errors = [gettext("Please choose")]
        if not remark or len(remark) > LONGEST_REMARK or "\x00" in remark:
            form.remark.errors = [
                gettext("Please give a remark of at most %(most)d characters", most=LONGEST_REMARK)
            ]
        if form.act.errors or form.remark.errors:
            return None
        words = {"remark": remark} | ({"reason": form.reason.data or ""} if act == "revoke" else {})
        back = back_url(url_for("CertificateView.list"))
        return carried_out(
            form,
            lambda: deeds.begin(
                f"certificate.{act}", deeds.Subject(row.member, row), back, **words
            ),
            "act",
        )


def _keeps(row: Any) -> bool:
    """Tell whether this row is the member's to act on; `certificates.require_keeper` decides."""
    if g.user.account_id is not None:
        return row.member_id != g.user.id
    return (row.account_id is None) == deeds.is_administrator() and row.member_id != g.user.id


def _own(certificate_id: int) -> Certificate:
    """Return the member's own certificate, or answer 404."""
    row = db.session.get(Certificate, certificate_id)
    if row is None or row.member_id != g.user.id:
        abort(404)
    return row


def _is_renewable(row: Certificate) -> bool:
    now = datetime.now(UTC)
    return row.stands_at(now) and now >= row.not_after - timedelta(days=RENEWAL_DAYS)


def _csr() -> bytes:
    return request.form.get("csr", "")[:LONGEST_CSR].encode("utf-8", "replace")


def _decoded(name: str) -> bytes:
    try:
        return base64.b64decode(request.form.get(name, ""), validate=True)
    except (binascii.Error, ValueError):
        raise SignatureRefused("malformed") from None
