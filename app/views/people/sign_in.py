"""Sign in with number, password and 验证码, sign out, change the password (manual 二)."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import (
    Response,
    abort,
    after_this_request,
    current_app,
    flash,
    g,
    redirect,
    request,
    session,
    url_for,
)
from flask_appbuilder import expose, has_access
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from flask_login import current_user
from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import EqualTo, InputRequired

from app.domain.errors import NotAllowed, RuleError
from app.extensions import db, transaction
from app.models import Member
from app.models.parameter import settings
from app.operations.people import passwords, sessions
from app.operations.people.certificates import note_use
from app.operations.records import log
from app.operations.records.actor import Actor
from app.operations.records.sign_in_notice import tell_of_new_address
from app.pki.errors import PkiError
from app.security import captcha, certificates, devices, lockout, lost_forms, sign_in
from app.security.gate import safe_next
from app.security.manager import current_login
from app.security.roles import ALL_ROLES
from app.views.page import Page, current_actor


class SignInForm(FlaskForm):
    # Nothing typed here is kept or shown: whatever is wrong gets the one answer.
    member_no = StringField(
        _("Member number"), [InputRequired(_("Please enter the member number"))]
    )
    password = PasswordField(_("Password"), [InputRequired(_("Please enter the password"))])
    captcha = StringField(_("Captcha"))


class ChangePasswordForm(FlaskForm):
    """原始密码 and the new one, twice."""

    original = PasswordField(
        _("Original password"), [InputRequired(_("Please enter the original password"))]
    )
    new = PasswordField(_("New password"), [InputRequired(_("Please enter the new password"))])
    confirm = PasswordField(
        _("New password again"),
        [
            InputRequired(_("Please enter the new password again")),
            EqualTo("new", _("The two new passwords differ")),
        ],
    )


class SignInView(Page):
    route_base = ""
    default_view = "change_password"
    title = _("Sign-in and password")
    guide = {"enterprise": "四密码修改"}
    grants = {ALL_ROLES: "change_password"}
    keeps_input = False  # Passwords.

    @expose("/login/", methods=["GET", "POST"])
    def login(self) -> object:
        if current_user.is_authenticated:
            return redirect(safe_next(request.values.get("next")) or url_for("HomeView.index"))
        form = SignInForm()
        error = ""
        if form.is_submitted():
            error = _captcha_error(form)  # Consumed by any attempt, even an incomplete one.
            if form.validate() and not error:
                error = self._first_step(form)
                if not error:
                    return redirect(_next_page())
        return self._show(form, error)

    @expose("/login/certificate", methods=["GET", "POST"])
    def certificate(self) -> object:
        """Ask for the signed challenge, or verify it (manual 二-二: 勾选证书, 确定, PIN)."""
        if current_user.is_authenticated:
            return redirect(url_for("HomeView.index"))
        if request.method == "POST":
            return self._second_step()
        challenge = str(session.get("challenge", ""))
        waiting = certificates.waiting(challenge)
        if waiting is None:
            return _back_to_sign_in(certificates.REASONS["no_challenge"])
        return self.render_template(
            "people/login_certificate.html",
            step={"type": "login", "challenge": challenge, "payload": waiting.payload},
            member_no=waiting.member_no,
            seconds=waiting.seconds,
        )

    @expose("/logout/", methods=["POST"])
    def logout(self) -> object:
        login = current_login()
        if login:
            with transaction():
                sessions.end([login.id], "signed_out")
        session.clear()
        flash(gettext("You have signed out."), "info")
        return redirect(url_for("SignInView.login"))

    @expose("/login/captcha.png")
    def captcha_image(self) -> Response:
        """Draw the 验证码 of this browser's sign-in page."""
        answer = captcha.answer_of(_captcha_id())
        if answer is None:
            abort(404)
        return _no_store(captcha.draw(answer), "image/png")

    @expose("/login/captcha.wav")
    def captcha_audio(self) -> Response:
        """Speak the same 验证码: drawn once, and a limited number of times for an address."""
        sound = captcha.sound_of(_captcha_id())
        if sound == b"":
            if lockout.take_a_sound(request.remote_addr or "") is None:
                abort(429)
            sound = captcha.speak(_captcha_id())
        if not sound:
            abort(404)
        return _no_store(sound, "audio/wav")

    @expose("/password/", methods=["GET", "POST"])
    @has_access
    def change_password(self) -> object:
        """修改密码 (manual 二-四): requires the original one; ends other sessions."""
        form = ChangePasswordForm()
        is_forced = bool(g.reason_to_change)
        if g.reason_to_change == "expired" and request.method == "GET":
            flash(gettext("The password has reached its longest age; choose a new one"), "warning")
        if form.validate_on_submit():
            try:
                _change_password(form.original.data, form.new.data)
            except RuleError as error:
                form[error.field or "new"].errors = [str(error)]
            else:
                flash(gettext("The password was changed. Other sessions have ended."), "success")
                return redirect(safe_next(session.pop("next", "")) or url_for("HomeView.index"))
        status = 422 if form.errors else 200
        page = self.render_template(
            "people/change_password.html",
            crumb=gettext("Change password"),
            form=form,
            policy=passwords.policy(),
            is_forced=is_forced,
            cancel_url=url_for("HomeView.index"),
        )
        return page, status

    def _first_step(self, form: SignInForm) -> str:
        member_no = form.member_no.data or ""
        try:
            entered = sign_in.attempt(member_no, form.password.data or "", _visitor())
        except (PkiError, NotAllowed) as refused:
            return certificates.reason_of(refused)
        if entered is None:
            # The same answer for wrong number, wrong password and lock reveals nothing.
            return gettext(
                "The member number or the password is wrong, or there were too many failures; "
                "after %(count)s failures wait %(minutes)s minutes",
                **_lock_parameters(),
            )
        session.clear()  # Against session fixation.
        session["next"] = safe_next(request.form.get("next"))
        if entered.token:
            _open_session(entered)
        else:
            session["challenge"] = entered.challenge
        return ""

    def _second_step(self) -> object:
        challenge, target = str(session.get("challenge", "")), session.get("next")
        session.clear()  # A challenge has one try.
        try:
            entered = sign_in.finish(
                challenge,
                request.form.get("content", ""),
                request.form.get("cms", ""),
                _visitor(),
            )
        except sign_in.BadForm:
            abort(400)
        except (PkiError, NotAllowed) as refused:
            return _back_to_sign_in(certificates.reason_of(refused))
        session["next"] = target
        _open_session(entered)
        return redirect(_next_page())

    def _show(self, form: SignInForm, error: str) -> object:
        form.password.data = None
        form.captcha.data = None
        captcha_id = None
        if current_app.config["CAPTCHA_ENABLED"]:
            captcha_id = session["captcha"] = captcha.issue()
        page = self.render_template(
            "people/login.html",
            form=form,
            login_errors=[error] if error else [],
            next_url=safe_next(request.values.get("next")),
            captcha_id=captcha_id,
            captcha_enabled=captcha_id is not None,
            captcha_image_url=url_for("SignInView.captcha_image", v=captcha_id),
            captcha_audio_url=url_for("SignInView.captcha_audio", v=captcha_id),
        )
        return page, 422 if error or form.errors else 200


