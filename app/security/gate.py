"""The gate before every page: signed in, unless the page is public; an own password, before all else."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from flask import Flask, flash, g, redirect, request, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from app.operations.people import passwords
from app.operations.people.sessions import ENDINGS

# Whoever adds an endpoint here says why a stranger needs it.
PUBLIC = frozenset(
    {
        "static",
        "SignInView.login",
        "SignInView.captcha_image",
        "SignInView.captcha_audio",
        "SignInView.certificate",  # The second step; it needs the first one's challenge.
        "SignInView.logout",  # Without a session it only leads to the sign-in page.
        # Whoever verifies a certificate or a signature, without being a member.
        "AuthorityView.crl",
        "AuthorityView.chain",
        "AuthorityView.ocsp",
        # Whoever is shown a certificate checks it, and has no account here.
        "VerifyView.ask",
        "VerifyView.check",
        # Whose account was opened has no password yet; the mail's link and the two codes let them in.
        "FirstSignInView.choose",
        "EnrolmentView.ask",
        "EnrolmentView.begin",
        "EnrolmentView.issue",
        "EnrolmentView.done",
        "AppearanceView.choose",  # Theme and language, in the visitor's own cookies.
    }
)
# What remains open to a member who must choose a password first.
BEFORE_PASSWORD = PUBLIC | {"SignInView.change_password"}


def init_app(app: Flask) -> None:
    """Put the gate before everything else that looks at a request."""
    app.before_request(_stop)


def safe_next(target: str | None) -> str:
    """Return a path of our own site to go on to, or "" for anything else."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return ""
    if any(ord(character) < 33 or character == "\\" for character in target):
        return ""
    try:
        parts = urlsplit(target)
    except ValueError:
        return ""
    if parts.scheme or parts.netloc or parts.path.startswith(("/login/", "/logout/")):
        return ""
    return target


def came_from() -> str:
    """Return the path of the page that sent this request, where it was one of ours, or ""."""
    own = request.host_url
    referrer = request.referrer or ""
    return safe_next("/" + referrer.removeprefix(own)) if referrer.startswith(own) else ""


def _stop() -> Response | None:
    if request.endpoint is None or request.endpoint == "static":
        return None  # An unknown address gets its 404.
    g.user = current_user._get_current_object()
    if current_user.is_authenticated:
        g.reason_to_change = passwords.must_be_changed(g.user, datetime.now(UTC))
        if g.reason_to_change and request.endpoint not in BEFORE_PASSWORD:
            return redirect(url_for("SignInView.change_password"))
        return None
    if request.endpoint in PUBLIC:
        return None
    return _to_sign_in()


def _to_sign_in() -> Response:
    ending = g.get("ending", "")
    if ending:
        session.clear()  # So that it is said once.
        flash(str(ENDINGS[ending]), "warning")
    # A form that was posted cannot be posted again by going there.
    target = request.full_path.rstrip("?") if request.method == "GET" else ""
    target = "" if target == "/" else safe_next(target)
    return redirect(url_for("SignInView.login", next=target or None))
