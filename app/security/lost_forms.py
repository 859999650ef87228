"""Forms that arrive after their session has ended: stored, and shown again after signing in.

Nothing of them is carried out.  The CSRF token in a form is signed by us and names the member to whom it
was shown, so that what was typed is stored for that member alone; the browser that sent it gets the key
in a cookie (docs/adr/0069).
"""

from __future__ import annotations

import re
import secrets
from typing import Any
from uuid import uuid4

from flask import (
    Flask,
    after_this_request,
    current_app,
    flash,
    redirect,
    request,
    url_for,
)
from flask_babel import gettext
from flask_login import current_user
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from app.extensions import db, transaction
from app.models import Member
from app.operations.people import unfinished
from app.operations.records.actor import Actor
from app.security.gate import PUBLIC, came_from, safe_next
from app.security.problems import is_asked_by_machine
from app.security.sign_in import printable

_NOT_INPUT = ("csrf_token", "form")
_KEY = re.compile(r"[A-Za-z0-9-]{8,64}")
_SALT = "wtf-csrf-token"  # Flask-WTF's
_FILE = "file-to-choose-again"  # name of the stored pairs that hold the names of lost files


def token_seed(member_id: int) -> str:
    """Return the value for `session["csrf_token"]`, from which a session's CSRF tokens are made."""
    return f"{member_id}.{secrets.token_hex(20)}"


def init_app(app: Flask) -> None:
    """Look at what arrives without a session; before the gate, which turns it away."""
    app.before_request(_keep_without_session)


def _keep_without_session() -> None:
    if is_asked_by_machine():
        return
    if request.method == "POST" and not current_user.is_authenticated and (member := _owner()):
        _keep_for_later(member)


def resend() -> Response | None:
    """Show a form again that was sent with the token of an earlier session of the same member.

    Another member's is stored for its member, and the caller refuses it.
    """
    member = _owner()
    if member is None or not current_user.is_authenticated:
        return None
    if member.id == current_user.id:
        return redirect(_address_of(member, _keep(member)))
    _keep_for_later(member)
    return None


def _owner() -> Member | None:
    """Return the member to whom the form of this request was shown, where it is to be stored."""
    if request.method != "POST" or request.endpoint in (None, *PUBLIC):
        return None
    member_id = _member_of_form()
    member = db.session.get(Member, member_id) if member_id else None
    return member if member and member.active else None


def _keep_for_later(member: Member) -> None:
    """Store the form, and give the browser its key."""
    key = _keep(member)
    flash(
        gettext(
            "What you sent was not carried out. Sign in again as %(number)s in this browser within a day"
            " to go on where you were",
            number=member.username,
        ),
        "info",
    )

    @after_this_request
    def remember(response: Response) -> Response:
        response.set_cookie(
            _cookie(),
            key,
            max_age=int(unfinished.KEPT_FOR.total_seconds()),
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
        return response


def address_after_sign_in(member: Member) -> str:
    """Return the page of what this browser sent for the member after the last session, or ""."""
    key = request.cookies.get(_cookie(), "")
    if not _KEY.fullmatch(key) or unfinished.find(member.id, key) is None:
        return ""

    @after_this_request
    def forget(response: Response) -> Response:
        response.delete_cookie(
            _cookie(), secure=current_app.config["SESSION_COOKIE_SECURE"], httponly=True
        )
        return response

    return _address_of(member, key)


def _address_of(member: Member, key: str) -> str:
    """Return the address that shows the stored input, and flash what it is."""
    found = unfinished.find(member.id, key)
    if found is None:
        return ""
    lost_files = [value for name, value in found.content if name == _FILE]
    if len(found.content) == len(lost_files):
        address = found.address
        message = gettext(
            "What you sent after your session had ended was not carried out; please do it again here"
        )
    else:
        address = f"{found.address}{'&' if '?' in found.address else '?'}form={key}"
        message = gettext(
            "What you sent after your session had ended was not carried out. The form is filled in as"
            " you left it: please check it and send it again"
        )
    flash(message, "warning")
    if lost_files:
        flash(
            gettext("Please choose these files again: %(names)s", names="、".join(lost_files)),
            "warning",
        )
    return safe_next(address) or "/"


def _keep(member: Member) -> str:
    """Store what this request brought; return its key."""
    page, key = _page(), request.form.get("request_key", "")
    if not _KEY.fullmatch(key):  # An application's form has a key, which its files have, too.
        key = str(uuid4())
    address, is_its_form = _address()
    content: list[tuple[str, str]] = []
    if is_its_form and page.keeps_input:
        pairs = request.form.items(multi=True)
        content = [(name, value) for name, value in pairs if name not in _NOT_INPUT]
    actor = Actor.of(member, request.remote_addr or "")
    with transaction():
        lost = [(_FILE, printable(name)[:200]) for name in page.keep_files(actor)]
        if not unfinished.keep(member.id, key, [*content, *lost], address=address):
            unfinished.keep(member.id, key, lost, address=address)
    return key


def _member_of_form() -> int | None:
    """Return the id of the member to whom this request's form was shown within a day, or None."""
    token = request.form.get("csrf_token") or request.headers.get("X-CSRFToken", "")
    signer = URLSafeTimedSerializer(current_app.secret_key or "", salt=_SALT)
    try:
        raw = signer.loads(token, max_age=int(unfinished.KEPT_FOR.total_seconds()))
    except BadData:
        return None
    found = re.fullmatch(r"([0-9]{1,9})\.[0-9a-f]{40}", str(raw))
    return int(found[1]) if found else None


def _page() -> Any:
    return current_app.extensions["pages"][request.blueprint or ""]


def _address() -> tuple[str, bool]:
    """Return the page to go on from, and whether it shows the form that was sent."""
    method = (request.endpoint or "").rpartition(".")[2]
    shown_by = _page().shown_by.get(method)
    if shown_by:
        return _page().url(shown_by, **(request.view_args or {})), True
    arguments = {name: value for name, value in request.args.items() if name != "form"}
    own = url_for(request.endpoint or "", **{**arguments, **(request.view_args or {})})
    if _answers_get(own):
        return own, True
    back = came_from()
    return (back if back and _answers_get(back) else "/"), False


def _answers_get(address: str) -> bool:
    adapter = current_app.create_url_adapter(request)
    assert adapter is not None
    try:
        adapter.match(address.partition("?")[0], method="GET")
    except HTTPException:
        return False
    return True


def _cookie() -> str:
    """Return the name of the cookie, beside the session's, which has the prefix for TLS and the port."""
    return f"{current_app.config['SESSION_COOKIE_NAME']}_form"
