"""The check before every page: signed in unless the page is public, and no password change pending."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime
from urllib.parse import urlsplit

from flask import Flask, flash, g, redirect, request, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from app.operations.people import passwords
from app.operations.people.sessions import ENDINGS
from app.security.problems import is_asked_by_machine

# They ask for nobody, and answer without the database; the last two this machine alone.
NOBODYS = frozenset({"static", "HealthView.live", "HealthView.ready"})
# Every endpoint here needs a reason to be reachable without signing in.
PUBLIC = frozenset(
    {
        "SignInView.login",
        "SignInView.captcha_image",
        "SignInView.captcha_audio",
        "SignInView.certificate",  # second step; needs the challenge of the first
        "SignInView.logout",  # without a session it only redirects to the sign-in page
        # For verifying certificates and signatures outside the registry.
        "AuthorityView.crl",
        "AuthorityView.chain",
        "AuthorityView.ocsp",
        # For third parties who check an attestation.
        "VerifyView.ask",
        "VerifyView.check",
        # 每日行情 is published (rules-2026 N148).
        "MarketView.show",
        "MarketView.csv_file",
        "MarketView.json_file",
        # 信息公开 is for everybody (rules-2026 N160, N161).
        "DisclosureView.index",
        "DisclosureView.show",
        "DisclosureView.csv_file",
        "DisclosureView.json_file",
        # For new members, who have no password yet: protected by the link and the two codes.
        "FirstSignInView.choose",
        "EnrolmentView.ask",
        "EnrolmentView.begin",
        "EnrolmentView.issue",
        "EnrolmentView.done",
        "AppearanceView.choose",  # theme and language, in cookies
        *NOBODYS,
    }
)
# Open to a member who has to change the password first.
BEFORE_PASSWORD = PUBLIC | {"SignInView.change_password"}


def init_app(app: Flask) -> None:
    """Register the check before every other that needs it."""
    app.before_request(_guard)


def safe_next(target: str | None) -> str:
    """Return the target where it is a path of this site, or ""."""
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
    """Return the referring page's path on this site, or ""."""
    own = request.host_url
    referrer = request.referrer or ""
    return safe_next("/" + referrer.removeprefix(own)) if referrer.startswith(own) else ""


def _guard() -> Response | None:
    if request.endpoint is None or request.endpoint in NOBODYS:
        return None  # None leads to the 404.
    if is_asked_by_machine():
        return None  # A token opens it, or nothing: app/views/interfaces/bearer.py.
    g.user = current_user._get_current_object()
    if current_user.is_authenticated:
        g.reason_to_change = passwords.must_be_changed(g.user, datetime.now(UTC))
        if g.reason_to_change and request.endpoint not in BEFORE_PASSWORD:
            if request.method == "GET":
                session["next"] = safe_next(request.full_path.removesuffix("?"))
            return redirect(url_for("SignInView.change_password"))
        return None
    if request.endpoint in PUBLIC:
        return None
    return _to_sign_in()


def _to_sign_in() -> Response:
    ending = g.get("ending", "")
    if ending:
        flash(str(ENDINGS[ending]), "warning")
    # A POST cannot be repeated by a redirect; what it brought is kept (lost_forms.py).
    target = request.full_path.rstrip("?") if request.method == "GET" else ""
    target = "" if target == "/" else safe_next(target)
    return redirect(url_for("SignInView.login", next=target or None))


class RateLimit:
    """At most ``most`` requests a minute from one address, in this process.

    Protects the database from strangers.
    """

    KEPT = 10_000  # addresses

    def __init__(self, most: int) -> None:
        self.most = most
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, address: str) -> bool:
        """Count a request, and tell whether it is within the limit."""
        minute = int(time.monotonic() // 60)
        with self._lock:
            began, count = self._seen.pop(address, (minute, 0))
            count = count + 1 if began == minute else 1
            self._seen[address] = (minute, count)
            if len(self._seen) > self.KEPT:
                self._seen.popitem(last=False)
        return count <= self.most

    def clear(self) -> None:
        """Forget all requests; for tests."""
        with self._lock:
            self._seen.clear()
