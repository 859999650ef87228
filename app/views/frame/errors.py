"""Error pages in the visitor's language, each saying what to do next."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from flask import Flask, flash, redirect, render_template, request
from flask_babel import lazy_gettext as _
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, SecurityError
from werkzeug.wrappers import Response

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.extensions import db, transaction
from app.models.encrypted import PersonalDataUnreadable
from app.operations.records import log
from app.security import lost_forms, problems
from app.security.gate import came_from
from app.security.sign_in import printable
from app.views.frame import outage
from app.views.frame.outage import be_independent
from app.views.page import current_actor

logger = logging.getLogger(__name__)

_AGAIN = _("Go back, check what was entered, and try again")
_SERVICE = _("If it happens again, call the service telephone 400-991-1188, extension 1")

# code -> title, message, advice
PAGES: dict[int, tuple[Any, Any, tuple[Any, ...]]] = {
    400: (_("Bad request"), _("The server could not understand the request."), (_AGAIN,)),
    403: (
        _("No permission"),
        _("Your role does not allow this page or this act."),
        (
            _(
                "If you need it, ask the security administrator, or your account representative, for it"
            ),
        ),
    ),
    404: (
        _("Page not found"),
        _("There is no such page or record, or it is not yours to see."),
        (_("Check the address, or sign in and find the record from the menu"),),
    ),
    405: (
        _("Not possible this way"),
        _("This address cannot be used like this."),
        (_("Use the buttons and links of the pages"),),
    ),
    409: (_("Not possible now"), _("A rule of the registry stands against it."), (_AGAIN,)),
    413: (
        _("Too large"),
        _("What was sent is larger than the server accepts."),
        (_("Send smaller files; each request may hold 20 MB"),),
    ),
    415: (_("Bad request"), _("The server could not understand the request."), (_AGAIN,)),
    429: (
        _("Too many requests"),
        _("There were too many requests in a short time."),
        (_("Wait a few minutes and try again"),),
    ),
    500: (
        _("System error"),
        _("Something went wrong on our side; nothing was changed."),
        (_("Try again in a few minutes"), _SERVICE),
    ),
    503: (
        _("Not available now"),
        _("Personal data on this page cannot be read: the key is missing or is not the right one."),
        (_("The system administrator has to check PERSONAL_DATA_KEY"), _SERVICE),
    ),
}
CSRF = (
    _("The form has expired"),
    _("The form was opened in an earlier session, or cookies are switched off."),
    (
        _("Go back, reload the page and send the form again"),
        _("Allow cookies for this site"),
    ),
)


def init_app(app: Flask) -> None:
    outage.init_app(app)
    app.register_error_handler(SecurityError, _foreign_host)
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(RuleError, _rule)
    app.register_error_handler(PersonalDataUnreadable, _missing_key)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(500, _internal_error)


def _foreign_host(_error: SecurityError) -> Response:
    """Answer a request for a host name that is not ours, for which no URL can be built."""
    words = _("This site has another address.")
    return Response(f"400 {words}\n", 400, mimetype="text/plain")


def _csrf(_error: CSRFError) -> Any:
    return lost_forms.resend() or (_page(400, CSRF), 400)


def _http(error: HTTPException) -> Any:
    code = error.code or 500
    if code < 400 or error.response is not None:
        return error  # A redirect, or a complete response.
    db.session.rollback()
    if problems.is_asked_by_machine():
        return problems.of_error(error)
    page = _page(code, PAGES.get(code) or PAGES[500 if code >= 500 else 400])
    if code == 403:  # After the page, which would read anew what a commit lets go of.
        _record_refusal("no_permission")
    headers = {
        name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")
    }
    return page, code, headers


def _rule(error: RuleError) -> Any:
    """Flash the message of a refused form at its page; otherwise show an error page."""
    db.session.rollback()
    if problems.is_asked_by_machine():
        return problems.of_error(error)
    if isinstance(error, NotAllowed | NotFound):
        _record_refusal(error.code)
    if isinstance(error, NotFound):
        return _page(404, PAGES[404]), 404
    back = came_from()
    if request.method == "POST" and back:
        flash(str(error), "danger")
        return redirect(back)
    code = 403 if isinstance(error, NotAllowed) else 409
    title, _message, advice = PAGES[code]
    return _page(code, (title, str(error), advice)), code


def _record_refusal(code: str) -> None:
    """Log that a signed-in member asked for something not permitted (GB/T 22239, 8.1.4.3)."""
    if not current_user.is_authenticated:
        return
    actor = current_actor()
    with transaction():
        log.record(
            actor,
            "access.refused",
            subject=request.endpoint or "",
            result="refused",
            path=f"{request.method} {printable(request.path)[:200]}",
            rule=code,
        )


def _missing_key(error: PersonalDataUnreadable) -> tuple[str, int]:
    """Answer that personal data cannot be decrypted; the log names the key."""
    be_independent()
    logger.error("personal data unreadable at %s: %s", request.path, error)
    return _page(503, PAGES[503]), 503


def _internal_error(error: HTTPException) -> tuple[str, int] | Response:
    """Answer an unexpected error; Flask has logged the traceback."""
    be_independent()
    if problems.is_asked_by_machine():
        return problems.of_error(error)
    error_id = secrets.token_hex(4)
    logger.error("error page %s for %s %s", error_id, request.method, request.path)
    return _page(500, PAGES[500], error_id=error_id), 500


def _page(code: int, words: tuple[Any, Any, tuple[Any, ...]], **more: Any) -> str:
    title, message, advice = words
    return render_template(
        "frame/error.html",
        code=code,
        title=str(title),
        message=str(message),
        advice=[str(line) for line in advice],
        home_url="/",
        **more,
    )
