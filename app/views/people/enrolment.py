"""首次登录 by a link and 申领证书 by two codes, for members whose account was opened."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Response, current_app, flash, jsonify, redirect, request, url_for
from flask_appbuilder import expose
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from wtforms import PasswordField
from wtforms.validators import EqualTo, InputRequired

from app.domain.errors import RuleError
from app.extensions import transaction
from app.operations.accounts import openings
from app.operations.people import certificates, passwords
from app.operations.records.actor import Actor
from app.pki.canonical import one_line
from app.security import lockout
from app.views.applications.texts import StringField
from app.views.page import Page

LONGEST_CSR = 16_000


class FirstPasswordForm(FlaskForm):
    """The token of the mail's link, filled in by the browser, and the password, twice."""

    token = StringField(
        _("First-sign-in code"), [InputRequired(_("Please enter the first-sign-in code"))]
    )
    new = PasswordField(_("New password"), [InputRequired(_("Please enter the new password"))])
    confirm = PasswordField(
        _("New password again"),
        [
            InputRequired(_("Please enter the new password again")),
            EqualTo("new", _("The two new passwords differ")),
        ],
    )


class FirstSignInView(Page):
    """首次登录: the member chooses the first password."""

    route_base = "/first-sign-in"
    default_view = "choose"
    title = _("First sign-in")

    @expose("/", methods=["GET", "POST"])
    def choose(self) -> Any:
        form = FirstPasswordForm()
        if form.validate_on_submit():
            try:
                with transaction():
                    member = openings.redeem(
                        form.token.data or "", ip=request.remote_addr or "", now=datetime.now(UTC)
                    )
                    passwords.choose(member, form.new.data or "")
                    member_no = member.username
            except RuleError as error:
                field = form[error.field if error.field in form else "new"]
                field.errors = [str(error)]
            else:
                flash(
                    gettext("The password was set. Now fetch the certificate with both codes."),
                    "success",
                )
                return redirect(url_for("EnrolmentView.ask", member=member_no))
        page = self.render_template(
            "people/first_sign_in.html", form=form, policy=passwords.policy()
        )
        return page, 422 if form.errors else 200


class EnrolmentView(Page):
    """申领证书: 参考号 and 授权码 give one certificate; the key is made in the USBKey."""

    route_base = "/certificate"
    default_view = "ask"
    title = _("Application for a certificate")

    @expose("/")
    def ask(self) -> Any:
        """Show the form; the rest happens in the assistant's window."""
        return self.render_template(
            "people/enrolment.html", member_no=request.args.get("member", "")[:20]
        )

    @expose("/begin", methods=["POST"])
    def begin(self) -> Any:
        """Check the codes before a key is made; answer what the assistant shows."""
        return _answer(_begin)

    @expose("/issue", methods=["POST"])
    def issue(self) -> Any:
        return _answer(_issue)

    @expose("/done")
    def done(self) -> Any:
        flash(
            gettext("The certificate is in the USBKey. Sign in with password and certificate."),
            "success",
        )
        return redirect(url_for("SignInView.login"))


def _answer(act: Callable[[Actor, datetime], dict[str, Any]]) -> Any:
    """Answer the result of an act, or its refusal; wrong codes also count towards the address's lock."""
    ip = request.remote_addr or ""
    guess = lockout.take_a_guess_from(ip)
    try:
        if guess is None:
            raise certificates.InvalidCodes
        with transaction():
            found = act(Actor(None, "", "", ip=ip), datetime.now(UTC))
            lockout.give_back(guess)
    except certificates.InvalidCodes as error:
        return _refused(error)
    except RuleError as error:
        if guess is not None:
            with transaction():
                lockout.give_back(guess)
        return _refused(error)
    return jsonify(found)


def _refused(error: RuleError) -> Response:
    """Answer the script with a message and status 200."""
    return jsonify({"error": str(error), "code": error.code})


def _typed(name: str) -> str:
    return request.form.get(name, "")[:LONGEST_CSR]


def _begin(actor: Actor, now: datetime) -> dict[str, Any]:
    member = certificates.holder_of(
        _typed("reference"), _typed("code"), _typed("member_no"), actor, now=now
    )
    return {
        "type": "enrol",
        "challenge": secrets.token_urlsafe(32),
        "payload": {
            "schema": "enrolment/1",
            "member_no": member.username,
            "member_name": one_line(member.first_name),
        },
        # The page itself is everybody's, and does not have it.
        "pairing": current_app.config["ASSISTANT_PAIRING"] or None,
    }


def _issue(actor: Actor, now: datetime) -> dict[str, Any]:
    reference, code = _typed("reference"), _typed("code")
    certificates.holder_of(reference, code, _typed("member_no"), actor, now=now)
    csr = _typed("csr").encode("utf-8", "replace")
    row = certificates.enrol(reference, code, csr, actor, now=now)
    pem = x509.load_der_x509_certificate(row.der).public_bytes(Encoding.PEM)
    return {"certificate": pem.decode()}