def _open_session(entered: sign_in.SignInResult) -> None:
    """Let the browser have session and device; a renewed certificate ends the one before it."""
    session["token"] = entered.token
    session["csrf_token"] = lost_forms.token_seed(entered.member.id)
    after_this_request(lambda response: devices.set_cookie(response, entered.device))
    with transaction():
        actor = Actor.of(entered.member, request.remote_addr or "")
        if entered.certificate_id is not None:
            note_use(entered.certificate_id, actor, now=datetime.now(UTC))
        tell_of_new_address(entered.member.id, actor.ip, now=datetime.now(UTC))
    session["next"] = lost_forms.address_after_sign_in(entered.member) or session.get("next")


def _next_page() -> str:
    """Return the address after the right password: the second step, or where the member was going."""
    if "challenge" in session:
        return url_for("SignInView.certificate")
    return safe_next(session.pop("next", "")) or url_for("HomeView.index")


def _back_to_sign_in(reason: object) -> object:
    flash(str(reason), "danger")
    return redirect(url_for("SignInView.login"))


def _lock_parameters() -> dict[str, int]:
    values = settings(db.session)
    return {"count": values["lock_failures"], "minutes": values["lock_minutes"]}


def _visitor() -> sign_in.Visitor:
    return sign_in.Visitor(
        request.remote_addr or "", request.user_agent.string, devices.presented()
    )


def _captcha_error(form: SignInForm) -> str:
    """Consume the browser's 验证码; return the error, or ""."""
    if not current_app.config["CAPTCHA_ENABLED"]:
        return ""
    waiting, member_no, visitor = session.pop("captcha", ""), form.member_no.data or "", _visitor()
    guess = lockout.take_a_captcha(visitor.source(member_no))
    is_right = captcha.use(str(waiting), form.captcha.data or "")
    if guess is None:
        # Not logged: each of the wrong ones that led here was.
        return gettext(
            "There were %(count)s wrong captchas from here; please wait %(minutes)s minutes",
            count=lockout.CAPTCHAS,
            minutes=_lock_parameters()["minutes"],
        )
    if is_right:
        with transaction():
            lockout.give_back(guess)
        return ""
    sign_in.record(member_no, "wrong_captcha", visitor)
    return gettext("The captcha is wrong or has expired; please enter the new one")


def _captcha_id() -> str:
    """Return the id of this browser's 验证码."""
    return str(session.get("captcha", ""))


def _no_store(content: bytes, mimetype: str) -> Response:
    return Response(content, mimetype=mimetype, headers={"Cache-Control": "no-store"})


def _change_password(original: str, new: str) -> None:
    """Raises RuleError where the original is wrong or the new one is weak."""
    actor, login, known = current_actor(), current_login(), g.user.password
    guess = lockout.take_a_password_change(actor.member_no)
    if guess is None or not passwords.is_right(known, original):
        raise _wrong_original(actor)
    with transaction():
        lockout.give_back(guess)
    with transaction():
        # Of concurrent changes one is made: under the lock the original has to be the one compared.
        member = db.session.get_one(
            Member, actor.member_id, with_for_update=True, populate_existing=True
        )
        is_changed = member.password != known
        if not is_changed:
            passwords.choose(member, new)
            sessions.end_all(member.id, "password", but=login.id if login else None)
            sessions.forget_devices(member.id, but=login.device_id if login else None)
            log.record(actor, "password.change")
            lockout.forgive_password_change(actor.member_no)
    if is_changed:
        raise _wrong_original(actor)


def _wrong_original(actor: Actor) -> RuleError:
    """Log a refused change, and return the refusal."""
    with transaction():
        log.record(actor, "password.change", result="refused")
    return RuleError(
        gettext(
            "The original password is wrong; after %(count)s failures wait %(minutes)s minutes",
            **_lock_parameters(),
        ),
        field="original",
    )
